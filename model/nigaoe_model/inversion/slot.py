"""One slot's own story: its clock, its history, its stop rule and whom it tells about progress.

Everything here is plain Python and belongs to one request; the tensors of all slots lie stacked in the slot table.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from nigaoe_core.errors import InversionError, NigaoeError, NumericalFailure
from nigaoe_model.inversion.adam import Pace
from nigaoe_model.inversion.request import Progress, StartOrigin, StopReason, Ticket
from nigaoe_model.inversion.schedule import learning_rate_at, w_noise_at
from nigaoe_model.inversion.settings import InversionSettings, LossWeights
from nigaoe_model.inversion.slot_table import Move


class Slot:
    """The state of one admitted request.

    Attributes:
        ticket: Whose slot this is.
        steps: Steps done.
        weights: Terms that steer this slot.
        random: Source of everything random in this slot.
        history: Reported distance of every step.
        start: Where the slot began.
        best_step: Step that drew the best iterate; -1 before the first.
        stop_reason: None while the slot goes on.
        error: Why it failed.
    """

    def __init__(self, ticket: Ticket, admitted_at: float) -> None:
        self.ticket = ticket
        self.admitted_at = admitted_at
        self.steps = 0
        self.weights = _effective(self.settings)
        self.random = torch.Generator().manual_seed(ticket.request.seed)
        self.start: StartOrigin = "mean"
        self.history: list[float] = []
        self.best_step = -1
        self.best_distance = math.inf
        self._bests: list[float] = []
        self._noise: Tensor | None = None
        self._noise_step = -1
        self.stop_reason: StopReason | None = None
        self.error: NigaoeError | None = None

    @property
    def settings(self) -> InversionSettings:
        """How this slot optimises."""
        return self.ticket.request.settings

    @property
    def optimises_noise(self) -> bool:
        """Whether the noise maps move with the latent."""
        return self.settings.noise_maps == "optimised"

    @property
    def move(self) -> Move:
        """How the optimiser takes the present step."""
        settings = self.settings
        pace = Pace(self.steps, learning_rate_at(settings, self.steps), settings.beta1, settings.beta2)
        return Move(pace, tied=settings.space == "w", noise=self.optimises_noise)

    def w_noise(self, w_dim: int) -> Tensor | None:
        """Return the present step's noise on w, in units of w's spread; asked again, it is the same. # [1, w_dim]."""
        if self._noise_step != self.steps:
            scale = w_noise_at(self.settings, self.steps)
            self._noise = torch.randn(1, w_dim, generator=self.random) * scale if scale else None
            self._noise_step = self.steps
        return self._noise

    def record(self, distance: float, *, finite: bool) -> bool:
        """Take in what the present step measured.

        Args:
            distance: Reported distance.
            finite: Whether the loss and its gradient are finite, too.

        Returns:
            Whether this iterate is the best so far.
        """
        if not (finite and math.isfinite(distance)):
            self.fail(
                NumericalFailure("The optimisation left the range of numbers; lower the learning rate or the steps.")
            )
            return False
        self.history.append(distance)
        improved = distance < self.best_distance
        if improved:
            self.best_step, self.best_distance = self.steps, distance
        self._bests.append(self.best_distance)
        return improved

    def advance(self, now: float) -> None:
        """Count the step that was just made and decide whether it was the last."""
        self.steps += 1
        if self.stop_reason is None:
            self.stop_reason = self._verdict(now)

    def cancel(self) -> None:
        """Stop before the next step."""
        self.stop_reason = self.stop_reason or StopReason.CANCELLED

    def ask_whether_cancelled(self) -> None:
        """Let the request's own probe stop the slot."""
        probe = self.ticket.request.cancelled
        if probe is not None:
            with self._strangers_code():
                if probe():
                    self.cancel()

    def report(self, best_image: Tensor, best_w_plus: Tensor) -> None:
        """Tell the request how far it has come, when a report is due.

        Args:
            best_image: Picture of the best iterate, on any device. # [3, R, R].
            best_w_plus: The best iterate. # [num_ws, w_dim].
        """
        request = self.ticket.request
        due = self.steps % request.progress_interval == 0 or self.stop_reason is not None
        if request.on_progress is None or not due or self.error is not None:
            return
        with_preview = request.preview_interval is not None and self.steps % request.preview_interval == 0
        progress = Progress(
            step=self.steps,
            steps=self.settings.steps,
            distance=self.best_distance,
            start_distance=self.history[0],
            preview=best_image.clamp(-1, 1).cpu() if with_preview else None,
            preview_w_plus=best_w_plus.detach().clone() if with_preview else None,
        )
        with self._strangers_code():
            request.on_progress(progress)

    def fail(self, error: NigaoeError) -> None:
        """End this slot with an error."""
        self.stop_reason, self.error = StopReason.FAILED, error

    def _verdict(self, now: float) -> StopReason | None:
        settings, deadline = self.settings, self.ticket.request.deadline
        if settings.target_distance is not None and self.best_distance <= settings.target_distance:
            return StopReason.TARGET_REACHED
        if self.steps >= settings.steps:
            return StopReason.BUDGET
        if self._on_plateau():
            return StopReason.PLATEAU
        if deadline is not None and now >= deadline:
            return StopReason.DEADLINE
        return None

    def _on_plateau(self) -> bool:
        plateau = self.settings.plateau
        if plateau is None or len(self._bests) <= plateau.window:
            return False
        before = self._bests[-1 - plateau.window]
        return before - self.best_distance < plateau.epsilon * before

    @contextmanager
    def _strangers_code(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever a caller's function raises must not hurt the neighbours
            failure = InversionError("The caller's own code failed while it followed the progress; see the cause.")
            failure.__cause__ = error
            self.fail(failure)


def _effective(settings: InversionSettings) -> LossWeights:
    """Leave out the regularisation of noise maps that do not move."""
    if settings.noise_maps == "optimised":
        return settings.weights
    return settings.weights.model_copy(update={"noise": 0.0})
