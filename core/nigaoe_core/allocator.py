"""Freed memory that stays with the process; for processes whose steps ask for the same memory again and again.

A step of reverse generation frees and takes some hundred megabytes in pieces. In the main thread glibc soon keeps them;
in other threads (a worker's device has one of its own) it returned them to the system at nearly every step: 300,000
page faults in 100 steps of four faces, whose clearing cost a tenth of the step.
"""

import ctypes
import os
import sys
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_KEPT_BYTES: Final = 512 * 2**20
_LARGEST_KEPT: Final = 32 * 2**20
"""glibc takes no more; larger pieces go back at once, so a large generator's pictures are not hoarded."""


def keep_freed_memory() -> bool:
    """Let this process keep up to 512 MiB of what it frees, in each of its arenas.

    Returns:
        Whether it could be asked for: False without glibc, and where the environment says how memory is handled.
    """
    if sys.platform != "linux" or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)) and bool(mallopt(_TRIM_THRESHOLD, _KEPT_BYTES))
