"""The slots of one generator, the requests that occupy them, and recovery when a step fails.

Out of memory: the batch of one pass is halved (slots stay, answers stay the same) and doubled again later. Any other
exception cannot be blamed on one slot of a batch, so every request in it runs alone once more: the faulty one fails
then, its neighbours do not. `nigaoe_model.device_errors` classifies what an exception says about the device.
"""

import itertools
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import structlog
import torch

from nigaoe_core.errors import InversionError
from nigaoe_core.jobs import UnixTime
from nigaoe_model.device_errors import DeviceTrouble, device_trouble
from nigaoe_model.inversion.engine import SlotEngine
from nigaoe_model.inversion.request import Finished, InversionRequest, Ticket
from nigaoe_model.portrait.pair import LoadedGenerator

WIDEN_AFTER: Final = 50
"""Steps without trouble after which a halved batch is doubled again; twice as many after every relapse."""
MOST_WIDEN_AFTER: Final = 3200

T = TypeVar("T")

_numbers = itertools.count()
_log = structlog.get_logger(__name__)


class DeviceLost(Exception):
    """The device does not compute any more; only a fresh process gets it back.

    Args:
        message: What happened.
        computing: Whether the device was computing for the receiver of this error, which may be the cause.
    """

    def __init__(self, message: str = "The device stopped working.", *, computing: bool = False) -> None:
        """Remember both."""
        super().__init__(message)
        self.was_computing = computing


@dataclass(eq=False)
class SlotRequest:
    """One inversion that waits for a slot or has one; ordered by priority, then age.

    Attributes:
        loaded: The generator to invert in.
        inversion: The face and how to search for it.
        priority: Of the job; higher runs sooner.
        queued_at: Since when the job waits.
        future: Receives the result.
        is_suspect: A step with it raised something; it may run alone once more.
    """

    loaded: LoadedGenerator
    inversion: InversionRequest
    priority: int = 5
    queued_at: UnixTime = 0.0
    future: "Future[Finished]" = field(default_factory=Future)
    is_suspect: bool = False
    number: int = field(default_factory=lambda: next(_numbers))

    @property
    def is_cancelled(self) -> bool:
        """Whether it was cancelled; raises what the caller's callback raises."""
        return self.inversion.cancelled is not None and self.inversion.cancelled()

    def __lt__(self, other: "SlotRequest") -> bool:
        return self._rank < other._rank

    @property
    def _rank(self) -> tuple[int, float, int]:
        return (-self.priority, self.queued_at, self.number)


class SlotBatch:
    """A slot engine and the requests in its slots. Owned by the device's thread.

    Args:
        loaded: The generator that is inverted.
        engine: Its slots.
        is_quarantine: Its requests broke a step of others before; they run one at a time, and failing is final.

    Attributes:
        is_broken: A step broke off in the middle; nothing more may run here.
    """

    def __init__(self, loaded: LoadedGenerator, engine: SlotEngine, *, is_quarantine: bool = False) -> None:
        self.loaded = loaded
        self.is_quarantine = is_quarantine
        self.is_broken = False
        self._engine = engine
        self._requests: dict[Ticket, SlotRequest] = {}
        self._good_steps = 0
        self._widen_after = WIDEN_AFTER

    @property
    def occupied(self) -> int:
        """Number of slots in use."""
        return len(self._requests)

    @property
    def has_free_slot(self) -> bool:
        """Whether one more request may join now."""
        return self._engine.free > 0

    @property
    def batch_limit(self) -> int | None:
        """Samples in one pass while memory is short; None: all slots."""
        return self._engine.batch_limit

    @property
    def requests(self) -> list[SlotRequest]:
        """The requests in the slots."""
        return list(self._requests.values())

    def admit(self, request: SlotRequest) -> bool:
        """Give a request a slot; a request that does not fit fails alone.

        Returns:
            False: There is no memory for it beside those at work, however narrow their batch; it has to wait.

        Raises:
            DeviceLost: The device is gone for this process.
        """
        while True:
            try:
                self._requests[self._engine.admit(request.inversion)] = request
            except Exception as error:
                trouble = device_trouble(error)
                if trouble is DeviceTrouble.LOST:
                    raise DeviceLost from error
                if trouble is DeviceTrouble.MEMORY and self.occupied:
                    if self._halve():
                        continue
                    return False
                _log.exception("engine.refused")
                reject(request.future, inversion_failure(error))
            return True

    def step(self) -> list[SlotRequest]:
        """Advance all slots by one step; requests that end get their result.

        Returns:
            Requests that lost their slot without a result and shall run once more, alone.

        Raises:
            DeviceLost: The device is gone for this process.
        """
        try:
            finished = self._engine.step()
        except Exception as error:  # noqa: BLE001 - classified right below: memory, device, or one request's data.
            return self._recover(error)
        self._count_good_step()
        for ended in finished:
            request = self._requests.pop(ended.ticket, None)
            if request is not None:
                resolve(request.future, ended)
        return []

    def release_memory(self) -> None:
        """Free what memory can be freed for other work on this device."""
        self._engine.release_recordings()
        self._halve()

    def _recover(self, error: Exception) -> list[SlotRequest]:
        trouble = device_trouble(error)
        if trouble is DeviceTrouble.LOST:
            raise DeviceLost from error
        if trouble is DeviceTrouble.MEMORY and self._halve():
            self._drop_cancelled()
            return []
        _log.exception("engine.step_failed", slots=self.occupied, exc_info=error)
        self.is_broken = True
        requests, self._requests = self.requests, {}
        if self.is_quarantine or len(requests) == 1:
            for request in requests:
                reject(request.future, inversion_failure(error))
            return []
        for request in requests:
            request.is_suspect = True
        return requests

    def _drop_cancelled(self) -> None:
        """Cancel the futures of cancelled requests: a step that broke off may have retired them without a result."""
        for ticket, request in list(self._requests.items()):
            with suppress(Exception):  # What the caller's callback raises fails its slot at the next step.
                if request.is_cancelled:
                    request.future.cancel()
                    del self._requests[ticket]

    def _halve(self) -> bool:
        """Halve the batch of one pass; False: one sample alone is too much already."""
        limit = min(self._engine.batch_limit or self.occupied, self.occupied)
        if limit <= 1:
            return False
        self._engine.batch_limit = limit // 2
        self._good_steps, self._widen_after = 0, min(2 * self._widen_after, MOST_WIDEN_AFTER)
        _log.warning("engine.narrowed", batch_limit=limit // 2)
        release_cached_memory()  # Fragments of the batch that did not fit are of no use to the smaller one.
        return True

    def _count_good_step(self) -> None:
        limit = self._engine.batch_limit
        if limit is None:
            return
        self._good_steps += 1
        if self._good_steps >= self._widen_after:
            self._good_steps = 0
            self._engine.batch_limit = 2 * limit if 2 * limit < self._engine.width else None
            _log.info("engine.widened", batch_limit=self._engine.batch_limit)


def resolve(future: "Future[T]", result: T) -> None:
    """Set a future's result, unless it is done already (its device was given up)."""
    with suppress(InvalidStateError):
        future.set_result(result)


def reject(future: "Future[Any]", error: BaseException) -> None:
    """Set a future's exception, unless it is done already."""
    with suppress(InvalidStateError):
        future.set_exception(error)


def release_cached_memory() -> None:
    """Return the GPU memory that PyTorch caches for later to the GPU."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def inversion_failure(error: BaseException) -> InversionError:
    """Turn whatever ended an inversion into an error of the tree, with its cause."""
    if isinstance(error, InversionError):
        return error
    is_memory = device_trouble(error) is DeviceTrouble.MEMORY
    words = "the device has too little memory for it" if is_memory else "an unexpected fault, see the log"
    failure = InversionError(f"The likeness could not be found: {words}. Try another preset, or tell the operator.")
    failure.__cause__ = error
    return failure


def memory_failure(error: BaseException) -> InversionError:
    """Turn a lack of memory while a portrait was drawn or enlarged into an error of the tree, with its cause."""
    failure = InversionError(
        "The portrait could not be drawn: the device has too little memory for it. Try again, or tell the operator."
    )
    failure.__cause__ = error
    return failure
