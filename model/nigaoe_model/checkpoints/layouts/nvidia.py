"""The layout of NVIDIA's PyTorch StyleGAN2 (stylegan2-ada-pytorch, and the stylegan3 repository's StyleGAN2).

Names differ from ours, shapes do not. ``mapping.w_avg`` lies inside the generator, so it is a row like the others.
"""

from collections.abc import Iterable
from typing import Any

from nigaoe_model.checkpoints.layouts.table import Layer, Row
from nigaoe_model.stylegan2.architecture import Architecture


def generator(layer: Layer) -> Iterable[Row]:
    """Return the rows of a generator's layer."""
    name = layer.name.replace("mapping.layers.", "mapping.fc").replace(".blocks.", ".")
    return [layer.row(part, f"{name}.{part.removeprefix('conv.')}") for part in layer.shapes]


def discriminator(layer: Layer) -> Iterable[Row]:
    """Return the rows of a discriminator's layer."""
    return [layer.row(part, f"b{layer.resolution}.{layer.kind}.{part}") for part in layer.shapes]


def filter_names(architecture: Architecture) -> tuple[list[str], list[str]]:
    """Return the names of all stored resampling filters, of the generator and of the discriminator.

    Every layer has one, also those that do not resample.
    """
    generator = ["synthesis.b4.resample_filter", "synthesis.b4.conv1.resample_filter"]
    for resolution in architecture.resolutions[1:]:
        block = f"synthesis.b{resolution}"
        generator += [f"{block}{part}.resample_filter" for part in ("", ".conv0", ".conv1")]
    discriminator = [f"b{architecture.resolution}.fromrgb.resample_filter", "b4.conv.resample_filter"]
    for resolution in architecture.resolutions[:0:-1]:
        parts = ("", ".conv0", ".conv1", ".skip")
        discriminator += [f"b{resolution}{part}.resample_filter" for part in parts]
    return generator, discriminator


def generator_arguments(architecture: Architecture) -> dict[str, Any]:
    """Return the keyword arguments with which NVIDIA's ``Generator`` is built to hold the same network.

    ``channel_base`` and ``channel_max`` are left out when no pair of them gives the channel table.
    """
    return {
        "z_dim": architecture.z_dim,
        "c_dim": 0,
        "w_dim": architecture.w_dim,
        "img_resolution": architecture.resolution,
        "img_channels": 3,
        "mapping_kwargs": {
            "num_layers": architecture.mapping_layers,
            "lr_multiplier": architecture.mapping_lr_multiplier,
        },
        "synthesis_kwargs": _widths(architecture)
        | {"conv_clamp": architecture.conv_clamp, "resample_filter": list(architecture.resample_filter)},
    }


def discriminator_arguments(architecture: Architecture) -> dict[str, Any]:
    """Return the keyword arguments with which NVIDIA's ``Discriminator`` is built to hold the same network."""
    return {
        "c_dim": 0,
        "img_resolution": architecture.resolution,
        "img_channels": 3,
        "conv_clamp": architecture.conv_clamp,
        "block_kwargs": {"resample_filter": list(architecture.resample_filter)},
        "epilogue_kwargs": {"mbstd_group_size": architecture.minibatch_std_group},
    } | _widths(architecture)


def _widths(architecture: Architecture) -> dict[str, int]:
    """Return the two numbers from which NVIDIA computes all widths: ``min(channel_base // R, channel_max)``."""
    widest = max(architecture.channels[r] for r in architecture.resolutions)
    base = architecture.channels[architecture.resolution] * architecture.resolution
    fits = all(architecture.channels[r] == min(base // r, widest) for r in architecture.resolutions)
    return {"channel_base": base, "channel_max": widest} if fits else {}
