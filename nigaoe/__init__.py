"""The command line, and a whole system composed in one process tree."""

import os
import sys

HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - before anything is imported

# `python -m nigaoe` looks in the working folder first, where somebody may have a `model.py` of their own. While Python
# looks for the module, its arguments begin with "-m".
if sys.argv[:1] == ["-m"] and not sys.flags.safe_path and os.path.abspath(sys.path[0]) != HOME:  # noqa: PTH100 - as above
    del sys.path[0]

from core.openmp import wait_asleep  # noqa: E402 - core is found by the path above

wait_asleep()
