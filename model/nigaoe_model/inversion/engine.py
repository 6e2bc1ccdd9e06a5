"""The slot engine: admit, step, retire.

Continuous batching for optimisation: every occupied slot is one inversion with its own latent, noise maps, Adam
moments, step count, schedule, random generator, best iterate and stop rule. One step advances all of them as one batch;
slots join and leave between steps. Batching never changes an answer: nothing in a step mixes samples.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice

import torch
from torch import Tensor

from nigaoe_model.inversion.algorithm import Objective, evaluate, step, weight_columns
from nigaoe_model.inversion.batch import Evaluation, StepInput, StepSizes
from nigaoe_model.inversion.graphs import Recorder, StepGraphs
from nigaoe_model.inversion.request import Finished, InversionRequest, InversionResult, Ticket
from nigaoe_model.inversion.slots import Slot, SlotBatch
from nigaoe_model.inversion.start import Starter
from nigaoe_model.precision import full_precision
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.inference.synthesis import FrozenSynthesis


class SlotEngine:
    """Optimises up to ``width`` latents at once.

    Not thread-safe: one thread owns an engine and its device.

    Args:
        generator: Its present weights are used; it is not changed.
        objective: Built for this generator, on its device.
        width: Number of slots.
        conv_dtype: Type in which the generator's convolutions compute, such as bf16; None: float32. A reduced type is
            faster where the processor has units for it, and finds latents of the same quality, but not the same ones.
        clock: Monotonic seconds, the clock of deadlines.
        recorder: Records the evaluation of a step, and of a start, so that both can be replayed; None: nothing is
            recorded.
    """

    def __init__(
        self,
        generator: Generator,
        objective: Objective,
        width: int,
        *,
        conv_dtype: torch.dtype | None = None,
        clock: Callable[[], float] = time.monotonic,
        recorder: Recorder | None = None,
    ) -> None:
        if width < 1:
            raise ValueError(f"an engine needs at least one slot, not {width}")
        self.generator = generator
        self._synthesis = FrozenSynthesis(generator.synthesis, dtype=conv_dtype)
        self.objective = objective
        self._starter = Starter(self._synthesis, objective, recorder.another() if recorder is not None else None)
        self.width = width
        self._batch_limit: int | None = None
        self._graphs = None if recorder is None else StepGraphs(recorder, width)
        self._clock = clock
        self._batch = SlotBatch(generator.synthesis, width)
        self._slots: list[Slot] = []
        self._ended: list[Finished] = []  # Retired, and not yet handed out.
        self._admissions = 0

    @property
    def batch_limit(self) -> int | None:
        """Largest batch that may pass through the networks at once; None: all slots.

        It changes no answer, so a caller that runs out of memory may lower it and step again. Recordings of steps are
        released when it changes.
        """
        return self._batch_limit

    @batch_limit.setter
    def batch_limit(self, limit: int | None) -> None:
        self._batch_limit = limit
        if self._graphs is not None:
            self._graphs.restrict(self._largest_batch)

    def release_recordings(self) -> None:
        """Release recordings of steps and their memory; they are made again when they are needed."""
        if self._graphs is not None:
            self._graphs.release()

    @property
    def occupied(self) -> int:
        """Number of slots at work."""
        return len(self._slots)

    @property
    def free(self) -> int:
        """Number of requests that can be admitted now."""
        return self.width - len(self._slots)

    def admit(self, request: InversionRequest) -> Ticket:
        """Give a request a free slot; it takes part from the next step on.

        Raises:
            RuntimeError: No slot is free.
            ValueError: A tensor has the wrong shape, or the objective lacks a term that the settings ask for.
            torch.OutOfMemoryError: There was too little memory. All slots are as they were, so it may be tried again.
        """
        if not self.free:
            raise RuntimeError("all slots are occupied; ask `free` before admitting")
        self._check(request)
        slot = Slot(Ticket(self._admissions, request), self._clock())
        self._fill(len(self._slots), slot)
        self._slots.append(slot)
        self._admissions += 1
        return slot.ticket

    def step(self) -> list[Finished]:
        """Advance every occupied slot by one step, as one batch; return the slots that ended.

        A step that raises (memory ran out while the batch was evaluated) moved no slot: it may be repeated.
        """
        for slot in self._slots:
            slot.ask_whether_cancelled()
        self._retire()
        if self._slots:
            for slot, measures in zip(self._slots, self._step().tolist(), strict=True):
                slot.record(measures[0], finite=all(map(math.isfinite, measures)))
            self._report()
            self._retire()
        finished, self._ended = self._ended, []
        return finished

    def cancel(self, ticket: Ticket) -> None:
        """Let the ticket's slot end before its next step; a ticket that already ended is left alone."""
        for slot in self._slots:
            if slot.ticket is ticket:
                slot.cancel()

    def run(self, requests: Iterable[InversionRequest]) -> Iterator[Finished]:
        """Invert many faces: the engine run until it is empty, every free slot refilled at once.

        Yields:
            Slots in the order in which they end; ``finished.ticket.request`` says whose each is.
        """
        waiting = iter(requests)
        while True:
            for request in islice(waiting, self.free):
                self.admit(request)
            if not self._slots:
                return
            yield from self.step()

    @property
    def _largest_batch(self) -> int:
        return min(self._batch_limit or self.width, self.width)

    def _step(self) -> Tensor:
        """Take the step of `nigaoe_model.inversion.algorithm` with all occupied slots. # [n, 3]."""
        state, prior = self._batch.rows(self.occupied), self.objective.prior
        sizes = StepSizes.of([slot.move for slot in self._slots], prior.unit, state.latent.parameters)
        with full_precision(prior.mean.device):
            return step(state, self._w_noise(), sizes, self._evaluate)

    def _w_noise(self) -> Tensor | None:
        """Return each slot's own noise on w, the same for all layers; None where no slot has any. # [n, 1, w_dim]."""
        prior = self.objective.prior
        w_dim = prior.mean.shape[1]
        noises = [slot.w_noise(w_dim) for slot in self._slots]
        if all(noise is None for noise in noises):
            return None
        none = torch.zeros(1, w_dim)
        return torch.stack([none if noise is None else noise * prior.spread for noise in noises]).to(prior.mean.device)

    def _evaluate(self, w_plus: Tensor, noise: Sequence[Tensor] | None) -> Evaluation:
        """Evaluate all occupied slots, in parts within the batch limit, by replaying recordings where there are any."""
        evaluate_part = partial(evaluate, self._synthesis, self.objective)
        limit = self._largest_batch
        parts = []
        for first in range(0, self.occupied, limit):
            rows = slice(first, min(first + limit, self.occupied))
            weights = weight_columns(tuple(slot.weights for slot in self._slots[rows]), w_plus.device)
            maps = None if noise is None else [each[rows] for each in noise]
            given = StepInput(w_plus[rows], maps, self._batch.targets(rows), weights)
            parts.append(evaluate_part(given) if self._graphs is None else self._graphs.evaluate(evaluate_part, given))
        return Evaluation.joined(parts)

    def _report(self) -> None:
        now, best = self._clock(), self._batch.state.best
        for row, slot in enumerate(self._slots):
            slot.advance(now)
            slot.report(best.image[row], best.w_plus[row])

    def _retire(self) -> None:
        """Take out the slots that ended; the last rows move into their places."""
        for row in reversed(range(self.occupied)):
            if self._slots[row].stop_reason is not None:
                self._ended.append(self._finish(row))
                last = self._slots.pop()
                if row < self.occupied:
                    self._slots[row] = last
                    self._batch.relocate(self.occupied, row)

    def _finish(self, row: int) -> Finished:
        slot = self._slots[row]
        reason = slot.stop_reason
        assert reason is not None  # noqa: S101 - only slots that ended are finished
        if slot.error is not None or not slot.history:
            return Finished(slot.ticket, reason, error=slot.error)
        best = self._batch.state.best.map(lambda column: column[row].detach().cpu().clone())
        result = InversionResult(
            w_plus=best.w_plus,
            noise=tuple(best.noise) if best.noise is not None and slot.optimises_noise else None,
            reconstruction=best.image,
            distance_start=slot.history[0],
            distance_end=slot.best[-1],
            steps=slot.steps,
            best_step=slot.best_step,
            seconds=self._clock() - slot.admitted_at,
            stop_reason=reason,
            history=tuple(slot.history),
            start=slot.start,
        )
        return Finished(slot.ticket, reason, result)

    def _check(self, request: InversionRequest) -> None:
        architecture = self.generator.architecture
        side = architecture.resolution
        _check_shape("target", request.target, (3, side, side))
        _check_shape("region", request.region, (1, side, side))
        _check_shape("start", request.start, (architecture.num_ws, architecture.w_dim))
        self.objective.check(request.settings.weights)
        if not request.settings.steps:
            raise ValueError("a request without steps needs no slot: its answer is the encoder's guess")
        if request.settings.start == "encoder" and self.objective.encoder is None:
            raise ValueError("the settings start from an encoder's guess, but the objective was built without one")

    def _fill(self, row: int, slot: Slot) -> None:
        with full_precision(self.objective.prior.mean.device):
            target, start = self._starter.begin(slot.ticket.request)
        slot.start = start.origin
        self._batch.fill(row, start.w_plus, target, slot.random if slot.optimises_noise else None)


def _check_shape(name: str, tensor: Tensor | None, expected: tuple[int, ...]) -> None:
    if tensor is not None and tuple(tensor.shape) != expected:
        raise ValueError(f"{name} must be {list(expected)} for this generator, not {list(tensor.shape)}")
