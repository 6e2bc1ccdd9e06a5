"""The layout of NVIDIA's TensorFlow StyleGAN2 (``dnnlib.tflib.network.Network``), one way: from theirs to ours.

Convolutions are stored [kh, kw, in, out] and dense layers [in, out]; the style's bias lacks the 1 that ours contains;
the kernel of the upsampling convolution is stored mirrored, because theirs is a transposed convolution.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from nigaoe_core.errors import CheckpointMismatch
from nigaoe_model.checkpoints.layouts.table import Shaped
from nigaoe_model.stylegan2.architecture import Architecture

if TYPE_CHECKING:
    from torch import Tensor


class Entry(NamedTuple):
    """One tensor: our name and shape, theirs, and the rule that leads from theirs to ours.

    Attributes:
        native: Name in our state dict.
        foreign: Name of the variable, the component in front of it.
        shape: Our shape.
        rule: A key of `RULES`.
    """

    native: str
    foreign: str
    shape: tuple[int, ...]
    rule: str


def generator_entries(architecture: Architecture) -> list[Entry]:
    """Return the table for a generator."""
    entries = [Entry("mapping.w_avg", "dlatent_avg", (architecture.w_dim,), "same")]
    for i in range(architecture.mapping_layers):
        width = architecture.z_dim if i == 0 else architecture.w_dim
        entries += _dense(f"mapping.layers.{i}", f"mapping/Dense{i}", (architecture.w_dim, width))
    for index, resolution in enumerate(architecture.resolutions):
        entries += _block(architecture, index, resolution)
    return entries


def discriminator_entries(architecture: Architecture) -> list[Entry]:
    """Return the table for a discriminator."""
    channels, top = architecture.channels, architecture.resolution
    entries = list(_conv("fromrgb", f"{top}x{top}/FromRGB", (channels[top], 3, 1, 1)))
    for resolution in architecture.resolutions[:0:-1]:
        width, wider = channels[resolution], channels[resolution // 2]
        ours, theirs = f"blocks.b{resolution}", f"{resolution}x{resolution}"
        entries += _conv(f"{ours}.conv0", f"{theirs}/Conv0", (width, width, 3, 3))
        entries += _conv(f"{ours}.conv1", f"{theirs}/Conv1_down", (wider, width, 3, 3))
        entries.append(Entry(f"{ours}.skip.weight", f"{theirs}/Skip/weight", (wider, width, 1, 1), "conv"))
    width = channels[4]
    entries += _conv("epilogue.conv", "4x4/Conv", (width, width + 1, 3, 3))
    entries += _dense("epilogue.fc", "4x4/Dense0", (width, width * 16))
    entries += _dense("epilogue.out", "Output", (1, width))
    return entries


def infer_architecture(generator: Mapping[str, Shaped], **switches: Any) -> Architecture:
    """Read the architecture off a generator's shapes.

    Args:
        generator: Variables by name, those of the components under ``mapping/`` and ``synthesis/``.
        **switches: Fields of :class:`Architecture` that no shape tells, such as ``conv_clamp``.

    Raises:
        KeyError: A name of the layout is missing: the variables are of another family.
        ValueError: The shapes describe no StyleGAN2.
    """
    z_dim, w_dim = generator["mapping/Dense0/weight"].shape
    channels = {4: generator["synthesis/4x4/Const/const"].shape[1]}
    resolution = 8
    while (weight := generator.get(f"synthesis/{resolution}x{resolution}/Conv0_up/weight")) is not None:
        channels[resolution] = weight.shape[3]
        resolution *= 2
    layers = 0
    while f"mapping/Dense{layers}/weight" in generator:
        layers += 1
    return Architecture(
        resolution=max(channels), channels=channels, z_dim=z_dim, w_dim=w_dim, mapping_layers=layers, **switches
    )


def to_native(entries: list[Entry], variables: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """Apply the table.

    Raises:
        CheckpointMismatch: A variable is missing or has another shape.
    """
    state = {}
    for entry in entries:
        variable = variables.get(entry.foreign)
        if variable is None:
            raise CheckpointMismatch(
                f"The checkpoint has no variable `{entry.foreign}`: it is of another architecture."
            )
        tensor = RULES[entry.rule](variable)
        if tuple(tensor.shape) != entry.shape:
            raise CheckpointMismatch(
                f"Variable `{entry.foreign}` has shape {list(variable.shape)}, which does not fit the architecture."
            )
        state[entry.native] = tensor.contiguous()
    return state


RULES = {
    "same": lambda x: x,
    "dense": lambda x: x.t(),
    "conv": lambda x: x.permute(3, 2, 0, 1),
    "conv-up": lambda x: x.flip((0, 1)).permute(3, 2, 0, 1),
    "style-bias": lambda x: x + 1,
    "const": lambda x: x[0],
    "noise": lambda x: x[0, 0],
}
"""From their tensor to ours."""


def _block(architecture: Architecture, index: int, resolution: int) -> Iterator[Entry]:
    ours, theirs = f"synthesis.blocks.b{resolution}", f"synthesis/{resolution}x{resolution}"
    width = architecture.channels[resolution]
    if index == 0:
        yield Entry(f"{ours}.const", f"{theirs}/Const/const", (width, 4, 4), "const")
        layers = [("conv1", "Conv", width, 0, "conv")]
    else:
        narrower = architecture.channels[resolution // 2]
        layers = [
            ("conv0", "Conv0_up", narrower, 2 * index - 1, "conv-up"),
            ("conv1", "Conv1", width, 2 * index, "conv"),
        ]
    for name, foreign, inner, noise, rule in layers:
        yield from _modulated(architecture, f"{ours}.{name}", f"{theirs}/{foreign}", (width, inner, 3, 3), rule)
        yield Entry(f"{ours}.{name}.noise_strength", f"{theirs}/{foreign}/noise_strength", (), "same")
        yield Entry(f"{ours}.{name}.noise_const", f"synthesis/noise{noise}", (resolution, resolution), "noise")
    yield from _modulated(architecture, f"{ours}.torgb", f"{theirs}/ToRGB", (3, width, 1, 1), "conv")


def _modulated(
    architecture: Architecture, ours: str, theirs: str, shape: tuple[int, ...], rule: str
) -> Iterator[Entry]:
    affine = (shape[1], architecture.w_dim)
    yield Entry(f"{ours}.conv.weight", f"{theirs}/weight", shape, rule)
    yield Entry(f"{ours}.conv.affine.weight", f"{theirs}/mod_weight", affine, "dense")
    yield Entry(f"{ours}.conv.affine.bias", f"{theirs}/mod_bias", affine[:1], "style-bias")
    yield Entry(f"{ours}.bias", f"{theirs}/bias", shape[:1], "same")


def _conv(ours: str, theirs: str, shape: tuple[int, ...]) -> Iterator[Entry]:
    yield Entry(f"{ours}.weight", f"{theirs}/weight", shape, "conv")
    yield Entry(f"{ours}.bias", f"{theirs}/bias", shape[:1], "same")


def _dense(ours: str, theirs: str, shape: tuple[int, ...]) -> Iterator[Entry]:
    yield Entry(f"{ours}.weight", f"{theirs}/weight", shape, "dense")
    yield Entry(f"{ours}.bias", f"{theirs}/bias", shape[:1], "same")
