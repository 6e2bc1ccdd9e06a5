"""Requests to the slot engine, and its tickets, progress reports and results."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from torch import Tensor

from nigaoe_core.errors import InversionError, NigaoeError
from nigaoe_model.inversion.settings import InversionSettings

StartOrigin = Literal["mean", "encoder", "given"]


class StopReason(StrEnum):
    """Why a slot was retired."""

    TARGET_REACHED = "target_reached"
    PLATEAU = "plateau"
    BUDGET = "budget"
    DEADLINE = "deadline"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, eq=False)
class Progress:
    """Progress of one slot after a step.

    Attributes:
        step: Steps done, 1..steps.
        steps: Budget.
        distance: Reported distance of the best iterate so far.
        start_distance: Reported distance of the start.
        preview: Picture of the best iterate # [3, R, R] in [-1, 1], on the CPU, when it is due.
        preview_w_plus: The iterate that it shows # [num_ws, w_dim], on the device.
    """

    step: int
    steps: int
    distance: float
    start_distance: float
    preview: Tensor | None = None
    preview_w_plus: Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class InversionRequest:
    """One face to invert.

    Attributes:
        target: RGB in [-1, 1] at the generator's resolution. # [3, R, R].
        settings: How to search and when to stop.
        region: Weight of every pixel, not negative; None weighs all the same. # [1, R, R].
        seed: Seed of everything that this slot draws at random.
        start: Where to start; None: where the settings say. # [num_ws, w_dim].
        deadline: Stop at this reading of ``time.monotonic()`` with the best iterate so far.
        on_progress: Called in the engine's thread after every ``progress_interval`` steps and after the last; what it
            raises fails this request alone.
        progress_interval: Steps between two calls.
        preview_interval: Steps between two previews, a multiple of ``progress_interval`` to be seen; the first step has
            one, too, which shows the start. None: never.
        cancelled: Asked before every step; true retires the slot.
    """

    target: Tensor
    settings: InversionSettings = field(default_factory=InversionSettings)
    region: Tensor | None = None
    seed: int = 0
    start: Tensor | None = None
    deadline: float | None = None
    on_progress: Callable[[Progress], None] | None = None
    progress_interval: int = 1
    preview_interval: int | None = None
    cancelled: Callable[[], bool] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Ticket:
    """A request's place in an engine; compared by identity.

    Attributes:
        number: Counts admissions of one engine from 0.
        request: What was admitted.
    """

    number: int
    request: InversionRequest


@dataclass(frozen=True, slots=True, eq=False)
class InversionResult:
    """The best iterate of one slot; all tensors are float32 copies on the CPU.

    Attributes:
        w_plus: # [num_ws, w_dim].
        noise: Optimised maps in drawing order, each # [1, R_i, R_i]; None where the generator's own were used.
        reconstruction: What the generator draws from them, raw range (about [-1, 1]). # [3, R, R].
        distance_start: Reported distance of the start.
        distance_end: Reported distance of the best iterate: never above ``distance_start``, never above any of
            ``history``.
        steps: Steps done.
        best_step: Step (from 0) that drew the best iterate.
        seconds: Wall time from admission to the end.
        stop_reason: Why it ended.
        history: Reported distance of every step.
        start: Where it began.
    """

    w_plus: Tensor
    noise: tuple[Tensor, ...] | None
    reconstruction: Tensor
    distance_start: float
    distance_end: float
    steps: int
    best_step: int
    seconds: float
    stop_reason: StopReason
    history: tuple[float, ...]
    start: StartOrigin = "mean"


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """One retired slot: a result, or the error that ended it.

    Attributes:
        ticket: Whose slot it was.
        stop_reason: Why it ended.
        result: Best iterate; None when the slot failed, or was cancelled before its first step.
        error: Set exactly when ``stop_reason`` is ``failed``.
    """

    ticket: Ticket
    stop_reason: StopReason
    result: InversionResult | None = None
    error: NigaoeError | None = None

    def unwrap(self) -> InversionResult:
        """Return the result.

        Raises:
            InversionError: There is none: the slot failed, or was cancelled before its first step.
        """
        if self.error is not None:
            raise self.error
        if self.result is None:
            raise InversionError("Reverse generation was cancelled before it began; ask again.")
        return self.result
