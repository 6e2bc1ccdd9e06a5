"""The layout of NVIDIA's PyTorch StyleGAN2 (stylegan2-ada-pytorch, and the stylegan3 repository's StyleGAN2).

Names differ from ours, shapes do not. ``mapping.w_avg`` lies inside the generator, so it is a row like the others.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from nigaoe_model.checkpoints.layouts.table import Row, Shaped
from nigaoe_model.stylegan2.architecture import Architecture


def generator_rows(architecture: Architecture) -> list[Row]:
    """Return the table for a generator."""
    rows = [_same("mapping.w_avg", "mapping.w_avg", (architecture.w_dim,))]
    for i in range(architecture.mapping_layers):
        width = architecture.z_dim if i == 0 else architecture.w_dim
        rows += _affine_rows(f"mapping.layers.{i}", f"mapping.fc{i}", (architecture.w_dim, width))
    for resolution in architecture.resolutions:
        rows += _block_rows(architecture, resolution)
    return rows


def discriminator_rows(architecture: Architecture) -> list[Row]:
    """Return the table for a discriminator."""
    channels, top = architecture.channels, architecture.resolution
    rows = list(_affine_rows("fromrgb", f"b{top}.fromrgb", (channels[top], 3, 1, 1)))
    for resolution in architecture.resolutions[:0:-1]:
        width, wider = channels[resolution], channels[resolution // 2]
        ours, theirs = f"blocks.b{resolution}", f"b{resolution}"
        rows += _affine_rows(f"{ours}.conv0", f"{theirs}.conv0", (width, width, 3, 3))
        rows += _affine_rows(f"{ours}.conv1", f"{theirs}.conv1", (wider, width, 3, 3))
        rows.append(_same(f"{ours}.skip.weight", f"{theirs}.skip.weight", (wider, width, 1, 1)))
    width = channels[4]
    rows += _affine_rows("epilogue.conv", "b4.conv", (width, width + 1, 3, 3))
    rows += _affine_rows("epilogue.fc", "b4.fc", (width, width * 16))
    rows += _affine_rows("epilogue.out", "b4.out", (1, width))
    return rows


def infer_architecture(generator: Mapping[str, Shaped], **switches: Any) -> Architecture:
    """Read the architecture off a generator's shapes.

    Args:
        generator: State dict in NVIDIA's names.
        **switches: Fields of :class:`Architecture` that no shape tells, such as ``conv_clamp``.

    Raises:
        KeyError: A name of the layout is missing: the state dict is of another family.
        ValueError: The shapes describe no StyleGAN2.
    """
    w_dim, z_dim = generator["mapping.fc0.weight"].shape
    channels = {4: generator["synthesis.b4.const"].shape[0]}
    resolution = 8
    while (weight := generator.get(f"synthesis.b{resolution}.conv0.weight")) is not None:
        channels[resolution] = weight.shape[0]
        resolution *= 2
    layers = 0
    while f"mapping.fc{layers}.weight" in generator:
        layers += 1
    return Architecture(
        resolution=max(channels), channels=channels, z_dim=z_dim, w_dim=w_dim, mapping_layers=layers, **switches
    )


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


def _block_rows(architecture: Architecture, resolution: int) -> Iterator[Row]:
    ours, theirs = f"synthesis.blocks.b{resolution}", f"synthesis.b{resolution}"
    width = architecture.channels[resolution]
    inner = {"conv1": width}
    if resolution == 4:
        yield _same(f"{ours}.const", f"{theirs}.const", (width, 4, 4))
    else:
        inner = {"conv0": architecture.channels[resolution // 2], "conv1": width}
    for name, channels in inner.items():
        yield from _modulated_rows(architecture, f"{ours}.{name}.conv", f"{theirs}.{name}", (width, channels, 3, 3))
        yield _same(f"{ours}.{name}.bias", f"{theirs}.{name}.bias", (width,))
        yield _same(f"{ours}.{name}.noise_strength", f"{theirs}.{name}.noise_strength", ())
        yield _same(f"{ours}.{name}.noise_const", f"{theirs}.{name}.noise_const", (resolution, resolution))
    yield from _modulated_rows(architecture, f"{ours}.torgb.conv", f"{theirs}.torgb", (3, width, 1, 1))
    yield _same(f"{ours}.torgb.bias", f"{theirs}.torgb.bias", (3,))


def _modulated_rows(architecture: Architecture, ours: str, theirs: str, shape: tuple[int, ...]) -> Iterator[Row]:
    yield _same(f"{ours}.weight", f"{theirs}.weight", shape)
    yield from _affine_rows(f"{ours}.affine", f"{theirs}.affine", (shape[1], architecture.w_dim))


def _affine_rows(ours: str, theirs: str, shape: tuple[int, ...]) -> Iterator[Row]:
    yield _same(f"{ours}.weight", f"{theirs}.weight", shape)
    yield _same(f"{ours}.bias", f"{theirs}.bias", shape[:1])


def _same(native: str, foreign: str, shape: tuple[int, ...]) -> Row:
    return Row(native, foreign, shape, shape)


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
