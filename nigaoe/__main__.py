"""``python -m nigaoe`` is the same as ``nigaoe``."""

from nigaoe.cli import main

if __name__ == "__main__":
    main()
