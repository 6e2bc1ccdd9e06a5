"""Drawings in one pass that wait for the device, and recovery when a pass fails.

Photos of feed-forward styles and instant portraits: those that are drawn alike share a forward pass, the more urgent
and then the older first; one that comes meanwhile joins the next. Out of memory: the pass is halved until it fits. Any
other exception cannot be blamed on one photo of a pass, so each of them is drawn alone once more: the faulty one fails
then, its neighbours do not. Searches never notice.
"""

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import structlog

from nigaoe_core.errors import InversionError, NigaoeError
from nigaoe_core.jobs import UnixTime
from nigaoe_model.device_errors import DeviceTrouble, device_trouble
from nigaoe_model.portrait.convert import Conversion
from nigaoe_model.portrait.drawing import Look
from nigaoe_model.portrait.feed_forward import FeedForwardStyle, OnePassDrawing, OnePassRequest, draw_in_one_pass
from nigaoe_model.portrait.instant import InstantRequest, draw_guesses
from nigaoe_model.portrait.pair import Pair
from nigaoe_model.portrait.upscale import Upscaler
from nigaoe_worker.slot_batch import DeviceLost, memory_failure, reject, resolve

_numbers = itertools.count()
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class FeedForwardPass:
    """What photos of a feed-forward style have in common.

    Attributes:
        style: Draws them.
        upscaler: Enlarges the drawings; None leaves them as they are.
    """

    style: FeedForwardStyle
    upscaler: Upscaler | None = None

    def draw(self, photos: Sequence[OnePassRequest]) -> list[OnePassDrawing]:
        """Draw photos in one pass; see `draw_in_one_pass`."""
        return draw_in_one_pass(self.style, photos, self.upscaler)


@dataclass(frozen=True)
class InstantPass:
    """What instant portraits have in common that share a pass.

    Attributes:
        pair: Draws them.
        look: How.
        upscaler: Enlarges the drawings; None leaves them as they are.
    """

    pair: Pair
    look: Look
    upscaler: Upscaler | None = None

    def draw(self, photos: Sequence[InstantRequest]) -> list[Conversion]:
        """Draw photos in one pass; see `draw_guesses`."""
        return draw_guesses(self.pair, self.look, photos, self.upscaler)


Drawn = OnePassDrawing | Conversion


@dataclass(eq=False)
class PassRequest:
    """One photo that waits for a pass; ordered by priority, then age.

    Attributes:
        kind: How it is drawn; those that are equal share a pass.
        photo: What is drawn, as its kind takes it.
        priority: Of the job; higher runs sooner.
        queued_at: Since when the job waits.
        cancelled: Whether nobody wants the drawing any more.
        future: Receives the drawing.
        is_suspect: A pass with it raised something; it is drawn alone once more.
    """

    kind: FeedForwardPass | InstantPass
    photo: Any
    priority: int = 5
    queued_at: UnixTime = 0.0
    cancelled: Callable[[], bool] | None = None
    future: "Future[Any]" = field(default_factory=Future)
    is_suspect: bool = False
    number: int = field(default_factory=lambda: next(_numbers))

    @property
    def is_cancelled(self) -> bool:
        """Whether it was cancelled; raises what the caller's callback raises."""
        return self.cancelled is not None and self.cancelled()

    def __lt__(self, other: "PassRequest") -> bool:
        return self._rank < other._rank

    @property
    def _rank(self) -> tuple[int, float, int]:
        return (-self.priority, self.queued_at, self.number)

    def may_share_a_pass(self, other: "PassRequest") -> bool:
        """Whether both can be drawn in one pass."""
        return self.kind == other.kind and not self.is_suspect and not other.is_suspect


def next_pass(waiting: Sequence[PassRequest], width: int) -> list[PassRequest]:
    """Choose the photos of the next pass: the first in line, and whoever else is drawn like it.

    Args:
        waiting: In any order; nothing is removed.
        width: Photos in one pass, at most.
    """
    line = sorted(waiting)
    first, rest = line[0], line[1:]
    return [first, *[request for request in rest if first.may_share_a_pass(request)]][:width]


def run_pass(
    requests: Sequence[PassRequest],
    with_memory_retry: Callable[[Callable[[], Sequence[Drawn]]], Sequence[Drawn]],
) -> list[PassRequest]:
    """Draw photos; each future gets its drawing, or its error.

    Args:
        requests: Of one kind, see `next_pass`.
        with_memory_retry: Runs something, once more after memory was freed.

    Returns:
        Requests that got nothing and shall be drawn alone once more.

    Raises:
        DeviceLost: The device is gone for this process.
    """
    kind, photos = requests[0].kind, [request.photo for request in requests]
    try:
        drawings = with_memory_retry(lambda: kind.draw(photos))
    except Exception as error:
        trouble = device_trouble(error)
        if trouble is DeviceTrouble.LOST:
            raise DeviceLost from error
        if len(requests) == 1:
            reject(requests[0].future, pass_failure(error))
            return []
        if trouble is DeviceTrouble.MEMORY:
            half = len(requests) // 2
            return run_pass(requests[:half], with_memory_retry) + run_pass(requests[half:], with_memory_retry)
        _log.exception("engine.pass_failed", photos=len(requests), exc_info=error)
        for request in requests:
            request.is_suspect = True
        return list(requests)
    for request, drawing in zip(requests, drawings, strict=True):
        resolve(request.future, drawing)
    return []


def pass_failure(error: Exception) -> NigaoeError:
    """Turn whatever ended a drawing into an error of the tree, with its cause."""
    if isinstance(error, NigaoeError):
        return error
    if device_trouble(error) is DeviceTrouble.MEMORY:
        return memory_failure(error)
    _log.exception("engine.not_drawn", exc_info=error)
    failure = InversionError("The portrait could not be drawn: an unexpected fault, see the log. Tell the operator.")
    failure.__cause__ = error
    return failure
