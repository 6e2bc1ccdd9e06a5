"""What the device's thread is asked for: an inversion that takes a slot, or an errand between two steps."""

import itertools
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from nigaoe_core.jobs import UnixTime
from nigaoe_model.inversion.request import Finished, InversionRequest
from nigaoe_model.portrait.pair import LoadedGenerator

T = TypeVar("T")

_numbers = itertools.count()


@dataclass(eq=False)
class InversionOrder:
    """One inversion that waits for a slot or has one; the most urgent, then the oldest goes first.

    Attributes:
        loaded: The generator to invert in.
        request: The face and how to search for it.
        priority: Of the job; higher runs sooner.
        queued_at: Since when the job waits.
        future: Gets what became of it.
        is_suspect: A step with it raised something; it may run alone once more.
    """

    loaded: LoadedGenerator
    request: InversionRequest
    priority: int = 5
    queued_at: UnixTime = 0.0
    future: "Future[Finished]" = field(default_factory=Future)
    is_suspect: bool = False
    number: int = field(default_factory=lambda: next(_numbers))

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody wants it any more; raises what the request's own question raises."""
        return self.request.cancelled is not None and self.request.cancelled()

    def __lt__(self, other: "InversionOrder") -> bool:
        return self._rank < other._rank

    @property
    def _rank(self) -> tuple[int, float, int]:
        return (-self.priority, self.queued_at, self.number)


@dataclass(eq=False)
class Errand:
    """Something short that needs the device: drawing, loading.

    Attributes:
        work: What to do in the device's thread; it may be done again where memory ran out.
        is_urgent: Somebody watches the page and waits for it (a restyle).
        may_take_long: Loading from a disk takes as long as it takes; anything else that does means a device that hangs.
        future: Gets what it returned or raised.
    """

    work: Callable[[], Any]
    is_urgent: bool = False
    may_take_long: bool = False
    future: "Future[Any]" = field(default_factory=Future)


def answer(future: "Future[T]", result: T) -> None:
    """Hand a result over, unless whoever waited was answered already (its device was given up)."""
    with suppress(InvalidStateError):
        future.set_result(result)


def refuse(future: "Future[Any]", error: BaseException) -> None:
    """Hand an error over, unless whoever waited was answered already."""
    with suppress(InvalidStateError):
        future.set_exception(error)
