"""One walk over the layers of our networks, and one row a tensor: our name and shape beside those of another program.

A layout is a function from a layer to rows. Import, export and recognition read the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Protocol

from nigaoe_core.errors import CheckpointMismatch
from nigaoe_model.stylegan2.architecture import MAX_MAPPING_LAYERS, MAX_RESOLUTION, Architecture

if TYPE_CHECKING:  # A file is inspected without torch; only its conversion needs tensors.
    from torch import Tensor

Shape = tuple[int, ...]


class Shaped(Protocol):
    """Anything with a shape: a tensor, or the record of one that has not been read."""

    @property
    def shape(self) -> Shape:
        """Sizes."""


@dataclass(frozen=True, slots=True)
class Row:
    """One tensor under two names.

    Attributes:
        native: Name in our state dict.
        foreign: Name in the other layout.
        native_shape: Our shape.
        foreign_shape: Their shape.
        convert: From their tensor to ours; None: the same numbers in the same order, in another shape.
    """

    native: str
    foreign: str
    native_shape: Shape
    foreign_shape: Shape
    convert: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of our generator or discriminator.

    Attributes:
        kind: ``mean``, ``mapping``, ``const``, ``conv0``, ``conv1`` or ``torgb`` in a generator; ``fromrgb``,
            ``conv0``, ``conv1``, ``skip``, ``conv``, ``fc`` or ``out`` in a discriminator.
        name: What the names of its tensors begin with in our state dict.
        resolution: Of its block, pixels.
        index: Of the mapping layer, or of the block in the order of computation; ``fromrgb`` is a block of its own.
        shapes: Of its tensors, by the rest of their names.
    """

    kind: str
    name: str
    resolution: int
    index: int
    shapes: Mapping[str, Shape]

    def row(
        self,
        part: str,
        foreign: str,
        foreign_shape: Shape | None = None,
        convert: Callable[[Tensor], Tensor] | None = None,
    ) -> Row:
        """Return the row of one of its tensors; by default their shape is ours."""
        shape = self.shapes[part]
        return Row(f"{self.name}.{part}", foreign, shape, shape if foreign_shape is None else foreign_shape, convert)


Layout = Callable[[Layer], Iterable[Row]]

# All names that a file may have, of one mapping layer and one block more than an architecture allows: who has them is
# refused, not cut.
_LARGEST = Architecture.model_construct(
    resolution=2 * MAX_RESOLUTION,
    channels={2**k: 1 for k in range(2, MAX_RESOLUTION.bit_length() + 1)},
    z_dim=1,
    w_dim=1,
    mapping_layers=MAX_MAPPING_LAYERS + 1,
)


def generator_rows(layout: Layout, architecture: Architecture) -> list[Row]:
    """Return the table for a generator."""
    return [row for layer in _generator_layers(architecture) for row in layout(layer)]


def discriminator_rows(layout: Layout, architecture: Architecture) -> list[Row]:
    """Return the table for a discriminator."""
    return [row for layer in _discriminator_layers(architecture) for row in layout(layer)]


def infer_architecture(layout: Layout, generator: Mapping[str, Shaped], **switches: Any) -> Architecture:
    """Read the architecture off a generator's shapes (files seldom carry the channel table).

    Args:
        layout: Of the names.
        generator: Tensors by foreign name.
        **switches: Fields of :class:`Architecture` that no shape tells, such as ``conv_clamp``.

    Raises:
        KeyError: A name of the layout is missing: the tensors are of another family.
        ValueError: The shapes describe no StyleGAN2.
    """
    names = {row.native: row.foreign for row in generator_rows(layout, _LARGEST)}
    layers = sum(names[f"mapping.layers.{i}.weight"] in generator for i in range(_LARGEST.mapping_layers))
    w_dim = generator[names["mapping.layers.0.bias"]].shape[0]
    z_dim = prod(generator[names["mapping.layers.0.weight"]].shape) // w_dim
    biases = {resolution: names[f"synthesis.blocks.b{resolution}.conv1.bias"] for resolution in _LARGEST.resolutions}
    channels = {resolution: generator[name].shape[0] for resolution, name in biases.items() if name in generator}
    return Architecture(
        resolution=max(channels), channels=channels, z_dim=z_dim, w_dim=w_dim, mapping_layers=layers, **switches
    )


def to_native(rows: Iterable[Row], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename and convert a foreign state dict into ours.

    Raises:
        CheckpointMismatch: A tensor is missing or has another shape.
    """
    taken = ((row, _take(state, row.foreign, row.foreign_shape)) for row in rows)
    return {
        row.native: tensor.reshape(row.native_shape) if row.convert is None else row.convert(tensor).contiguous()
        for row, tensor in taken
    }


def to_foreign(rows: Iterable[Row], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename and reshape our state dict into a foreign layout that holds the same numbers in the same order.

    Raises:
        CheckpointMismatch: A tensor is missing or has another shape.
    """
    return {row.foreign: _take(state, row.native, row.native_shape).reshape(row.foreign_shape) for row in rows}


def _take(state: Mapping[str, Tensor], name: str, shape: Shape) -> Tensor:
    tensor = state.get(name)
    if tensor is None:
        raise CheckpointMismatch(f"The checkpoint has no tensor `{name}`: it is incomplete or of another architecture.")
    if tuple(tensor.shape) != shape:
        raise CheckpointMismatch(
            f"Tensor `{name}` has shape {list(tensor.shape)} where the architecture needs {list(shape)}."
        )
    return tensor


def _generator_layers(architecture: Architecture) -> Iterator[Layer]:
    channels, w_dim = architecture.channels, architecture.w_dim
    yield Layer("mean", "mapping", 0, 0, {"w_avg": (w_dim,)})
    for i in range(architecture.mapping_layers):
        shapes = _affine((w_dim, architecture.z_dim if i == 0 else w_dim))
        yield Layer("mapping", f"mapping.layers.{i}", 0, i, shapes)
    for i, resolution in enumerate(architecture.resolutions):
        block, width = f"synthesis.blocks.b{resolution}", channels[resolution]
        noise = {"bias": (width,), "noise_strength": (), "noise_const": (resolution, resolution)}
        if i == 0:
            yield Layer("const", block, resolution, i, {"const": (width, 4, 4)})
        else:
            shapes = _modulated(w_dim, (width, channels[resolution // 2], 3, 3)) | noise
            yield Layer("conv0", f"{block}.conv0", resolution, i, shapes)
        yield Layer("conv1", f"{block}.conv1", resolution, i, _modulated(w_dim, (width, width, 3, 3)) | noise)
        shapes = _modulated(w_dim, (3, width, 1, 1)) | {"bias": (3,)}
        yield Layer("torgb", f"{block}.torgb", resolution, i, shapes)


def _discriminator_layers(architecture: Architecture) -> Iterator[Layer]:
    channels, top = architecture.channels, architecture.resolution
    yield Layer("fromrgb", "fromrgb", top, 0, _affine((channels[top], 3, 1, 1)))
    for i, resolution in enumerate(architecture.resolutions[:0:-1], start=1):
        block, width, wider = f"blocks.b{resolution}", channels[resolution], channels[resolution // 2]
        yield Layer("conv0", f"{block}.conv0", resolution, i, _affine((width, width, 3, 3)))
        yield Layer("conv1", f"{block}.conv1", resolution, i, _affine((wider, width, 3, 3)))
        yield Layer("skip", f"{block}.skip", resolution, i, {"weight": (wider, width, 1, 1)})
    width, last = channels[4], architecture.num_blocks
    yield Layer("conv", "epilogue.conv", 4, last, _affine((width, width + 1, 3, 3)))
    yield Layer("fc", "epilogue.fc", 4, last, _affine((width, width * 16)))
    yield Layer("out", "epilogue.out", 4, last, _affine((1, width)))


def _affine(weight: Shape) -> dict[str, Shape]:
    return {"weight": weight, "bias": weight[:1]}


def _modulated(w_dim: int, weight: Shape) -> dict[str, Shape]:
    return {"conv.weight": weight, "conv.affine.weight": (weight[1], w_dim), "conv.affine.bias": weight[1:2]}
