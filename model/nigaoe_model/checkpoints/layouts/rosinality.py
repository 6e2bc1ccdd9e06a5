"""The layout of rosinality/stylegan2-pytorch, which FreezeG, e4e and pSp decoders share.

A pure rename and reshape: convolution weights carry a leading 1, biases of ToRGB are four-dimensional, noise strengths
have one element instead of none.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from nigaoe_model.checkpoints.layouts.table import Row, Shaped
from nigaoe_model.stylegan2.architecture import Architecture


def generator_rows(architecture: Architecture, *, with_noise_maps: bool = True) -> list[Row]:
    """Return the table for a generator; ``latent_avg`` stands outside of the foreign state dict and is no row.

    Args:
        architecture: The network's shape.
        with_noise_maps: Include the stored noise maps, which very old files lack.
    """
    rows = list(_mapping_rows(architecture))
    for index, resolution in enumerate(architecture.resolutions):
        rows += _block_rows(architecture, index, resolution, with_noise_maps=with_noise_maps)
    return rows


def discriminator_rows(architecture: Architecture) -> list[Row]:
    """Return the table for a discriminator."""
    top = architecture.channels[architecture.resolution]
    rows = [Row("fromrgb.weight", "convs.0.0.weight", (top, 3, 1, 1), (top, 3, 1, 1))]
    rows.append(Row("fromrgb.bias", "convs.0.1.bias", (top,), (top,)))
    for index, resolution in enumerate(architecture.resolutions[:0:-1]):
        rows += _residual_rows(architecture, f"convs.{index + 1}", resolution)
    width = architecture.channels[4]
    pairs = [
        ("epilogue.conv.weight", "final_conv.0.weight", (width, width + 1, 3, 3)),
        ("epilogue.conv.bias", "final_conv.1.bias", (width,)),
        ("epilogue.fc.weight", "final_linear.0.weight", (width, width * 16)),
        ("epilogue.fc.bias", "final_linear.0.bias", (width,)),
        ("epilogue.out.weight", "final_linear.1.weight", (1, width)),
        ("epilogue.out.bias", "final_linear.1.bias", (1,)),
    ]
    return rows + [Row(native, foreign, shape, shape) for native, foreign, shape in pairs]


def kernel_names(architecture: Architecture) -> tuple[list[str], list[str]]:
    """Return the names of all stored resampling kernels, of the generator and of the discriminator."""
    steps = range(architecture.num_blocks - 1)
    generator = [f"convs.{2 * index}.conv.blur.kernel" for index in steps]
    generator += [f"to_rgbs.{index}.upsample.kernel" for index in steps]
    discriminator = [f"convs.{index + 1}.{part}.0.kernel" for index in steps for part in ("conv2", "skip")]
    return generator, discriminator


def infer_architecture(generator: Mapping[str, Shaped], **switches: Any) -> Architecture:
    """Read the architecture off a generator's shapes (files seldom carry the channel table).

    Args:
        generator: State dict in rosinality's names.
        **switches: Fields of :class:`Architecture` that no shape tells, such as ``resample_filter``.

    Raises:
        KeyError: A name of the layout is missing: the state dict is of another family.
        ValueError: The shapes describe no StyleGAN2.
    """
    mapping_layers = sum(1 for name in generator if name.startswith("style.") and name.endswith(".weight"))
    w_dim, z_dim = generator["style.1.weight"].shape
    channels = {4: generator["input.input"].shape[1]}
    index = 0
    while (weight := generator.get(f"convs.{2 * index}.conv.weight")) is not None:
        channels[2 ** (index + 3)] = weight.shape[1]
        index += 1
    return Architecture(
        resolution=max(channels), channels=channels, z_dim=z_dim, w_dim=w_dim, mapping_layers=mapping_layers, **switches
    )


def _mapping_rows(architecture: Architecture) -> Iterator[Row]:
    for i in range(architecture.mapping_layers):
        width = architecture.z_dim if i == 0 else architecture.w_dim
        shape = (architecture.w_dim, width)
        yield Row(f"mapping.layers.{i}.weight", f"style.{i + 1}.weight", shape, shape)
        yield Row(f"mapping.layers.{i}.bias", f"style.{i + 1}.bias", shape[:1], shape[:1])


def _block_rows(architecture: Architecture, index: int, resolution: int, *, with_noise_maps: bool) -> Iterator[Row]:
    block = f"synthesis.blocks.b{resolution}"
    width = architecture.channels[resolution]
    if index == 0:
        yield Row(f"{block}.const", "input.input", (width, 4, 4), (1, width, 4, 4))
        convs = {"conv1": ("conv1", 0, width)}
    else:
        convs = {
            "conv0": (f"convs.{2 * index - 2}", 2 * index - 1, architecture.channels[resolution // 2]),
            "conv1": (f"convs.{2 * index - 1}", 2 * index, width),
        }
    for name, (foreign, noise, inner) in convs.items():
        yield from _modulated_rows(architecture, f"{block}.{name}.conv", f"{foreign}.conv", (width, inner, 3, 3))
        yield Row(f"{block}.{name}.noise_strength", f"{foreign}.noise.weight", (), (1,))
        yield Row(f"{block}.{name}.bias", f"{foreign}.activate.bias", (width,), (width,))
        if with_noise_maps:
            shape = (resolution, resolution)
            yield Row(f"{block}.{name}.noise_const", f"noises.noise_{noise}", shape, (1, 1, *shape))
    torgb = "to_rgb1" if index == 0 else f"to_rgbs.{index - 1}"
    yield from _modulated_rows(architecture, f"{block}.torgb.conv", f"{torgb}.conv", (3, width, 1, 1))
    yield Row(f"{block}.torgb.bias", f"{torgb}.bias", (3,), (1, 3, 1, 1))


def _modulated_rows(architecture: Architecture, native: str, foreign: str, shape: tuple[int, ...]) -> Iterator[Row]:
    affine = (shape[1], architecture.w_dim)
    yield Row(f"{native}.weight", f"{foreign}.weight", shape, (1, *shape))
    yield Row(f"{native}.affine.weight", f"{foreign}.modulation.weight", affine, affine)
    yield Row(f"{native}.affine.bias", f"{foreign}.modulation.bias", affine[:1], affine[:1])


def _residual_rows(architecture: Architecture, foreign: str, resolution: int) -> Iterator[Row]:
    block = f"blocks.b{resolution}"
    width, wider = architecture.channels[resolution], architecture.channels[resolution // 2]
    triples = [
        ("conv0.weight", "conv1.0.weight", (width, width, 3, 3)),
        ("conv0.bias", "conv1.1.bias", (width,)),
        ("conv1.weight", "conv2.1.weight", (wider, width, 3, 3)),
        ("conv1.bias", "conv2.2.bias", (wider,)),
        ("skip.weight", "skip.1.weight", (wider, width, 1, 1)),
    ]
    for native, theirs, shape in triples:
        yield Row(f"{block}.{native}", f"{foreign}.{theirs}", shape, shape)
