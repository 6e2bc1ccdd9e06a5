"""Export of weights in layouts that other programs read; importing the result gives the same numbers, bit for bit.

The files are written by ``torch.save`` and hold nothing but tensors, numbers and texts, so that everybody can open them
with ``weights_only=True``. Under ``nigaoe`` lies our card as JSON; other programs ignore it.
"""

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from nigaoe_core.atomic_write import atomic_replacement
from nigaoe_core.errors import CheckpointMismatch
from nigaoe_model.checkpoints.families import nvidia, rosinality
from nigaoe_model.checkpoints.layouts import discriminator_rows, generator_rows, to_foreign
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.checkpoint import Checkpoint
from nigaoe_model.stylegan2.ops.resample import fir_kernel

ExportLayout = Literal["rosinality", "nvidia-state"]


def export_weights(
    checkpoint: Checkpoint, layout: ExportLayout, path: Path, discriminator: Checkpoint | None = None
) -> None:
    """Write a generator, and its discriminator when given, in another layout.

    ``rosinality``: ``g_ema``, ``latent_avg``, ``d``; read by rosinality/stylegan2-pytorch, FreezeG and their kin.
    ``nvidia-state``: ``G_ema`` and ``D`` as state dicts, ``G_kwargs`` and ``D_kwargs`` as the arguments with which
    NVIDIA's ``Generator`` and ``Discriminator`` are built to load them.

    Args:
        checkpoint: Holds the generator.
        layout: Which names.
        path: Target; it is replaced only by a complete file.
        discriminator: Holds the discriminator, when it is stored apart.

    Raises:
        CheckpointMismatch: There is no generator, or the discriminator is of another architecture.
    """
    if not checkpoint.generator:
        raise CheckpointMismatch(f"`{checkpoint.card.name}` holds no generator to export.")
    critic = discriminator or checkpoint
    if critic.card.architecture != checkpoint.card.architecture:
        raise CheckpointMismatch("Generator and discriminator differ in architecture; export the generator alone.")
    document = _rosinality if layout == "rosinality" else _nvidia_state
    _save(document(checkpoint, dict(critic.discriminator)) | {"nigaoe": checkpoint.card.model_dump_json()}, path)


def _rosinality(checkpoint: Checkpoint, discriminator: dict[str, Tensor]) -> dict[str, Any]:
    architecture = checkpoint.card.architecture
    kernel = _kernel(architecture, checkpoint.generator)
    state = to_foreign(generator_rows(rosinality.generator_layout, architecture), checkpoint.generator)
    generator_kernels, discriminator_kernels = rosinality.kernel_names(architecture)
    document: dict[str, Any] = {
        # Their buffers hold the kernel with the gain of the upsampling.
        "g_ema": state | dict.fromkeys(generator_kernels, kernel * 4),
        "latent_avg": checkpoint.generator["mapping.w_avg"],
    }
    if discriminator:
        critic = to_foreign(discriminator_rows(rosinality.discriminator_layout, architecture), discriminator)
        document["d"] = critic | dict.fromkeys(discriminator_kernels, _kernel(architecture, discriminator))
    return document


def _nvidia_state(checkpoint: Checkpoint, discriminator: dict[str, Tensor]) -> dict[str, Any]:
    architecture = checkpoint.card.architecture
    generator_filters, discriminator_filters = nvidia.filter_names(architecture)
    kernel = _kernel(architecture, checkpoint.generator)
    state = to_foreign(generator_rows(nvidia.generator_layout, architecture), checkpoint.generator)
    document: dict[str, Any] = {
        "G_ema": state | dict.fromkeys(generator_filters, kernel),
        "G_kwargs": nvidia.generator_arguments(architecture),
    }
    if discriminator:
        critic = to_foreign(discriminator_rows(nvidia.discriminator_layout, architecture), discriminator)
        document["D"] = critic | dict.fromkeys(discriminator_filters, _kernel(architecture, discriminator))
        document["D_kwargs"] = nvidia.discriminator_arguments(architecture)
    return document


def _kernel(architecture: Architecture, state: Any) -> Tensor:
    dtype = next(tensor.dtype for tensor in state.values() if tensor.is_floating_point())
    return fir_kernel(architecture.resample_filter).to(dtype)


def _save(document: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_replacement(path) as part:
        torch.save(_owned(document), part)


def _owned(value: Any) -> Any:
    """Give every tensor its own memory: torch writes the whole of what a view looks into."""
    if isinstance(value, Tensor):
        return value.detach().cpu().clone(memory_format=torch.contiguous_format)
    if isinstance(value, dict):
        return {name: _owned(item) for name, item in value.items()}
    return value
