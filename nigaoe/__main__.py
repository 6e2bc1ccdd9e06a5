"""``python -m nigaoe`` is the same as ``nigaoe``."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # The working folder, where somebody may have a `torch.py` of their own.
    from nigaoe.cli import main

    main()
