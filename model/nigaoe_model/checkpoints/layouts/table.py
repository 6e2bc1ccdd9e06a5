"""One row a tensor: our name beside a foreign name and shape. Import and export read the same table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from nigaoe_core.errors import CheckpointMismatch

if TYPE_CHECKING:  # A file is inspected without torch; only its conversion needs tensors.
    from torch import Tensor


class Shaped(Protocol):
    """Anything with a shape: a tensor, or the record of one that has not been read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes."""


@dataclass(frozen=True, slots=True)
class Row:
    """A tensor's two homes; both hold the same numbers in the same order.

    Attributes:
        native: Name in our state dict.
        foreign: Name in the other layout.
        native_shape: Our shape.
        foreign_shape: Their shape: the same number of elements.
    """

    native: str
    foreign: str
    native_shape: tuple[int, ...]
    foreign_shape: tuple[int, ...]


def to_native(rows: Iterable[Row], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename and reshape a foreign state dict into ours.

    Raises:
        CheckpointMismatch: A tensor is missing or has another shape.
    """
    return {row.native: _take(state, row.foreign, row.foreign_shape).reshape(row.native_shape) for row in rows}


def to_foreign(rows: Iterable[Row], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename and reshape our state dict into the foreign layout.

    Raises:
        CheckpointMismatch: A tensor is missing or has another shape.
    """
    return {row.foreign: _take(state, row.native, row.native_shape).reshape(row.foreign_shape) for row in rows}


def _take(state: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
    tensor = state.get(name)
    if tensor is None:
        raise CheckpointMismatch(f"The checkpoint has no tensor `{name}`: it is incomplete or of another architecture.")
    if tuple(tensor.shape) != shape:
        raise CheckpointMismatch(
            f"Tensor `{name}` has shape {list(tensor.shape)} where the architecture needs {list(shape)}."
        )
    return tensor
