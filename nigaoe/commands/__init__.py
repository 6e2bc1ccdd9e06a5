"""One file a command; heavy imports stay inside the functions so that `nigaoe --help` is instant."""
