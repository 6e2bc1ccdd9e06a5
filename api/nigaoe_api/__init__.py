"""The HTTP door: uploads in, jobs out. It never loads a generator."""
