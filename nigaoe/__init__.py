"""The command line, and a whole system composed in one process tree."""
