"""The published layout of GANs N' Roses (mchong6/GANsNRoses): a table that is valid in both directions.

A pure rename and reshape, as rosinality's StyleGAN2, of whose layers it is made. The published file is a dictionary of
state dicts; domain A is photos, B is anime.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import torch
from torch import Tensor

from nigaoe_core.errors import CheckpointMismatch
from nigaoe_model.checkpoints.layouts import Row, Shape, Shaped
from nigaoe_model.compared.gans_n_roses_architecture import (
    DEVIATION_FEATURES,
    GLOBAL_SIZE,
    MAX_RESIDUAL_BLOCKS,
    PUBLISHED_LOCAL_SIZE,
    STYLE_LAYERS,
    STYLE_WIDTH,
    GansNRosesArchitecture,
)
from nigaoe_model.stylegan2.architecture import MAX_MAPPING_LAYERS
from nigaoe_model.stylegan2.ops.resample import fir_kernel

PHOTO_TO_ANIME: Final = "photo_to_anime"
ANIME_TO_PHOTO: Final = "anime_to_photo"
PHOTO_DISCRIMINATOR: Final = "photo_discriminator"
ANIME_DISCRIMINATOR: Final = "anime_discriminator"
STYLE_DISCRIMINATOR: Final = "style_discriminator"

_DISCRIMINATORS = {PHOTO_DISCRIMINATOR: "D_A", ANIME_DISCRIMINATOR: "D_B", STYLE_DISCRIMINATOR: "D_L"}

AVERAGED_NAMES: Final = {PHOTO_TO_ANIME: "G_A2B_ema", ANIME_TO_PHOTO: "G_B2A_ema", **_DISCRIMINATORS}
"""Keys of the published dictionary, by our name of the network."""

PLAIN_NAMES: Final = {PHOTO_TO_ANIME: "G_A2B", ANIME_TO_PHOTO: "G_B2A", **_DISCRIMINATORS}
"""The same where a file holds no moving averages, which are the better generators."""

MARK: Final = "adain_bottleneck.0.conv1.conv.weight"
"""A tensor that every generator of this family has, and no other family's."""

_MOST_HALVINGS = 8


def infer_architecture(networks: Mapping[str, Mapping[str, Shaped]]) -> GansNRosesArchitecture:
    """Read the architecture off the shapes of the networks, which are named as in `AVERAGED_NAMES`.

    Raises:
        KeyError: A name is missing.
        ValueError: The shapes describe no such network.
    """
    generator = networks[PHOTO_TO_ANIME]
    layers = _count(generator, "mapping.{}.weight", MAX_MAPPING_LAYERS)
    down = _count(generator, "encoder.stem.{}.skip.1.weight", _MOST_HALVINGS, start=1)
    halvings = _count(generator, "encoder.style.{}.1.weight", _MOST_HALVINGS)
    widths = [generator["encoder.stem.0.0.weight"].shape[0]]
    widths += [generator[f"encoder.stem.{i + 1}.conv2.1.weight"].shape[0] for i in range(down)]
    widths += [generator[f"encoder.style.{i}.1.weight"].shape[0] for i in range(halvings)]
    size = 4 << (down + halvings)
    discriminator = networks.get(PHOTO_DISCRIMINATOR) or networks.get(ANIME_DISCRIMINATOR) or {}
    local = _count(discriminator, "l_branch.{}.skip.1.weight", _MOST_HALVINGS, start=1)
    return GansNRosesArchitecture(
        size=size,
        num_down=down,
        channels={size >> i: width for i, width in enumerate(widths)},
        latent_dim=generator["mapping.0.weight"].shape[1],
        style_dim=generator["mapping.0.bias"].shape[0],
        mapping_layers=layers,
        residual_blocks=_count(generator, "adain_bottleneck.{}.conv1.conv.weight", MAX_RESIDUAL_BLOCKS),
        local_size=size >> local if local else min(PUBLISHED_LOCAL_SIZE, size),
    )


def network_rows(name: str, architecture: GansNRosesArchitecture) -> list[Row]:
    """Return the table of one network, which is named as in `AVERAGED_NAMES`."""
    if name == STYLE_DISCRIMINATOR:
        return list(_style_discriminator(architecture))
    if name in _DISCRIMINATORS:
        return list(_discriminator(architecture))
    return [*_mapping(architecture), *_encoder(architecture), *_decoder(architecture)]


def stored_filters(name: str, architecture: GansNRosesArchitecture) -> dict[str, Tensor]:
    """Return the resampling filters # [4, 4] that a published network stores; upsampling ones hold their gain of 4."""
    kernel = fir_kernel(architecture.stylegan2.resample_filter)
    if name == STYLE_DISCRIMINATOR:
        return {}
    if name in _DISCRIMINATORS:
        towers = (("l_branch", architecture.local_size), ("g_branch", GLOBAL_SIZE))
        blocks = [f"{tower}.{i + 1}" for tower, end in towers for i in range(len(architecture.tower_resolutions(end)))]
        return dict.fromkeys([*_block_filters(blocks), "g_std.0.0.kernel"], kernel)
    steps = range(architecture.num_down)
    halving = _block_filters([f"encoder.stem.{i + 1}" for i in steps])
    halving += [f"encoder.style.{i}.0.kernel" for i in range(len(architecture.style_resolutions))]
    doubling = [f"convs.{2 * i}.conv.blur.kernel" for i in steps] + [f"to_rgbs.{i}.upsample.kernel" for i in steps]
    return dict.fromkeys(halving, kernel) | dict.fromkeys(doubling, kernel * 4)


def _block_filters(blocks: list[str]) -> list[str]:
    return [f"{block}.{part}.0.kernel" for block in blocks for part in ("conv2", "skip")]


def refuse_variants(name: str, tensors: Mapping[str, Tensor], architecture: GansNRosesArchitecture) -> None:
    """Refuse a network with parts or filters that ours does not have, however much of the rest fits.

    Args:
        name: As in `AVERAGED_NAMES`.
        tensors: By published name.
        architecture: Of the network.

    Raises:
        CheckpointMismatch: It would draw something else here.
    """
    known = {row.foreign for row in network_rows(name, architecture)}
    filters = stored_filters(name, architecture)
    for foreign, tensor in tensors.items():
        kernel = filters.get(foreign)
        if kernel is None and foreign not in known:
            raise CheckpointMismatch(
                f"This is a variant of GANs N' Roses with parts that Nigaoe does not have, such as `{foreign[:100]}`."
            )
        if kernel is not None and (
            tensor.shape != kernel.shape or not torch.allclose(tensor.float(), kernel, atol=1e-3)
        ):
            raise CheckpointMismatch(f"The resampling filter `{foreign}` is not the published one (1, 3, 3, 1).")


def _count(tensors: Mapping[str, object], pattern: str, most: int, *, start: int = 0) -> int:
    """Count the names without a gap; one more than ``most`` are counted, so that a larger network is refused."""
    numbers = range(start, start + most + 1)
    return next((i - start for i in numbers if pattern.format(i) not in tensors), most + 1)


def _mapping(architecture: GansNRosesArchitecture) -> Iterator[Row]:
    width = architecture.style_dim
    for i in range(architecture.mapping_layers):
        shape = (width, width if i else architecture.latent_dim)
        yield from _affine(f"mapping.layers.{i}", f"mapping.{i}.weight", f"mapping.{i}.bias", shape)


def _encoder(architecture: GansNRosesArchitecture) -> Iterator[Row]:
    channels, down = architecture.channels, architecture.num_down
    yield from _from_rgb("encoder.fromrgb", "encoder.stem.0", architecture)
    for i, resolution in enumerate(architecture.encoder_resolutions, start=1):
        yield from _halving_block(f"encoder.blocks.b{resolution}", f"encoder.stem.{i}", resolution, architecture)
    width = channels[architecture.content_size]
    for i in range(architecture.residual_blocks):
        for part in range(2):
            native, foreign = f"encoder.residual.{i}.conv{part}", f"encoder.stem.{down + 1 + i}.conv{part + 1}"
            yield from _affine(native, f"{foreign}.0.weight", f"{foreign}.1.bias", (width, width, 3, 3))
    for i in range(2):
        name = f"encoder.content.{i}"
        yield from _affine(name, f"{name}.0.weight", f"{name}.1.bias", (width, width, 1, 1))
    for i, resolution in enumerate(architecture.style_resolutions):
        shape = (channels[resolution // 2], channels[resolution], 3, 3)
        name = f"encoder.style.{i}"
        yield from _affine(f"encoder.style.convs.{i}", f"{name}.1.weight", f"{name}.2.bias", shape)
    after = len(architecture.style_resolutions) + 1  # the flattening between has no tensors, but a number
    dense = {"fc": (channels[4], 16 * channels[4]), "out": (architecture.latent_dim, channels[4])}
    for number, (layer, sizes) in enumerate(dense.items(), start=after):
        name = f"encoder.style.{number}"
        yield from _affine(f"encoder.style.{layer}", f"{name}.weight", f"{name}.bias", sizes)


def _decoder(architecture: GansNRosesArchitecture) -> Iterator[Row]:
    channels, style_dim = architecture.channels, architecture.style_dim
    width = channels[architecture.content_size]
    for i in range(architecture.residual_blocks):
        for part in range(2):
            native, foreign = f"decoder.residual.{i}.conv{part}", f"adain_bottleneck.{i}.conv{part + 1}"
            yield from _modulated_layer(native, foreign, (width, width, 3, 3), style_dim)
    yield from _modulated_layer("decoder.conv", "conv1", (width, width, 3, 3), style_dim)
    yield from _to_rgb("decoder.torgb", "to_rgb1", width, style_dim)
    for i, resolution in enumerate(architecture.decoder_resolutions):
        block, before, width = f"decoder.blocks.b{resolution}", channels[resolution // 2], channels[resolution]
        yield from _modulated_layer(f"{block}.conv0", f"convs.{2 * i}", (width, before, 3, 3), style_dim)
        yield from _modulated_layer(f"{block}.conv1", f"convs.{2 * i + 1}", (width, width, 3, 3), style_dim)
        yield from _to_rgb(f"{block}.torgb", f"to_rgbs.{i}", width, style_dim)


def _discriminator(architecture: GansNRosesArchitecture) -> Iterator[Row]:
    channels, local = architecture.channels, architecture.local_size
    for native, foreign, last in (("local_tower", "l_branch", local), ("global_tower", "g_branch", GLOBAL_SIZE)):
        yield from _from_rgb(f"{native}.fromrgb", f"{foreign}.0", architecture)
        for i, resolution in enumerate(architecture.tower_resolutions(last), start=1):
            yield from _halving_block(f"{native}.blocks.b{resolution}", f"{foreign}.{i}", resolution, architecture)
    end = f"l_branch.{len(architecture.tower_resolutions(local)) + 1}.0"
    for native, foreign, last in (("local_logits", end, local), ("global_logits", "g_adv.0", GLOBAL_SIZE)):
        yield _row(f"{native}.conv.weight", f"{foreign}.weight", (1, channels[last], 1, 1))
        yield _row(f"{native}.bias", f"{foreign}.bias", (1,))
    width = channels[4]
    yield from _affine("deviation.conv", "g_std.0.1.weight", "g_std.0.2.bias", (width, channels[GLOBAL_SIZE], 3, 3))
    yield from _affine("deviation.fc", "g_std.2.weight", "g_std.2.bias", (DEVIATION_FEATURES, 16 * width))
    yield from _affine("deviation.out", "g_final.weight", "g_final.bias", (1, DEVIATION_FEATURES))


def _style_discriminator(architecture: GansNRosesArchitecture) -> Iterator[Row]:
    width = STYLE_WIDTH
    for i in range(STYLE_LAYERS):
        shape = (width, width if i else architecture.latent_dim)
        yield from _affine(f"layers.{i}", f"fc.{i}.weight", f"fc.{i}.bias", shape)
    yield from _affine("fc", f"fc.{STYLE_LAYERS}.fc.weight", f"fc.{STYLE_LAYERS}.fc.bias", (width, width + 1))
    yield from _affine("out", f"fc.{STYLE_LAYERS + 1}.weight", f"fc.{STYLE_LAYERS + 1}.bias", (1, width))


def _row(native: str, foreign: str, shape: Shape, foreign_shape: Shape | None = None) -> Row:
    return Row(native, foreign, shape, shape if foreign_shape is None else foreign_shape)


def _affine(native: str, weight: str, bias: str, shape: Shape) -> Iterator[Row]:
    yield _row(f"{native}.weight", weight, shape)
    yield _row(f"{native}.bias", bias, shape[:1])


def _from_rgb(native: str, foreign: str, architecture: GansNRosesArchitecture) -> Iterator[Row]:
    shape = (architecture.channels[architecture.size], 3, 1, 1)
    return _affine(native, f"{foreign}.0.weight", f"{foreign}.1.bias", shape)


def _halving_block(native: str, foreign: str, resolution: int, architecture: GansNRosesArchitecture) -> Iterator[Row]:
    width, wider = architecture.channels[resolution], architecture.channels[resolution // 2]
    yield from _affine(f"{native}.conv0", f"{foreign}.conv1.0.weight", f"{foreign}.conv1.1.bias", (width, width, 3, 3))
    yield from _affine(f"{native}.conv1", f"{foreign}.conv2.1.weight", f"{foreign}.conv2.2.bias", (wider, width, 3, 3))
    yield _row(f"{native}.skip.weight", f"{foreign}.skip.1.weight", (wider, width, 1, 1))


def _modulated_layer(native: str, foreign: str, shape: Shape, style_dim: int) -> Iterator[Row]:
    yield from _modulated(native, foreign, shape, style_dim)
    yield _row(f"{native}.bias", f"{foreign}.activate.bias", shape[:1])


def _to_rgb(native: str, foreign: str, width: int, style_dim: int) -> Iterator[Row]:
    yield from _modulated(native, foreign, (3, width, 1, 1), style_dim)
    yield _row(f"{native}.bias", f"{foreign}.bias", (3,), (1, 3, 1, 1))


def _modulated(native: str, foreign: str, shape: Shape, style_dim: int) -> Iterator[Row]:
    yield _row(f"{native}.conv.weight", f"{foreign}.conv.weight", shape, (1, *shape))
    yield from _affine(
        f"{native}.conv.affine",
        f"{foreign}.conv.modulation.weight",
        f"{foreign}.conv.modulation.bias",
        (shape[1], style_dim),
    )
