"""Where everything of a pair lies.

::

    PAIR/
      pair.json       journal: the config, what has been done, how long it took
      runs/NAME/      a run's folder; its output.log is what it printed
      latents/        latents of photos; they can rebuild faces
      weights/        the pair itself: checkpoints and a manifest, which `NIGAOE_WEIGHTS_DIR` names to use it
      report/         report.html and its pictures
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Places:
    """The folder of a pair.

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
        """Held by whoever works in the folder."""
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
