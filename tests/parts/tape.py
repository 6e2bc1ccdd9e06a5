"""A double of CUDA graphs that needs no GPU: it notes the operations below autograd and repeats the very same ones.

Python runs once. A replay repeats each operation with the tensors and numbers that it had: what Python held, it holds
for ever, and what was put elsewhere since, it does not see. Whatever earlier replays left, also of other recordings, is
spoiled first, as graphs that share one pool of memory may spoil it.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nigaoe_model.inversion.graphs import Result

REFUSED = {"aten::_local_scalar_dense": "a wait for the device", "aten::lift_fresh": "a number of the host"}
WARM_UPS = 1


class Tape(TorchDispatchMode):
    """Notes operations while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, list[Tensor], set[int]]] = []
        self.fresh: list[Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if reason := REFUSED.get(func._schema.name):
            raise RuntimeError(f"{reason} inside a recording")
        answer = func(*args, **kwargs)
        given = {_place(tensor) for tensor in _tensors((args, kwargs))}
        answers = _tensors(answer)
        places = [tensor for tensor in answers if _place(tensor) not in given]
        if places or func._schema.is_mutable:
            self.calls.append((func, args, kwargs, answers, {id(tensor) for tensor in places}))
            self.fresh += places
        return answer

    def spoil(self) -> None:
        """Overwrite everything that the recording made."""
        for tensor in self.fresh:
            if tensor.is_floating_point():
                tensor.fill_(math.nan)

    def repeat(self) -> None:
        """Do all operations again, each answer going to its place."""
        for func, args, kwargs, answers, fresh in self.calls:
            for place, tensor in zip(answers, _tensors(func(*args, **kwargs)), strict=True):
                if id(place) in fresh:
                    place.copy_(tensor)


class TapeRecorder:
    """Records on tapes, of which each spoils what the others left."""

    def __init__(self) -> None:
        self.tapes: list[Tape] = []

    def record(self, work: Callable[[], Result]) -> Callable[[], Result]:
        """Warm up and record; see :class:`nigaoe_model.inversion.graphs.Recorder`."""
        for _ in range(WARM_UPS):
            work()
        with Tape() as tape:
            answer = work()
        self.tapes.append(tape)

        @torch.no_grad()
        def replay() -> Result:
            for other in self.tapes:
                other.spoil()
            tape.repeat()
            return answer

        return replay

    def release(self) -> None:
        """Drop all tapes."""
        self.tapes.clear()

    def another(self) -> "TapeRecorder":
        """Return another."""
        return TapeRecorder()


class FailingRecorder(TapeRecorder):
    """Fails as a capture does, after it trained for a while.

    Args:
        after: Recordings that succeed.
    """

    def __init__(self, *, after: int = 0) -> None:
        super().__init__()
        self.after = after

    def record(self, work: Callable[[], Result]) -> Callable[[], Result]:
        """Fail, once enough succeeded."""
        if len(self.tapes) < self.after:
            return super().record(work)
        work()
        raise RuntimeError("operation not permitted when stream is capturing")


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
