"""Settings of the C runtime below PyTorch: how OpenMP's threads wait, and whether freed memory is kept."""

import ctypes
import os
import sys
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_KEPT_BYTES: Final = 512 * 2**20
_LARGEST_KEPT: Final = 32 * 2**20
"""glibc takes no more; larger pieces go back at once, so a large generator's pictures are not hoarded."""


def wait_asleep() -> None:
    """Let OpenMP's threads sleep while they wait, unless the environment says how; call it before PyTorch is loaded.

    A step of reverse generation is hundreds of short operations, each ended by a barrier. OpenMP's threads spin there
    by default. As soon as any other program wants a core, the spinning thread burns the time slice in which its sibling
    could have come, and a step takes 20 to 40 times as long (docs/experiments/2026-11-22-threads.md). Threads that
    sleep cost nothing measurable on a quiet machine and keep their pace on a busy one.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def keep_freed_memory() -> bool:
    """Let this process keep up to 512 MiB of what it frees, in each of its arenas.

    For processes whose steps ask for the same memory again and again. A step of reverse generation frees and takes some
    hundred megabytes in pieces. In the main thread glibc soon keeps them; in other threads (a worker's device has one
    of its own) it returned them to the system at nearly every step: 300,000 page faults in 100 steps of four faces,
    whose clearing cost a tenth of the step.

    Returns:
        Whether it could be asked for: False without glibc, and where the environment says how memory is handled.
    """
    if sys.platform != "linux" or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)) and bool(mallopt(_TRIM_THRESHOLD, _KEPT_BYTES))
