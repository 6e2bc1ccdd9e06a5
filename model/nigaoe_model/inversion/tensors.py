"""Dataclasses of tensors whose first axis is the sample: listed, mapped and concatenated whatever their structure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Batched:
    """Base of structures of tensors: a field is a tensor, such a structure, a sequence or mapping of them, or None."""

    @property
    def columns(self) -> list[Tensor]:
        """All tensors in a fixed order; the first axis of each is the sample."""
        return [column for each in fields(self) for column in _columns(getattr(self, each.name))]

    def map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Return the same structure with every tensor changed, in the order of :attr:`columns`."""
        return replace(self, **{each.name: _mapped(getattr(self, each.name), change) for each in fields(self)})

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Concatenate parts of a batch."""
        if len(parts) == 1:
            return parts[0]
        columns = iter([torch.cat(column) for column in zip(*(part.columns for part in parts), strict=True)])
        return parts[0].map(lambda _: next(columns))


def per_sample(column: Tensor, like: Tensor) -> Tensor:
    """Shape one number a sample # [N] so that it broadcasts over the samples of ``like`` # [N, ...]."""
    return column.reshape(-1, *([1] * (like.ndim - 1)))


def _columns(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Batched):
        yield from value.columns
    elif value is not None:
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _columns(each)


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Batched):
        return value.map(change)
    if isinstance(value, Mapping):
        return {name: _mapped(each, change) for name, each in value.items()}
    return None if value is None else [_mapped(each, change) for each in value]
