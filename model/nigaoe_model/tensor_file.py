"""Named tensors on disk as safetensors: opened with clear errors, written atomically, compared with a network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from nigaoe_core.atomic_write import atomic_replacement
from nigaoe_core.errors import BrokenCheckpoint, CheckpointMismatch


def opened(path: Path) -> Any:
    """Open a safetensors file to read its metadata and tensors.

    Raises:
        BrokenCheckpoint: The file is missing, truncated or no safetensors file.
    """
    try:
        return safe_open(path, framework="pt")
    except FileNotFoundError as error:
        raise BrokenCheckpoint(f"There is no weight file `{path}`.") from error
    except (SafetensorError, OSError) as error:
        raise BrokenCheckpoint(
            f"`{path.name}` is no complete safetensors file; fetch or import it again ({error})."
        ) from error


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file; an existing one is replaced only by a complete one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_replacement(path) as part:
        save_file(tensors, part, metadata=metadata)


def compare_tensors(what: str, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Compare names and shapes of tensors with those of a network.

    Raises:
        CheckpointMismatch: A tensor is missing, surplus, or of another shape.
    """
    missing, surplus = expected.keys() - found.keys(), found.keys() - expected.keys()
    if missing or surplus:
        words = [f"{len(missing)} missing (such as `{min(missing)}`)"] if missing else []
        words += [f"{len(surplus)} unknown (such as `{min(surplus)}`)"] if surplus else []
        raise CheckpointMismatch(f"The {what}'s tensors do not fit its architecture: {', '.join(words)}.")
    for name, tensor in expected.items():
        if tensor.shape != found[name].shape:
            raise CheckpointMismatch(
                f"`{name}` of the {what} has shape {list(found[name].shape)}; the architecture needs "
                f"{list(tensor.shape)}."
            )


def load_strictly(module: torch.nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Fill a network with exactly its own tensors.

    Raises:
        CheckpointMismatch: A tensor is missing, surplus, or of another shape.
    """
    compare_tensors(what, module.state_dict(), state)
    module.load_state_dict(state)


def stored(state: Mapping[str, Tensor], dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Return tensors as a file takes them, floating-point ones in ``dtype``; None keeps each type."""
    return {
        name: (t.to(dtype) if dtype is not None and t.is_floating_point() else t).detach().cpu().contiguous()
        for name, t in state.items()
    }
