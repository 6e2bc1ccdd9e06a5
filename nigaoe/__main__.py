"""`python -m nigaoe`."""

from nigaoe.cli import main

main()
