"""The state of a run on disk: everything that going on exactly needs, as tensors and JSON.

Written beside the old one and renamed over it, so that a kill at any moment leaves a whole state.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from nigaoe_core.errors import TrainingError
from nigaoe_model.tensor_file import write_tensors
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
        augmenting: Whether the augmentation takes part in the present steps; its strength is looked at now and then.
        best_score: Lowest FD-effnet so far.
        best_images: Where it was reached.
        best_by_photos: Whether that is the distance of photos' latents; a run that is given some starts to count anew.
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
    """Write the state atomically."""
    metadata = {METADATA_KEY: json.dumps(asdict(progress))}
    write_tensors(folder / STATE, {name: t.detach().cpu().contiguous() for name, t in tensors.items()}, metadata)


def load_state(folder: Path) -> tuple[Progress, dict[str, Tensor]] | None:
    """Read the state; None where the folder holds none.

    Raises:
        TrainingError: The file is damaged or of another kind.
    """
    path = folder / STATE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            progress = Progress(**json.loads((file.metadata() or {})[METADATA_KEY]))
            return progress, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise TrainingError(f"`{path}` is damaged; delete it and start from `--init` instead.") from error


def go_on(folder: Path, restore: Callable[[Progress, dict[str, Tensor]], None]) -> bool:
    """Give the folder's state to ``restore``; False where the folder holds none.

    Raises:
        TrainingError: The state is damaged or of other networks.
    """
    found = load_state(folder)
    if found is None:
        return False
    restore(*found)
    return True


def check_folder(folder: Path, *, resume: bool) -> None:
    """Keep a new run from writing over an old one.

    Raises:
        TrainingError: The folder holds a run that nobody asked to resume.
    """
    if (folder / STATE).is_file() and not resume:
        raise TrainingError(f"`{folder}` holds a run already; resume it with --resume-from or choose another.")


def prefixed(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return ``state`` with longer names."""
    return {prefix + name: tensor for name, tensor in state.items()}


def part_of(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what :func:`prefixed` put in."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def primed(optimiser: torch.optim.Adam) -> torch.optim.Adam:
    """Give every parameter Adam's state before its first gradient, all zero as Adam itself would make it.

    From then on moments and counts stay where they are, so that a recorded step finds them. They lie in memory as their
    parameters do: a fused step walks through both side by side and looks at no strides.
    """
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            if not optimiser.state[parameter]:
                counted_on = parameter.device if group["fused"] or group["capturable"] else torch.device("cpu")
                optimiser.state[parameter] = {
                    "step": torch.zeros((), dtype=torch.float32, device=counted_on),
                    "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                    "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                }
    return optimiser


def adam_tensors(optimiser: torch.optim.Adam, names: Iterable[str]) -> dict[str, Tensor]:
    """Return Adam's moments and step counts by parameter name."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    states = ((name, optimiser.state.get(parameter, {})) for name, parameter in zip(names, parameters, strict=True))
    return {f"{name}.{key}": tensor for name, state in states for key, tensor in state.items()}


@torch.no_grad()
def restore_adam(optimiser: torch.optim.Adam, names: Iterable[str], tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser over the parameters ``names`` what :func:`adam_tensors` returned, each tensor in its place.

    Parameters that the tensors do not know begin anew.

    Raises:
        RuntimeError: A tensor has another shape than its parameter.
    """
    parameters = [parameter for group in primed(optimiser).param_groups for parameter in group["params"]]
    for name, parameter in zip(names, parameters, strict=True):
        for key, place in optimiser.state[parameter].items():
            found = tensors.get(f"{name}.{key}")
            place.zero_() if found is None else place.copy_(found)
