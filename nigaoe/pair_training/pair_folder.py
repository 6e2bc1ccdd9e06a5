"""The folder of a pair: where everything lies, and the lock of the process that works there.

::

    PAIR/
      pair.json       journal: the config, what has been done, how long it took
      runs/NAME/      a run's folder; its output.log is what it printed
      latents/        latents of photos; they can rebuild faces
      weights/        the pair itself: checkpoints and a manifest, which `NIGAOE_WEIGHTS_DIR` names to use it
      report/         report.html and its pictures
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from filelock import lock_descriptor

from nigaoe_core.errors import TrainingError

LOCK_SECONDS: Final = 60.0
"""Runs of a pair whose process vanished save what they have; their locks end within this time."""


@dataclass(frozen=True, slots=True)
class PairPaths:
    """Paths below the folder of a pair.

    Attributes:
        root: The folder.
    """

    root: Path

    @property
    def journal(self) -> Path:
        """What has been done."""
        return self.root / "pair.json"

    @property
    def lock(self) -> Path:
        """Locked by the process that works in the folder."""
        return self.root / ".lock"

    @property
    def weights(self) -> Path:
        """The pair itself."""
        return self.root / "weights"

    @property
    def report(self) -> Path:
        """The report's folder."""
        return self.root / "report"

    def run(self, name: str) -> Path:
        """A run's folder."""
        return self.root / "runs" / name

    def output(self, name: str) -> Path:
        """What a run printed."""
        return self.root / "runs" / f"{name}.log"

    def latents(self, name: str) -> Path:
        """The file of a run that finds latents."""
        return self.root / "latents" / f"{name}.safetensors"

    def weight(self, name: str, what: Literal["", "-discriminator"] = "") -> Path:
        """A checkpoint of the pair."""
        return self.weights / f"{name}{what}.safetensors"


@contextmanager
def locked(paths: PairPaths) -> Iterator[int]:
    """Lock the folder; the descriptor goes to every process that works in it.

    Raises:
        TrainingError: Another process works in it.
    """
    descriptor = os.open(paths.lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        deadline = time.monotonic() + LOCK_SECONDS
        while not lock_descriptor(descriptor, blocking=False):
            if time.monotonic() >= deadline:
                raise TrainingError(f"Another process works in `{paths.root}`; wait for it, or end it.")
            time.sleep(0.2)
        yield descriptor
    finally:
        os.close(descriptor)
