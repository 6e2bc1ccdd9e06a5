"""The run's log: one JSON object a line, which any plotting tool reads, and TensorBoard where it is installed."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nigaoe_core.errors import TrainingError

LOG = "log.jsonl"


class RunLog:
    """Writes lines.

    Args:
        folder: The run's folder.
        tensorboard: Also write TensorBoard events below ``folder/tensorboard``.
    """

    def __init__(self, folder: Path, *, tensorboard: bool = False) -> None:
        self.path = folder / LOG
        self._writer = _tensorboard_writer(folder) if tensorboard else None

    def write(self, images_seen: int, numbers: Mapping[str, float]) -> dict[str, float]:
        """Write one line and return it: when it was written, and some numbers."""
        line: dict[str, float] = {"images": images_seen, "time": round(time.time(), 1), **numbers}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({k: v if k == "time" else _rounded(v) for k, v in line.items()}) + "\n")
        self._to_tensorboard(line, images_seen)
        return line

    def _to_tensorboard(self, line: dict[str, float], images_seen: int) -> None:
        if self._writer is not None:
            for name, value in line.items():
                self._writer.add_scalar(name, value, images_seen)
            self._writer.flush()


def read_log(folder: Path) -> list[dict[str, float]]:
    """Return the lines of a run's log; a last line that a kill cut short is left out."""
    path = folder / LOG
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return lines


def _rounded(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.6g}")


def _tensorboard_writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError as error:
        raise TrainingError("TensorBoard is not installed; run `pip install nigaoe[tensorboard]`.") from error

    return SummaryWriter(folder / "tensorboard")
