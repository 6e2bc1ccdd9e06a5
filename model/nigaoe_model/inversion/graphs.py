"""Evaluations recorded once for each size of batch and replayed from then on.

An evaluation is some hundreds of small kernels; an NVIDIA GPU runs them faster than Python can launch them. A CUDA
graph launches all of them at once, but it is fixed to the memory and to the batch that it was recorded with. So a batch
is copied to buffers that stay, padded to the next of a few bucket sizes, and results of padding are thrown away:
samples share nothing, so padding changes no other sample. Up to the smallest bucket there is only one size, which also
keeps answers from changing with the neighbours: cuDNN chooses its kernels by the size of a batch, and each rounds in
its own way.

Recorded in the way of PyTorch's notes on CUDA semantics, "CUDA Graphs": warmed up and captured on a stream of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import structlog
import torch
from torch import Tensor

from nigaoe_model.device_errors import DeviceTrouble, device_trouble
from nigaoe_model.inversion.batch import Evaluation, Iterate, StepInput
from nigaoe_model.inversion.tensors import Batched

BUCKETS: Final = (16, 32, 64, 128)
"""Sizes of batches that are recorded: on an H100 a step of 16 at 64 px takes a fifth longer than one of a lone face."""

WARM_UPS: Final = 3
"""Runs before a capture, in which libraries make their handles and choose their kernels."""

EvaluatePart = Callable[[StepInput], Evaluation]
Result = TypeVar("Result", bound=Batched)

_log = structlog.get_logger(__name__)


class Recorder(Protocol):
    """Makes recordings: functions that repeat work on whatever its input buffers then contain."""

    def record(self, work: Callable[[], Result]) -> Callable[[], Result]:
        """Return a function that repeats ``work`` on the present contents of the buffers that it reads.

        Args:
            work: Reads and writes the device's memory alone.

        Returns:
            A function that returns the same tensors at each call, with new numbers in them.

        Raises:
            RuntimeError: It cannot be recorded.
            torch.OutOfMemoryError: There is too little memory.
        """

    def release(self) -> None:
        """Release the memory that recordings share; they are not called any more."""

    def another(self) -> "Recorder":
        """Return one like it whose recordings share no memory with these."""


class PlainRecorder:
    """Repeats the work eagerly, on any device: the results of a graph, without the gain."""

    def record(self, work: Callable[[], Result]) -> Callable[[], Result]:
        """Return a function that writes the results of ``work`` over those of its first run, as a graph does."""
        result = work()

        def again() -> Result:
            for buffer, column in zip(result.columns, work().columns, strict=True):
                buffer.copy_(column)
            return result

        return again

    def release(self) -> None:
        """Do nothing: recordings share no memory."""

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

    def record(self, work: Callable[[], Result]) -> Callable[[], Result]:
        """Capture ``work``; see :class:`Recorder`."""
        present = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(present)
        graph = torch.cuda.CUDAGraph()
        # The outer context restores the caller's stream even where a failed capture does not.
        with torch.cuda.stream(self._stream):
            for _ in range(WARM_UPS):
                work()
            # Other threads of a service may use the device meanwhile; their calls are none of this capture.
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
                result = work()
        present.wait_stream(self._stream)

        def replay() -> Result:
            graph.replay()
            return result

        return replay

    def release(self) -> None:
        """Begin another pool: a pool's memory is released with the last of its graphs."""
        self._pool = torch.cuda.graph_pool_handle()

    def another(self) -> "CudaRecorder":
        """Return one with a pool of its own."""
        return CudaRecorder(self._device)


def recorder_for(device: torch.device) -> Recorder | None:
    """Return a recorder for ``device``; None where replaying gains nothing or is not known to work."""
    if device.type != "cuda" or torch.version.cuda is None:
        return None
    return CudaRecorder(device)


def padded(rows: int, limit: int) -> int:
    """Return the size to which a batch is padded: the next bucket size, but never above ``limit``.

    Args:
        rows: Samples, 1..``limit``.
        limit: Most samples that may be evaluated at once.
    """
    return min(next((size for size in BUCKETS if size >= rows), limit), limit)


@dataclass(frozen=True, slots=True)
class _Recording:
    """A recorded size: the buffers that it reads, and its replay."""

    buffers: StepInput
    replay: Callable[[], Evaluation]

    def evaluate(self, given: StepInput) -> Evaluation:
        _fill(self.buffers, given)
        seen = self.replay()
        rows = given.rows

        # The next replay, also of another size, overwrites these numbers.
        def kept(column: Tensor) -> Tensor:
            return column[:rows].clone()

        iterate = Iterate(given.w_plus, kept(seen.iterate.image), given.noise)
        return Evaluation(iterate, kept(seen.measures), [kept(gradient) for gradient in seen.gradients])


class StepGraphs:
    """Evaluates batches by replaying recordings, and makes a recording for each kind of batch that it meets.

    Batches are of one kind when they have the same padded size, the same terms and the same use of noise maps. When
    recording fails, everything is evaluated eagerly from then on.

    Args:
        recorder: Makes the recordings.
        limit: Most samples that are evaluated at once.
    """

    def __init__(self, recorder: Recorder, limit: int) -> None:
        self._recorder = recorder
        self._limit = limit
        self._has_given_up = False
        self._buffers: dict[_Terms, StepInput] = {}
        self._recordings: dict[tuple[int, _Terms], _Recording] = {}

    def restrict(self, limit: int) -> None:
        """Evaluate at most ``limit`` samples at once from now on.

        Every recording is dropped when the limit changes: they share memory that only the last of them frees, and a
        caller that lowers the limit needs it.
        """
        if limit != self._limit:
            self._limit = limit
            self.release()

    def release(self) -> None:
        """Drop all recordings and release their memory; they are made again when they are needed."""
        self._recordings.clear()
        self._buffers.clear()
        self._recorder.release()

    def evaluate(self, evaluate_part: EvaluatePart, given: StepInput) -> Evaluation:
        """Evaluate a batch.

        Args:
            evaluate_part: Evaluates a batch; the same at every call, as recordings of it stay.
            given: At most the limit's samples; read, and not changed.

        Returns:
            Tensors that no later call changes, as long as ``given`` stays as it is.

        Raises:
            torch.OutOfMemoryError: There is too little memory; all recordings were released, so that less may do.
            RuntimeError: The device is lost, see `nigaoe_model.device_errors`.
        """
        recording = None if self._has_given_up else self._recording(evaluate_part, given)
        return evaluate_part(given) if recording is None else recording.evaluate(given)

    def _recording(self, evaluate_part: EvaluatePart, given: StepInput) -> _Recording | None:
        key = padded(given.rows, self._limit), _terms(given)
        if key not in self._recordings:
            try:
                self._recordings[key] = self._record(*key, evaluate_part, given)
            except RuntimeError as error:
                self._handle_failure(error)
        return self._recordings.get(key)

    def _record(self, size: int, terms: "_Terms", evaluate_part: EvaluatePart, given: StepInput) -> _Recording:
        if terms not in self._buffers:
            self._buffers[terms] = given.map(self._buffer)
        buffers = self._buffers[terms].map(lambda column: column[:size])
        _fill(buffers, given)
        return _Recording(buffers, self._recorder.record(lambda: evaluate_part(buffers)))

    def _buffer(self, column: Tensor) -> Tensor:
        """Return a buffer for as many rows as may come, padded with valid numbers from the beginning."""
        return column[:1].expand(self._limit, *column.shape[1:]).clone(memory_format=torch.contiguous_format)

    def _handle_failure(self, error: RuntimeError) -> None:
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
    """Kind of a batch: what is computed in it, whatever its size."""

    names: tuple[str, ...]
    noise: bool


def _terms(given: StepInput) -> _Terms:
    return _Terms(tuple(given.weights), noise=given.noise is not None)


def _fill(buffers: StepInput, given: StepInput) -> None:
    """Copy a batch to the first rows of its buffers; padding keeps what some earlier batch left there."""
    rows = given.rows
    targets = [buffer[:rows] for buffer in buffers.columns]
    torch._foreach_copy_(targets, given.columns)  # All in one launch, as torch.optim copies.
