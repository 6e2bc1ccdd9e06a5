"""The HTTP API: photos in, jobs and pictures out. It never loads a generator."""
