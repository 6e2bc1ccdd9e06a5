"""All tensors of a file with the way to them. Values may be shared, so the walk has a budget: it always ends soon."""

from collections.abc import Iterable, Iterator
from typing import Any

from nigaoe_core.errors import UnsafeCheckpoint
from nigaoe_model.checkpoints.records import ModuleRecord, NetworkRecord, TensorRecord

MAX_VISITS = 200_000
MAX_DEPTH = 40
MAX_NAME = 300

Way = tuple[str, ...]


def tensors_in(value: Any) -> dict[Way, TensorRecord]:
    """Return every tensor under the names that lead to it.

    Args:
        value: Dictionaries, lists, modules, networks, tensors.

    Raises:
        UnsafeCheckpoint: There are more ways than any honest checkpoint has.
    """
    return dict(_walk(value))


def _walk(root: Any) -> Iterator[tuple[Way, TensorRecord]]:
    pending: list[tuple[Way, Any]] = [((), root)]
    visits = 0
    while pending:
        way, value = pending.pop()
        if isinstance(value, TensorRecord):
            yield way, value
            continue
        children = list(_children(value))
        visits += len(children) + 1
        if visits > MAX_VISITS or len(way) > MAX_DEPTH:
            raise UnsafeCheckpoint("The checkpoint refers to the same things again and again: no honest one does.")
        pending += [((*way, str(key)[:MAX_NAME]), item) for key, item in reversed(children)]


def _children(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, tuple | list):
        return enumerate(value)
    if isinstance(value, ModuleRecord):
        return _pairs(value.state, "_parameters", "_buffers", "_modules")
    if isinstance(value, NetworkRecord):
        listed = value.state.get("variables")
        variables = [tuple(v) for v in listed if isinstance(v, tuple | list) and len(v) == 2] if listed else []
        return [*variables, *_pairs(value.state, "components")]
    return ()


def _pairs(state: dict[Any, Any], *parts: str) -> list[tuple[Any, Any]]:
    return [pair for part in parts if isinstance(state.get(part), dict) for pair in state[part].items()]
