"""A small cache of values made from objects, which keeps none of those objects alive.

`functools.lru_cache` keeps its arguments: a generator that a newer one has replaced would stay in the GPU's memory, and
all that was made from it, until enough others had passed.
"""

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")

_Key = tuple[tuple[int, ...], Hashable]


class WeakCache(Generic[V]):
    """Keeps a few values, the most recently used, each for as long as all its owners live. Safe to share.

    Args:
        size: Most values that are kept.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[_Key, tuple[tuple[weakref.ref[object], ...], V]] = OrderedDict()
        # Reentrant: an owner may be collected, and its entries go, in the middle of any line here.
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, owners: tuple[object, ...], make: Callable[[], V], detail: Hashable = None) -> V:
        """Return what was made for these owners, compared by identity, and make it where it was not.

        Args:
            owners: When one of them is gone, so is the value; it must not refer to them.
            make: Makes the value.
            detail: Tells values of the same owners apart.
        """
        key = (tuple(map(id, owners)), detail)
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None and all(ref() is owner for ref, owner in zip(entry[0], owners, strict=True)):
                self._entries.move_to_end(key)
                return entry[1]
            value = make()
            self._entries[key] = (tuple(self._watched(owner, key) for owner in owners), value)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)
            return value

    def _watched(self, owner: object, key: _Key) -> "weakref.ref[object]":
        def forget(_owner: object) -> None:
            with self._lock:
                self._entries.pop(key, None)

        return weakref.ref(owner, forget)
