"""The heavy half of a step, recorded once for each size of batch and replayed from then on.

A step is some hundreds of small kernels; an NVIDIA GPU runs them faster than Python can ask for them. A CUDA graph asks
for all of them at once, but it is fixed to the places in memory and to the batch that it was recorded with. So a batch
is copied to places that stay, among as many rows as the next size of a short ladder has, and what the spare rows say
is thrown away: samples share nothing, so a spare row changes nobody's numbers. Below the first rung there is only one
size, which also keeps answers from changing with the company: cuDNN chooses its kernels by the size of a batch, and
each rounds in its own way.

Recorded in the way of PyTorch's notes on CUDA semantics, "CUDA Graphs": warmed up and captured on a stream of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import structlog
import torch
from torch import Tensor

from nigaoe_model.device_errors import DeviceTrouble, device_trouble
from nigaoe_model.inversion.drawing import Drawn, StepInput
from nigaoe_model.inversion.objective import Iterate

LADDER: Final = (16, 32, 64, 128)
"""Sizes of batches that are recorded: on an H100 a step of 16 at 64 px takes a fifth longer than one of a lone face."""

WARM_UPS: Final = 3
"""Runs before a capture, in which libraries make their handles and choose their kernels."""

Drawing = Callable[[StepInput], Drawn]
Answer = TypeVar("Answer", bound="Answered")

_log = structlog.get_logger(__name__)


class Answered(Protocol):
    """What work answers with: tensors in some structure."""

    @property
    def columns(self) -> list[Tensor]:
        """All tensors in a fixed order."""


class Recorder(Protocol):
    """Turns work into something that does the same work again."""

    def record(self, work: Callable[[], Answer]) -> Callable[[], Answer]:
        """Return what does ``work`` again with whatever then lies in the places from which it reads.

        Args:
            work: Reads and writes the device's memory alone.

        Returns:
            What hands out the same tensors at each call, with new numbers in them.

        Raises:
            RuntimeError: It cannot be recorded.
            torch.OutOfMemoryError: There is too little memory.
        """

    def forget(self) -> None:
        """Let go of the memory that recordings share; they are not called any more."""

    def another(self) -> "Recorder":
        """Return one like it whose recordings share no memory with these."""


class PlainRecorder:
    """Does the work itself again, on any device: what a graph would answer, without the gain."""

    def record(self, work: Callable[[], Answer]) -> Callable[[], Answer]:
        """Return what writes the answers of ``work`` over those of its first run, as a graph does."""
        answer = work()

        def again() -> Answer:
            for place, column in zip(answer.columns, work().columns, strict=True):
                place.copy_(column)
            return answer

        return again

    def forget(self) -> None:
        """Do nothing: nothing is held."""

    def another(self) -> "PlainRecorder":
        """Return another."""
        return PlainRecorder()


class CudaRecorder:
    """Records CUDA graphs, which share one pool of memory as they never run at the same time.

    Args:
        device: A CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch annotates it not
        self._pool = torch.cuda.graph_pool_handle()

    def record(self, work: Callable[[], Answer]) -> Callable[[], Answer]:
        """Capture ``work``; see :class:`Recorder`."""
        present = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(present)
        graph = torch.cuda.CUDAGraph()
        # The outer context gives the caller its stream back even where a failed capture does not.
        with torch.cuda.stream(self._stream):
            for _ in range(WARM_UPS):
                work()
            # Other threads of a service may use the device meanwhile; their calls are none of this capture.
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
                answer = work()
        present.wait_stream(self._stream)

        def replay() -> Answer:
            graph.replay()
            return answer

        return replay

    def forget(self) -> None:
        """Begin another pool: a pool's memory is free when the last of its graphs is gone, and no sooner."""
        self._pool = torch.cuda.graph_pool_handle()

    def another(self) -> "CudaRecorder":
        """Return one with a pool of its own."""
        return CudaRecorder(self._device)


def recorder_for(device: torch.device) -> Recorder | None:
    """Return what records on ``device``; None where replaying gains nothing or is not known to work."""
    if device.type != "cuda" or torch.version.cuda is None:
        return None
    return CudaRecorder(device)


def padded(rows: int, limit: int) -> int:
    """Return the size at which a batch is drawn: the next one of the ladder, but never above ``limit``.

    Args:
        rows: Samples, 1..``limit``.
        limit: Most samples that may be drawn at once.
    """
    return min(next((size for size in LADDER if size >= rows), limit), limit)


@dataclass(frozen=True, slots=True)
class _Recording:
    """A recorded size: the places that it reads, and what reads them."""

    places: StepInput
    replay: Callable[[], Drawn]

    def draw(self, given: StepInput) -> Drawn:
        _fill(self.places, given)
        seen = self.replay()
        rows = given.rows

        # The next replay, also of another size, writes where these numbers lie.
        def kept(column: Tensor) -> Tensor:
            return column[:rows].clone()

        iterate = Iterate(given.w_plus, kept(seen.iterate.image), given.noise)
        return Drawn(iterate, kept(seen.verdicts), [kept(gradient) for gradient in seen.gradients])


class StepGraphs:
    """Draws batches by replaying recordings, and makes a recording for each kind of batch that it meets.

    Batches are of one kind when they have the same padded size, the same terms and the same use of noise maps. When
    recording fails, everything is drawn without recordings from then on.

    Args:
        recorder: Makes the recordings.
        limit: Most samples that are drawn at once.
    """

    def __init__(self, recorder: Recorder, limit: int) -> None:
        self._recorder = recorder
        self._limit = limit
        self._has_given_up = False
        self._places: dict[_Terms, StepInput] = {}
        self._recordings: dict[tuple[int, _Terms], _Recording] = {}

    def restrict(self, limit: int) -> None:
        """Draw at most ``limit`` samples at once from now on.

        Every recording goes when the limit changes: they share memory that only the last of them gives back, and who
        lowers the limit needs it.
        """
        if limit != self._limit:
            self._limit = limit
            self.release()

    def release(self) -> None:
        """Forget all recordings and the memory that they hold; they are made again when they are needed."""
        self._recordings.clear()
        self._places.clear()
        self._recorder.forget()

    def draw(self, drawing: Drawing, given: StepInput) -> Drawn:
        """Draw a batch.

        Args:
            drawing: Draws, measures and differentiates a batch; the same at every call, as recordings of it stay.
            given: At most the limit's samples; read, and not changed.

        Returns:
            Tensors that no later call changes, as long as ``given`` stays as it is.

        Raises:
            torch.OutOfMemoryError: There is too little memory; all recordings were let go, so that less may do.
            RuntimeError: The device is lost, see `nigaoe_model.device_errors`.
        """
        recording = None if self._has_given_up else self._recording(drawing, given)
        return drawing(given) if recording is None else recording.draw(given)

    def _recording(self, drawing: Drawing, given: StepInput) -> _Recording | None:
        key = padded(given.rows, self._limit), _terms(given)
        if key not in self._recordings:
            try:
                self._recordings[key] = self._record(*key, drawing, given)
            except RuntimeError as error:
                self._take_back(error)
        return self._recordings.get(key)

    def _record(self, size: int, terms: "_Terms", drawing: Drawing, given: StepInput) -> _Recording:
        if terms not in self._places:
            self._places[terms] = given.map(self._place)
        places = self._places[terms].map(lambda column: column[:size])
        _fill(places, given)
        return _Recording(places, self._recorder.record(lambda: drawing(places)))

    def _place(self, column: Tensor) -> Tensor:
        """Return a place for as many rows as may come, spare ones holding valid numbers from the beginning."""
        return column[:1].expand(self._limit, *column.shape[1:]).clone(memory_format=torch.contiguous_format)

    def _take_back(self, error: RuntimeError) -> None:
        self.release()
        trouble = device_trouble(error)
        if trouble is DeviceTrouble.LOST:
            raise error
        if trouble is DeviceTrouble.MEMORY:
            raise torch.OutOfMemoryError(str(error)) from error
        self._has_given_up = True
        _log.warning("step_graphs.given_up", reason=str(error))


@dataclass(frozen=True, slots=True)
class _Terms:
    """What is computed in a batch, whatever its size."""

    names: tuple[str, ...]
    noise: bool


def _terms(given: StepInput) -> _Terms:
    return _Terms(tuple(given.weights), noise=given.noise is not None)


def _fill(places: StepInput, given: StepInput) -> None:
    """Copy a batch to the first rows of its places; spare rows keep what some earlier batch left there."""
    rows = given.rows
    targets = [place[:rows] for place in places.columns]
    torch._foreach_copy_(targets, given.columns)  # All in one launch, as torch.optim copies.
