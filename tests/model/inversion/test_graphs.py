"""Replayed evaluations find what eager ones find, whichever searches join, leave, or run out of memory."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from structlog.testing import capture_logs
from tape import TapeRecorder
from torch import Tensor

from nigaoe_model.features import STRIDES, shared_features
from nigaoe_model.inversion.algorithm import Objective
from nigaoe_model.inversion.batch import Evaluation
from nigaoe_model.inversion.engine import SlotEngine
from nigaoe_model.inversion.graphs import BUCKETS, PlainRecorder, Recorder, padded, recorder_for
from nigaoe_model.inversion.request import Finished, InversionRequest, InversionResult, StopReason
from nigaoe_model.inversion.settings import InversionSettings, LossWeights
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.latent_statistics import LatentStatistics

Work = Callable[[], Evaluation]
RecordedEngineOf = Callable[[int, Recorder | None], SlotEngine]
RequestsFor = Callable[[Tensor], list[InversionRequest]]

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need an NVIDIA GPU")


class SharingRecorder(PlainRecorder):
    """As graphs that share their memory may be: whenever one replays, the results of the others are lost."""

    def __init__(self) -> None:
        self.recordings: list[Evaluation] = []

    @property
    def sizes(self) -> list[int]:
        return [len(seen.measures) for seen in self.recordings]

    def record(self, work: Work) -> Work:
        replay = super().record(work)
        mine = replay()
        self.recordings.append(mine)

        def spoiling() -> Evaluation:
            for other in self.recordings:
                if other is not mine:
                    for column in (other.iterate.image, other.measures, *other.gradients):
                        column.fill_(torch.nan)
            return replay()

        return spoiling

    def release(self) -> None:
        self.recordings.clear()


class FailingRecorder(PlainRecorder):
    """Fails as a capture does, at batches of more than some rows."""

    def __init__(self, error: Exception, *, above: int = 0) -> None:
        self.error = error
        self.above = above
        self.failures = 0

    def record(self, work: Work) -> Work:
        if len(work().measures) <= self.above:
            return super().record(work)
        self.failures += 1
        raise self.error


@pytest.fixture
def recorded_engine_of(tiny_generator: Generator, objective: Objective) -> RecordedEngineOf:
    """A function that makes an engine of any width with a recorder, or without."""
    return lambda width, recorder: SlotEngine(tiny_generator, objective, width, recorder=recorder)


@pytest.fixture
def mixed(targets: Tensor) -> list[InversionRequest]:
    """Six requests that differ in length, terms, space and noise on w."""
    settings = [
        InversionSettings(steps=7),
        InversionSettings(steps=3, weights=LossWeights(pixel=0)),
        InversionSettings(steps=5, space="w", w_noise=0.1),
        InversionSettings(steps=9, weights=LossWeights(mahalanobis=0, layer_spread=0)),
        InversionSettings(steps=2, learning_rate=0.05, beta1=0.8),
        InversionSettings(steps=6, w_noise=0.05),
    ]
    return [InversionRequest(t, s, seed=n) for n, (t, s) in enumerate(zip(targets, settings, strict=False))]


def with_noise(request: InversionRequest) -> InversionRequest:
    """The same request, its noise maps optimised with the latent."""
    return replace(request, settings=request.settings.model_copy(update={"noise_maps": "optimised"}))


def shortened(request: InversionRequest) -> InversionRequest:
    """The same request with two steps."""
    return replace(request, settings=request.settings.model_copy(update={"steps": 2}))


def run_all(engine: SlotEngine, requests: list[InversionRequest]) -> list[Finished]:
    """Run to the end; in the order of admission."""
    return sorted(engine.run(requests), key=lambda finished: finished.ticket.number)


def agree(first: list[Finished], second: list[Finished]) -> None:
    """All results agree to the last bit."""
    for a, b in zip(map(Finished.unwrap, first), map(Finished.unwrap, second), strict=True):
        assert a.history == b.history
        assert torch.equal(a.w_plus, b.w_plus)
        assert torch.equal(a.reconstruction, b.reconstruction)
        assert all(map(torch.equal, a.noise or (), b.noise or ()))


@pytest.mark.parametrize("noise", ["fixed", "optimised"])
@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_replayed_search_finds_what_an_eager_one_finds(
    recorded_engine_of: RecordedEngineOf, requests_for: RequestsFor, targets: Tensor, count: int, noise: str
) -> None:
    """One, three and five faces, whose batches are padded to seven."""
    requests = requests_for(targets[:count])
    if noise == "optimised":
        requests = [with_noise(request) for request in requests]
    agree(run_all(recorded_engine_of(7, SharingRecorder()), requests), run_all(recorded_engine_of(7, None), requests))


@pytest.mark.parametrize("noise", ["fixed", "optimised"])
def test_an_evaluation_is_recorded_once_and_replayed_below_python(
    recorded_engine_of: RecordedEngineOf, mixed: list[InversionRequest], noise: str
) -> None:
    """On tape as in a CUDA graph: no wait for the device, no number of the host, and the results of eager steps."""
    requests = [with_noise(request) for request in mixed] if noise == "optimised" else mixed
    with capture_logs() as logs:
        replayed = run_all(recorded_engine_of(3, TapeRecorder()), requests)
    assert logs == []
    agree(replayed, run_all(recorded_engine_of(3, None), requests))


def test_faces_join_and_leave(recorded_engine_of: RecordedEngineOf, mixed: list[InversionRequest]) -> None:
    """Six different searches pass through three slots; batches change their terms, and no answer changes."""
    recorder = SharingRecorder()
    agree(run_all(recorded_engine_of(3, recorder), mixed), run_all(recorded_engine_of(3, None), mixed))
    assert set(recorder.sizes) == {3}


def test_a_large_batch_shrinks_by_bucket_sizes(
    recorded_engine_of: RecordedEngineOf, requests_for: RequestsFor, targets: Tensor
) -> None:
    """Eighteen faces are evaluated as twenty, the sixteen that are left when two end early as sixteen."""
    recorder, faces = SharingRecorder(), targets.repeat(3, 1, 1, 1)
    requests = [*requests_for(faces[:16]), *(shortened(request) for request in requests_for(faces[16:18]))]
    engine = recorded_engine_of(20, recorder)
    agree(run_all(engine, requests), run_all(recorded_engine_of(20, None), requests))
    assert recorder.sizes == [20, 16]


def test_noise_maps_join_a_batch_that_had_none(
    recorded_engine_of: RecordedEngineOf, mixed: list[InversionRequest]
) -> None:
    """The fourth search optimises its noise; those beside it go on with the generator's own."""
    requests = [*mixed[:3], with_noise(mixed[3]), *mixed[4:]]
    agree(run_all(recorded_engine_of(3, SharingRecorder()), requests), run_all(recorded_engine_of(3, None), requests))


def test_a_batch_in_parts_keeps_the_answers_of_every_part(
    recorded_engine_of: RecordedEngineOf, mixed: list[InversionRequest]
) -> None:
    """Five faces pass as two, two and one; a later part's replay takes nothing from an earlier one."""
    engine, recorder = recorded_engine_of(5, None), SharingRecorder()
    parts = recorded_engine_of(5, recorder)
    parts.batch_limit = 2
    agree(run_all(parts, mixed), run_all(engine, mixed))
    assert set(recorder.sizes) == {2}


def test_a_poisonous_neighbour_leaves_nothing_behind(
    recorded_engine_of: RecordedEngineOf, requests_for: RequestsFor, targets: Tensor
) -> None:
    """A search without numbers fails and goes; the padding that it leaves harms nobody."""
    healthy = requests_for(targets[:3])
    broken = replace(requests_for(targets[3:4])[0], target=torch.full_like(targets[3], torch.nan))
    *rest, failed = run_all(recorded_engine_of(4, SharingRecorder()), [*healthy, broken])
    assert failed.stop_reason is StopReason.FAILED
    agree(rest, run_all(recorded_engine_of(4, None), healthy))


def test_a_lower_limit_gives_memory_back(
    recorded_engine_of: RecordedEngineOf, requests_for: RequestsFor, targets: Tensor
) -> None:
    """A caller that runs short of memory halves the batch: larger recordings are gone at once, smaller ones follow."""
    recorder = SharingRecorder()
    engine = recorded_engine_of(4, recorder)
    for request in requests_for(targets[:4]):
        engine.admit(request)
    engine.step()
    assert recorder.sizes == [4]
    engine.batch_limit = 2
    assert recorder.sizes == []
    engine.step()
    assert recorder.sizes == [2]
    engine.batch_limit = None
    engine.step()
    assert recorder.sizes == [4]


def test_what_cannot_be_recorded_is_eager(recorded_engine_of: RecordedEngineOf, mixed: list[InversionRequest]) -> None:
    """The first recording fails: a warning says so, no other is tried, and the answers are those of eager steps."""
    recorder = FailingRecorder(RuntimeError("operation not permitted when stream is capturing"))
    with capture_logs() as logs:
        finished = run_all(recorded_engine_of(3, recorder), mixed)
    agree(finished, run_all(recorded_engine_of(3, None), mixed))
    assert recorder.failures == 1
    assert [(log["event"], log["log_level"]) for log in logs] == [("step_graphs.given_up", "warning")]
    assert "not permitted" in logs[-1]["reason"]


def ended_badly() -> RuntimeError:
    """What ending a capture raises that had run out of memory: the true reason stands behind it."""
    error = RuntimeError("operation failed due to a previous error during capture")
    error.__context__ = torch.OutOfMemoryError("out of memory")
    return error


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("too little"), torch.AcceleratorError("CUDA error: out of memory"), ended_badly()]
)
def test_too_little_memory_to_record_is_the_callers_to_mend(
    recorded_engine_of: RecordedEngineOf, requests_for: RequestsFor, targets: Tensor, error: Exception
) -> None:
    """The step raises and moved nobody; with half the batch it is recorded after all, and the answers are the same."""
    requests = requests_for(targets[:4])
    recorder = FailingRecorder(error, above=2)
    engine = recorded_engine_of(4, recorder)
    for request in requests:
        engine.admit(request)
    with pytest.raises(torch.OutOfMemoryError):
        engine.step()
    engine.batch_limit = 2
    finished = [f for _ in range(8) for f in engine.step()]
    agree(sorted(finished, key=lambda f: f.ticket.number), run_all(recorded_engine_of(4, None), requests))
    assert recorder.failures == 1


@pytest.mark.parametrize("limit", [1, 3, 8, 20, 64, 200])
def test_a_padded_batch_is_large_enough_and_within_the_limit(limit: int) -> None:
    """Every batch finds a size, never above the limit, and there are few of them."""
    sizes = [padded(rows, limit) for rows in range(1, limit + 1)]
    assert all(rows <= size <= limit for rows, size in enumerate(sizes, start=1))
    assert len(set(sizes)) <= len(BUCKETS) + 1


def test_only_nvidia_gpus_record_of_their_own_accord(
    tiny_generator: Generator, objective: Objective, requests_for: RequestsFor, targets: Tensor
) -> None:
    """On a processor every step is eager unless a recorder is given."""
    assert recorder_for(torch.device("cpu")) is None
    assert recorder_for(torch.device("mps")) is None
    with capture_logs() as logs:
        run_all(SlotEngine(tiny_generator, objective, 2), requests_for(targets[:2]))
    assert logs == []


@pytest.fixture
def cuda_engine_of(tiny_generator: Generator, statistics: LatentStatistics) -> Iterator[RecordedEngineOf]:
    """Engines on the GPU, in the reproducible kind of arithmetic."""
    generator = tiny_generator.to("cuda")
    objective = Objective(statistics, shared_features(STRIDES, "cuda"), perceptual_size=32).to("cuda")
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    yield lambda width, recorder: SlotEngine(generator, objective, width, recorder=recorder)
    torch.backends.cudnn.deterministic = before


def nearly_agree(first: list[Finished], second: list[Finished]) -> None:
    """Distances and pictures agree as far as another batch's kernels let them."""
    pairs: Iterator[tuple[InversionResult, InversionResult]] = zip(
        map(Finished.unwrap, first), map(Finished.unwrap, second), strict=True
    )
    for a, b in pairs:
        assert a.history == pytest.approx(b.history, rel=1e-3)
        torch.testing.assert_close(a.reconstruction, b.reconstruction, rtol=0, atol=1e-2)


@needs_cuda
@pytest.mark.parametrize("noise", ["fixed", "optimised"])
def test_graphs_answer_as_eager_steps(
    cuda_engine_of: RecordedEngineOf, mixed: list[InversionRequest], noise: str
) -> None:
    """Six searches through four slots of a GPU: nothing is given up, and graphs find what eager steps find."""
    recorder = recorder_for(torch.device("cuda"))
    assert recorder is not None
    requests = [with_noise(request) for request in mixed] if noise == "optimised" else mixed
    with capture_logs() as logs:
        finished = run_all(cuda_engine_of(4, recorder), requests)
    assert [log for log in logs if log["log_level"] == "warning"] == []
    nearly_agree(finished, run_all(cuda_engine_of(4, None), requests))


@needs_cuda
def test_graphs_follow_the_batch_limit(cuda_engine_of: RecordedEngineOf, mixed: list[InversionRequest]) -> None:
    """Five faces in parts of two and one, by graphs that share their memory."""
    parts = cuda_engine_of(5, recorder_for(torch.device("cuda")))
    parts.batch_limit = 2
    nearly_agree(run_all(parts, mixed), run_all(cuda_engine_of(5, None), mixed))


@needs_cuda
def test_a_capture_that_fails_leaves_the_gpu_in_order(
    cuda_engine_of: RecordedEngineOf, mixed: list[InversionRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A term asks the device for a number in the middle of a capture: the search goes on, every step eager."""
    expected = run_all(cuda_engine_of(3, None), mixed)
    engine = cuda_engine_of(3, recorder_for(torch.device("cuda")))
    spread = engine.objective.prior.layer_spread

    def asking(w_plus: Tensor) -> Tensor:
        distance = spread(w_plus)
        distance.sum().item()
        return distance

    monkeypatch.setattr(engine.objective.prior, "layer_spread", asking)
    with capture_logs() as logs:
        finished = run_all(engine, mixed)
    assert "step_graphs.given_up" in [log["event"] for log in logs]
    nearly_agree(finished, expected)
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
