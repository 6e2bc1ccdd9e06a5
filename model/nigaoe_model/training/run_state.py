"""The state of a run on disk: everything that going on exactly needs, as tensors and JSON.

A new state replaces the old one only when it is complete, so a kill at any moment leaves a whole state.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from nigaoe_core.errors import TrainingError
from nigaoe_model.tensor_file import stored, write_tensors
from nigaoe_model.training.plan import STATE

METADATA_KEY = "nigaoe-run"


@dataclass(slots=True)
class Progress:
    """The numbers of a run that are no tensors.

    Attributes:
        images_seen: Real images shown to the discriminator in this run.
        steps: Steps made.
        mean_path_length: Long-term mean of the path length; None before the first path length step.
        augment_p: Present strength of the augmentation.
        augmenting: Whether the augmentation takes part in the present steps; its strength is read every few steps.
        best_score: Lowest FD-effnet so far.
        best_images: Where it was reached.
        best_by_photos: Whether that is the distance of photos' latents; a run that is given some counts anew.
        seconds: Time spent in the loop, over all restarts.
    """

    images_seen: int = 0
    steps: int = 0
    mean_path_length: float | None = None
    augment_p: float = 0.0
    augmenting: bool = False
    best_score: float | None = None
    best_images: int = 0
    best_by_photos: bool = False
    seconds: float = 0.0

    def is_best(self, score: float, *, by_photos: bool = False) -> bool:
        """Say whether a score is the lowest of its kind so far, and remember it if so."""
        if self.best_score is not None and by_photos == self.best_by_photos and score >= self.best_score:
            return False
        self.best_score, self.best_images, self.best_by_photos = score, self.images_seen, by_photos
        return True


def save_state(folder: Path, progress: Progress, tensors: Mapping[str, Tensor]) -> None:
    """Write the state; an existing one is replaced only by a complete one."""
    write_tensors(folder / STATE, stored(tensors, None), {METADATA_KEY: json.dumps(asdict(progress))})


def load_state(folder: Path) -> tuple[Progress, dict[str, Tensor]] | None:
    """Read the state; None where the folder holds none.

    Raises:
        TrainingError: The file is damaged or of another kind.
    """
    with _opened(folder) as file:
        if file is None:
            return None
        progress = Progress(**json.loads((file.metadata() or {})[METADATA_KEY]))
        return progress, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping


def saved_names(folder: Path) -> frozenset[str]:
    """Return the names of the saved tensors without reading them; empty where the folder holds no state.

    Raises:
        TrainingError: The file is damaged or of another kind.
    """
    with _opened(folder) as file:
        return frozenset(file.keys() if file is not None else ())


@contextmanager
def _opened(folder: Path) -> Iterator[Any]:
    path = folder / STATE
    try:
        if path.is_file():
            with safe_open(path, framework="pt") as file:
                yield file
        else:
            yield None
    except (SafetensorError, OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise TrainingError(
            f"`{path}` is damaged; delete it, and the run begins anew from where it started."
        ) from error


def prefixed(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return ``state`` with longer names."""
    return {prefix + name: tensor for name, tensor in state.items()}


def part_of(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what :func:`prefixed` put in."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
