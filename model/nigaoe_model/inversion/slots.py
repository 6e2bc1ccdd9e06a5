"""The slots of an engine: what the host knows of each search, and the stacked tensors of all.

A :class:`Slot` is plain Python and belongs to one request. In a :class:`SlotBatch` row i of every tensor belongs to the
slot in row i; occupied rows are always the first ones, so that a step works on views and gathers nothing.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from nigaoe_core.errors import InversionError, NigaoeError, NumericalFailure
from nigaoe_model.inversion.adam import BatchedAdam, Pace
from nigaoe_model.inversion.algorithm import learning_rate_at, stop_reason, w_noise_at
from nigaoe_model.inversion.batch import Iterate, Move, SearchState, Target
from nigaoe_model.inversion.regularisers import draw_noise_maps
from nigaoe_model.inversion.request import Progress, StartOrigin, StopReason, Ticket
from nigaoe_model.inversion.settings import InversionSettings, LossWeights
from nigaoe_model.stylegan2.generator import Synthesis


class Slot:
    """One admitted request: its step count, history, random generator, callbacks, and how it ends.

    Attributes:
        ticket: Whose slot this is.
        steps: Steps done.
        weights: Terms that steer this slot.
        random: Source of everything random in this slot.
        history: Reported distance of every step.
        start: Where the slot began.
        best: Smallest distance up to each step.
        best_step: Step that found the best iterate; -1 before the first.
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
        self.best: list[float] = []
        self.best_step = -1
        self._noise: Tensor | None = None
        self._noise_step = -1
        self.stop_reason: StopReason | None = None
        self.error: NigaoeError | None = None

    @property
    def settings(self) -> InversionSettings:
        """Settings of the request."""
        return self.ticket.request.settings

    @property
    def optimises_noise(self) -> bool:
        """Whether the noise maps move with the latent."""
        return self.settings.noise_maps == "optimised"

    @property
    def move(self) -> Move:
        """Optimiser settings of the present step."""
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

    def record(self, distance: float, *, finite: bool) -> None:
        """Record the present step's distance, or fail where distance, loss or gradient are not finite."""
        if not finite:
            self.fail(
                NumericalFailure("The optimisation left the range of numbers; lower the learning rate or the steps.")
            )
            return
        nearest = self.best[-1] if self.best else math.inf
        if distance < nearest:
            self.best_step = self.steps
        self.history.append(distance)
        self.best.append(min(distance, nearest))

    def advance(self, now: float) -> None:
        """Count the step that was just made and decide whether it was the last."""
        self.steps += 1
        if self.stop_reason is None:
            deadline = self.ticket.request.deadline
            self.stop_reason = stop_reason(self.settings, self.best, late=deadline is not None and now >= deadline)

    def cancel(self) -> None:
        """Stop before the next step."""
        self.stop_reason = self.stop_reason or StopReason.CANCELLED

    def ask_whether_cancelled(self) -> None:
        """Let the request's own probe stop the slot."""
        probe = self.ticket.request.cancelled
        if probe is not None:
            with self._callers_callback():
                if probe():
                    self.cancel()

    def report(self, best_image: Tensor, best_w_plus: Tensor) -> None:
        """Report progress to the request, when a report is due.

        Args:
            best_image: Picture of the best iterate, on any device. # [3, R, R].
            best_w_plus: The best iterate. # [num_ws, w_dim].
        """
        request = self.ticket.request
        due = self.steps % request.progress_interval == 0 or self.stop_reason is not None
        if request.on_progress is None or not due or self.error is not None:
            return
        with_preview = request.preview_interval is not None and (
            self.steps == 1 or self.steps % request.preview_interval == 0
        )
        progress = Progress(
            step=self.steps,
            steps=self.settings.steps,
            distance=self.best[-1],
            start_distance=self.history[0],
            preview=best_image.clamp(-1, 1).cpu() if with_preview else None,
            preview_w_plus=best_w_plus.detach().clone() if with_preview else None,
        )
        with self._callers_callback():
            request.on_progress(progress)

    def fail(self, error: NigaoeError) -> None:
        """End this slot with an error."""
        self.stop_reason, self.error = StopReason.FAILED, error

    @contextmanager
    def _callers_callback(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever a caller's callback raises must not hurt the neighbours
            failure = InversionError("The caller's own code failed while it followed the progress; see the cause.")
            failure.__cause__ = error
            self.fail(failure)


class SlotBatch:
    """Latents, noise maps, moments, targets and best iterates of up to ``width`` slots.

    Args:
        synthesis: Gives device, shapes and the fixed noise maps.
        width: Number of rows.

    Attributes:
        state: Of all rows; its first rows are the occupied ones.
    """

    def __init__(self, synthesis: Synthesis, width: int) -> None:
        architecture = synthesis.architecture
        side = architecture.resolution
        blocks = [synthesis.block(r) for r in architecture.resolutions]
        self.width = width
        self._fixed_noise = [conv.noise_const[None] for block in blocks for conv in block.convs]  # each [1, R_i, R_i]
        like = self._fixed_noise[0]
        latent = BatchedAdam.at(like.new_zeros(width, architecture.num_ws, architecture.w_dim))
        best = Iterate(torch.zeros_like(latent.parameters), like.new_zeros(width, 3, side, side))
        self.state = SearchState(latent, None, best, like.new_full((width,), math.inf))
        self._targets: Target | None = None

    def fill(self, row: int, start: Tensor, target: Target, random: torch.Generator | None) -> None:
        """Begin a row.

        Args:
            row: A free one.
            start: # [num_ws, w_dim].
            target: One sample.
            random: Draws the noise maps that this row will optimise; None keeps the generator's own.
        """
        self.state.latent.restart(row, start)
        self.state.best.w_plus[row] = self.state.latent.parameters[row]
        self.state.best_distance[row] = math.inf
        if self._targets is None:
            self._targets = target.map(lambda column: column.new_zeros(self.width, *column.shape[1:]))
        for column, value in zip(self._targets.columns, target.columns, strict=True):
            column[row] = value[0]
        if self.state.noise is None and random is not None:
            self._add_noise()
        if self.state.noise is not None:
            self._fill_noise(row, random)

    def relocate(self, source: int, target: int) -> None:
        """Copy one row over another."""
        targets = self._targets.columns if self._targets is not None else []
        for column in [*self.state.columns, *targets]:
            column[target] = column[source]

    def rows(self, count: int) -> SearchState:
        """Return the state of the first rows, as views."""
        return self.state.map(lambda column: column[:count])

    def targets(self, rows: slice) -> Target:
        """Return the targets of some rows, as views."""
        assert self._targets is not None  # noqa: S101 - a row was filled before it is asked for
        return self._targets.map(lambda column: column[rows])

    def _add_noise(self) -> None:
        copies = [fixed.expand(self.width, -1, -1, -1) for fixed in self._fixed_noise]
        noise, best = [BatchedAdam.at(maps.clone()) for maps in copies], [maps.clone() for maps in copies]
        # Both or none: where memory ran out in between, the state is as it was.
        self.state = replace(self.state, noise=noise, best=replace(self.state.best, noise=best))

    def _fill_noise(self, row: int, random: torch.Generator | None) -> None:
        shapes = [(maps.shape[-2], maps.shape[-1]) for maps in self._fixed_noise]
        maps = self._fixed_noise if random is None else draw_noise_maps(shapes, random)
        for adam, best, start in zip(self.state.noise or [], self.state.best.noise or [], maps, strict=True):
            adam.restart(row, start)
            best[row] = adam.parameters[row]


def _effective(settings: InversionSettings) -> LossWeights:
    """Leave out the regularisation of noise maps that do not move."""
    if settings.noise_maps == "optimised":
        return settings.weights
    return settings.weights.model_copy(update={"noise": 0.0})
