"""Fast tensor operations, each beside the slow reference that defines it."""
