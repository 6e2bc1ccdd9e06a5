"""Where the tensors of a Swapping Autoencoder lie in the files of two programs, as tables that read in both directions.

``rosinality``: ``e_ema`` and ``g_ema``, or ``e`` and ``g``. ``official``: one state dict with ``E.`` and ``G.``. The
discriminators of both have no part in drawing and are left where they are.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from pydantic import ValidationError
from torch import Tensor

from nigaoe_core.errors import CheckpointMismatch, ForeignCheckpoint
from nigaoe_model.checkpoints.layouts import Row, Shape, Shaped
from nigaoe_model.compared.swapping_autoencoder import SwappingAutoencoder
from nigaoe_model.compared.swapping_autoencoder_architecture import SwappingAutoencoderArchitecture
from nigaoe_model.compared.swapping_autoencoder_layers import FIR_TAPS
from nigaoe_model.stylegan2.ops.resample import fir_kernel

LayoutName = Literal["rosinality", "official"]

PARTS = ("e_ema.", "g_ema.", "e.", "g.", "E.", "G.")
"""What the names of encoders and generators begin with in all these files."""

_MARKS: dict[LayoutName, tuple[str, ...]] = {
    "rosinality": ("e.structure.0.0.weight", "e.texture.0.1.weight", "g.layers.0.conv1.conv.weight"),
    "official": ("E.FromRGB.Conv.weight", "E.ToGlobalCode.0.weight", "G.HeadResnetBlock0.conv1.conv.weight"),
}

_FIRST_UPSAMPLING = 16
"""Number in the name of the official generator's first block that doubles the size."""

_MODULATED = {
    "conv.weight": "conv.weight",
    "conv.affine.weight": "conv.modulation.weight",
    "conv.affine.bias": "conv.modulation.bias",
    "noise_strength": "noise.weight",
    "bias": "activate.bias",
}


def tell_layout(tensors: Mapping[str, Tensor]) -> tuple[LayoutName, dict[str, Tensor]]:
    """Tell the layout of a file, and take the moving averages where there are any.

    Args:
        tensors: By dotted name, those of `PARTS`.

    Returns:
        The layout, and the tensors under ``e.`` and ``g.``, or ``E.`` and ``G.``.

    Raises:
        ForeignCheckpoint: The file is no Swapping Autoencoder.
    """
    averaged = {
        f"{network}.{name.removeprefix(f'{network}_ema.')}": tensor
        for network in "eg"
        for name, tensor in tensors.items()
        if name.startswith(f"{network}_ema.")
    }
    for layout, marks in _MARKS.items():
        for candidate in (averaged, tensors):
            if all(mark in candidate for mark in marks):
                networks = tuple({mark[:2] for mark in marks})
                return layout, {name: tensor for name, tensor in candidate.items() if name.startswith(networks)}
    raise ForeignCheckpoint("The file holds no Swapping Autoencoder; `nigaoe weights inspect` tells what it holds.")


def infer_architecture(
    layout: LayoutName, tensors: Mapping[str, Shaped], *, resolution: int
) -> SwappingAutoencoderArchitecture:
    """Read the architecture off the shapes.

    Args:
        layout: From :func:`tell_layout`.
        tensors: By foreign name.
        resolution: Side in pixels, which no shape tells.

    Raises:
        CheckpointMismatch: The shapes describe no Swapping Autoencoder.
    """
    fields = _rosinality_fields if layout == "rosinality" else _official_fields
    try:
        return SwappingAutoencoderArchitecture(resolution=resolution, flavour=layout, **fields(tensors))
    except (KeyError, IndexError, ValueError) as error:
        problem = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, ValidationError):  # Of its lines the first only counts.
            problem = error.errors()[0]["msg"]
        raise CheckpointMismatch(
            f"The file looks like a Swapping Autoencoder, but its tensors do not fit together ({problem})."
        ) from error


def table(architecture: SwappingAutoencoderArchitecture) -> list[Row]:
    """Return one row a tensor, in the layout of the architecture's flavour."""
    with torch.device("meta"):
        state = SwappingAutoencoder(architecture).state_dict()
    place = _official if architecture.is_official else _rosinality
    return [Row(name, *_beside(place(name, architecture), tuple(t.shape))) for name, t in state.items()]


def stored_kernels(architecture: SwappingAutoencoderArchitecture) -> dict[str, Tensor]:
    """Return the filters that rosinality's files hold as buffers, by foreign name; none in the official layout.

    The official names of them are unknown to this table: whatever ends in ``.kernel`` is skipped there.
    """
    if architecture.is_official:
        return {}
    kernel, heads = fir_kernel(FIR_TAPS), len(architecture.head_channels)
    steps, doublings = range(1, architecture.halvings + 1), range(heads, heads + architecture.halvings)
    plain = [f"e.stem.{step}.{part}.0.kernel" for step in steps for part in ("conv2", "skip")]
    plain += [f"e.texture.{step}.0.kernel" for step in range(len(architecture.texture_channels))]
    plain += [f"g.layers.{step}.skip.1.kernel" for step in doublings]
    scaled = [f"g.layers.{step}.conv1.conv.blur.kernel" for step in doublings]
    return dict.fromkeys(plain, kernel) | dict.fromkeys(scaled, kernel * 4)  # with the gain of the doubling


def refuse_variants(architecture: SwappingAutoencoderArchitecture, tensors: Mapping[str, Tensor]) -> None:
    """A name that the table does not have, or another filter, means another network.

    Raises:
        ForeignCheckpoint: There is such a tensor.
    """
    known, kernels = {row.foreign for row in table(architecture)}, stored_kernels(architecture)
    for name, tensor in tensors.items():
        is_known = name in known or (architecture.is_official and name.endswith(".kernel"))
        if name in kernels:
            is_known = tensor.shape == kernels[name].shape and torch.allclose(tensor.float(), kernels[name], atol=1e-3)
        if not is_known:
            raise ForeignCheckpoint(
                f"This is a variant of the Swapping Autoencoder with a part that Nigaoe does not have: `{name[:100]}`."
            )


def _rosinality_fields(tensors: Mapping[str, Shaped]) -> dict[str, Any]:
    doublings = sum(name.startswith("g.layers.") and name.endswith(".skip.1.kernel") for name in tensors)
    texture = _widths(tensors, lambda i: f"e.texture.{i}.1.weight")
    drawn = _widths(tensors, lambda i: f"g.layers.{i}.conv2.conv.weight", axis=1)
    heads = len(drawn) - doublings
    return {
        "encoder_channels": (
            tensors["e.stem.0.0.weight"].shape[0],
            *_widths(tensors, lambda i: f"e.stem.{i + 1}.conv2.1.weight"),
        ),
        "texture_channels": texture,
        "texture_dim": tensors[f"e.texture.{len(texture) + 1}.0.weight"].shape[0],
        "structure_channels": tensors["e.structure.1.0.weight"].shape[0],
        "head_channels": drawn[:heads],
        "up_channels": drawn[heads:],
    }


def _official_fields(tensors: Mapping[str, Shaped]) -> dict[str, Any]:
    trunk = _widths(tensors, lambda i: f"E.DownToSpatialCode.ResBlockDownBy{2**i}.conv2.Conv.weight")
    doublings = len(trunk)
    return {
        "encoder_channels": (tensors["E.FromRGB.Conv.weight"].shape[0], *trunk),
        "texture_channels": _widths(
            tensors, lambda i: f"E.DownToGlobalCode.ConvLayerDownBy{2 ** (doublings + i)}.Conv.weight"
        ),
        "texture_dim": tensors["E.ToGlobalCode.0.weight"].shape[0],
        "structure_channels": tensors["E.ToSpatialCode.1.Conv.weight"].shape[0],
        "head_channels": _widths(tensors, lambda i: f"G.HeadResnetBlock{i}.conv2.conv.weight", axis=1),
        "up_channels": _widths(
            tensors, lambda i: f"G.UpsamplingResBlock{_FIRST_UPSAMPLING << i}.conv2.conv.weight", axis=1
        ),
    }


def _widths(tensors: Mapping[str, Shaped], name: Callable[[int], str], axis: int = 0) -> tuple[int, ...]:
    """Return one size of each tensor of a numbered series, as far as it goes."""
    found: list[int] = []
    while name(len(found)) in tensors:
        found.append(tensors[name(len(found))].shape[axis])
    return tuple(found)


def _beside(foreign: str, shape: Shape) -> tuple[str, Shape, Shape]:
    """Return a name, our shape and theirs: they keep axes of length one."""
    wide = {
        "conv.weight": (1, *shape),  # of a modulated convolution
        "noise.weight": (1,),
        "ToRGB.bias": (1, *shape, 1, 1),
    }
    if foreign.startswith("e.texture.") and len(shape) == 2:
        return foreign, shape, (*shape, 1, 1)
    theirs = next((theirs for end, theirs in wide.items() if foreign.endswith(f".{end}")), shape)
    return foreign, shape, theirs


def _rosinality(name: str, architecture: SwappingAutoencoderArchitecture) -> str:
    def numbered(place: str, first: int, part: str) -> str:
        # A filter or a padding stands before the convolution, a bias after it.
        return f"e.{place}.{first if part == 'weight' else first + 1}.{part}"

    match name.split("."):
        case ["encoder", "stem", part]:
            return numbered("stem.0", 0, part)
        case ["encoder", "blocks", index, layer, part]:
            return numbered(f"stem.{int(index) + 1}.{layer}", 1, part)
        case ["encoder", "structure", index, part]:
            return numbered(f"structure.{index}", 0, part)
        case ["encoder", "texture", index, part]:
            return numbered(f"texture.{index}", 1, part)
        case ["encoder", "summary", part]:
            return numbered(f"texture.{len(architecture.texture_channels) + 1}", 0, part)  # after the mean
        case ["generator", "blocks", index, "skip", "weight"]:
            return f"g.layers.{index}.skip.0.weight"
        case ["generator", "blocks", index, layer, *rest]:
            return f"g.layers.{index}.{layer}.{_MODULATED['.'.join(rest)]}"
        case ["generator", "to_rgb", part]:
            return f"g.to_rgb.0.{part}"
    raise AssertionError(name)


def _official(name: str, architecture: SwappingAutoencoderArchitecture) -> str:
    network, *place = name.split(".")
    return (_official_encoder if network == "encoder" else _official_generator)(place, architecture)


def _official_encoder(place: list[str], architecture: SwappingAutoencoderArchitecture) -> str:
    activated = {"weight": "Conv.weight", "bias": "Act.bias"}
    match place:
        case ["stem", part]:
            return f"E.FromRGB.{activated[part]}"
        case ["blocks", index, layer, part]:
            return f"E.DownToSpatialCode.ResBlockDownBy{2 ** int(index)}.{layer}.{activated[part]}"
        case ["structure", "0", part]:
            return f"E.ToSpatialCode.0.{activated[part]}"
        case ["structure", "1", part]:  # without a rectifier
            return f"E.ToSpatialCode.1.Conv.{part}"
        case ["texture", index, part]:
            return f"E.DownToGlobalCode.ConvLayerDownBy{2 ** (architecture.halvings + int(index))}.{activated[part]}"
        case ["summary", part]:
            return f"E.ToGlobalCode.0.{part}"
    raise AssertionError(place)


def _official_generator(place: list[str], architecture: SwappingAutoencoderArchitecture) -> str:
    match place:
        case ["modulation", layer, part]:
            return f"G.SpatialCodeModulation.{'scale' if layer == 'scale' else 'bias'}.{part}"
        case ["blocks", index, "skip", "conv", "weight"]:
            return f"{_official_block(int(index), architecture)}.skip.Conv.weight"
        case ["blocks", index, layer, *rest]:
            return f"{_official_block(int(index), architecture)}.{layer}.{_MODULATED['.'.join(rest)]}"
        case ["to_rgb", "bias"]:
            return "G.ToRGB.bias"
        case ["to_rgb", *rest]:
            return f"G.ToRGB.{_MODULATED['.'.join(rest)]}"
    raise AssertionError(place)


def _official_block(index: int, architecture: SwappingAutoencoderArchitecture) -> str:
    doublings = index - len(architecture.head_channels)
    if doublings < 0:
        return f"G.HeadResnetBlock{index}"
    return f"G.UpsamplingResBlock{_FIRST_UPSAMPLING << doublings}"
