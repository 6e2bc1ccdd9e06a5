"""How PyTorch's threads wait for each other; decided before PyTorch is loaded, which is when OpenMP reads it.

A step of reverse generation is hundreds of short operations, each ended by a barrier. OpenMP's threads spin there by
default. As soon as any other program wants a core, the spinning thread burns the time slice in which its sibling could
have come, and a step takes 20 to 40 times as long (docs/inversion.md, "Threads"). Threads that sleep cost nothing
measurable on a quiet machine and keep their pace on a busy one.
"""

import os


def wait_asleep() -> None:
    """Let OpenMP's threads sleep while they wait, unless the environment says how."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
