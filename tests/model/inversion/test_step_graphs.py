"""Steps that are replayed answer as steps that are drawn anew, whoever joins, leaves, or runs out of memory."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from structlog.testing import capture_logs
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nigaoe_model.features import STRIDES, shared_features
from nigaoe_model.inversion.drawing import Drawn, StepInput, draw
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.inversion.engine import SlotEngine
from nigaoe_model.inversion.feature_distance import FeatureEye
from nigaoe_model.inversion.objective import Iterate, Objective, weight_columns
from nigaoe_model.inversion.request import Finished, InversionRequest, InversionResult, StopReason
from nigaoe_model.inversion.settings import InversionSettings, LossWeights
from nigaoe_model.inversion.slot_table import SlotTable
from nigaoe_model.inversion.step_graphs import LADDER, PlainRecorder, Recorder, padded, recorder_for
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.discriminator import Discriminator
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.inference.synthesis import FrozenSynthesis
from nigaoe_model.stylegan2.latent_statistics import LatentStatistics

Work = Callable[[], Drawn]
RecordedEngineOf = Callable[[int, Recorder | None], SlotEngine]
RequestsFor = Callable[[Tensor], list[InversionRequest]]

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need an NVIDIA GPU")


class SharingRecorder(PlainRecorder):
    """As unkind as graphs that share their memory: whenever one replays, what the others answered is gone."""

    def __init__(self) -> None:
        self.recordings: list[Drawn] = []

    @property
    def sizes(self) -> list[int]:
        return [len(drawn.verdicts) for drawn in self.recordings]

    def record(self, work: Work) -> Work:
        replay = super().record(work)
        mine = replay()
        self.recordings.append(mine)

        def spoiling() -> Drawn:
            for other in self.recordings:
                if other is not mine:
                    for answer in (other.iterate.image, other.verdicts, *other.gradients):
                        answer.fill_(torch.nan)
            return replay()

        return spoiling

    def forget(self) -> None:
        self.recordings.clear()


class FailingRecorder(PlainRecorder):
    """Fails as a capture does, at batches of more than some rows."""

    def __init__(self, error: Exception, *, above: int = 0) -> None:
        self.error = error
        self.above = above
        self.failures = 0

    def record(self, work: Work) -> Work:
        if len(work().verdicts) <= self.above:
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
def test_a_replayed_search_finds_what_a_drawn_one_finds(
    recorded_engine_of: RecordedEngineOf, requests_for: RequestsFor, targets: Tensor, count: int, noise: str
) -> None:
    """One, three and five faces, of which the latter two leave rows of their batch to spare."""
    requests = requests_for(targets[:count])
    if noise == "optimised":
        requests = [with_noise(request) for request in requests]
    agree(run_all(recorded_engine_of(7, SharingRecorder()), requests), run_all(recorded_engine_of(7, None), requests))


def test_faces_join_and_leave(recorded_engine_of: RecordedEngineOf, mixed: list[InversionRequest]) -> None:
    """Six different searches pass through three slots; batches change their terms, and no answer changes."""
    recorder = SharingRecorder()
    agree(run_all(recorded_engine_of(3, recorder), mixed), run_all(recorded_engine_of(3, None), mixed))
    assert set(recorder.sizes) == {3}


def test_a_large_batch_shrinks_by_rungs(
    recorded_engine_of: RecordedEngineOf, requests_for: RequestsFor, targets: Tensor
) -> None:
    """Eighteen faces are drawn as twenty, the sixteen that are left when two end early as sixteen."""
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
    """A search without numbers fails and goes; the spare row in which it lay harms nobody."""
    healthy = requests_for(targets[:3])
    broken = replace(requests_for(targets[3:4])[0], target=torch.full_like(targets[3], torch.nan))
    *rest, failed = run_all(recorded_engine_of(4, SharingRecorder()), [*healthy, broken])
    assert failed.stop_reason is StopReason.FAILED
    agree(rest, run_all(recorded_engine_of(4, None), healthy))


def test_a_lower_limit_gives_memory_back(
    recorded_engine_of: RecordedEngineOf, requests_for: RequestsFor, targets: Tensor
) -> None:
    """Whoever runs short of memory halves the batch: the larger recordings are gone at once, smaller ones follow."""
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


def test_what_cannot_be_recorded_is_drawn(recorded_engine_of: RecordedEngineOf, mixed: list[InversionRequest]) -> None:
    """The first recording fails: a warning says so, no other is tried, and the answers are those of plain steps."""
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
def test_a_padded_batch_has_room_and_stays_within_the_limit(limit: int) -> None:
    """Every batch finds a size, never above the limit, and there are few of them."""
    sizes = [padded(rows, limit) for rows in range(1, limit + 1)]
    assert all(rows <= size <= limit for rows, size in enumerate(sizes, start=1))
    assert len(set(sizes)) <= len(LADDER) + 1


def test_only_nvidia_gpus_record_of_their_own_accord(
    tiny_generator: Generator, objective: Objective, requests_for: RequestsFor, targets: Tensor
) -> None:
    """A processor's engine draws every step anew unless it is told otherwise."""
    assert recorder_for(torch.device("cpu")) is None
    assert recorder_for(torch.device("mps")) is None
    with capture_logs() as logs:
        run_all(SlotEngine(tiny_generator, objective, 2), requests_for(targets[:2]))
    assert logs == []


@pytest.mark.parametrize("rows", [[], [1], [0, 2], [0, 1, 2]])
def test_best_iterates_are_kept_one_by_one_or_at_once(tiny_generator: Generator, rows: list[int]) -> None:
    """Where launches are dear, all improved rows are kept together; the table then holds the same."""
    random = torch.Generator().manual_seed(0)
    one_by_one, at_once = (SlotTable(tiny_generator.synthesis, 4) for _ in range(2))
    iterate = Iterate(torch.randn(3, 6, 8, generator=random), torch.randn(3, 3, 16, 16, generator=random))
    one_by_one.keep(rows, iterate)
    at_once._keep_at_once(rows, iterate)
    assert all(map(torch.equal, one_by_one.best.columns, at_once.best.columns))


def test_an_eye_has_its_weights_where_it_looks() -> None:
    """Channel weights move with the eye: a replayed step fetches nothing from elsewhere."""
    eye = FeatureEye(lambda image: [image], channel_weights=[torch.tensor([1.0, 4.0, 9.0])]).to(torch.float64)
    assert [buffer.dtype for buffer in eye.buffers()] == [torch.float64]
    (features,) = eye.features(torch.ones(1, 3, 2, 2, dtype=torch.float64))
    torch.testing.assert_close(features[0, :, 0, 0] * 3**0.5, torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))


class Copies(TorchDispatchMode):
    """Notes every tensor that goes from one device to another."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {t.device.type for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        made = {t.device.type for t in tree_leaves(result) if isinstance(t, Tensor)}
        if len(given | made) > 1:
            self.seen.append(str(func))
        return result


def test_the_recorded_half_asks_the_host_for_nothing(
    tiny: Architecture, tiny_generator: Generator, statistics: LatentStatistics, tiny_encoder: Encoder, targets: Tensor
) -> None:
    """On a device that has shapes but no numbers all terms are drawn and differentiated: nobody looks at a number."""
    eye = FeatureEye(lambda image: [image], size=8, channel_weights=[torch.ones(3)], average_levels=False)
    objective = Objective(
        statistics,
        shared_features(STRIDES, "meta"),
        perceptual_size=32,
        discriminator=Discriminator(tiny).requires_grad_(requires_grad=False).to("meta"),
        lpips=eye,
        encoder=tiny_encoder,
    ).to("meta")
    synthesis = FrozenSynthesis(tiny_generator.to("meta").synthesis)
    weights = LossWeights(discriminator=1, lpips=1, in_domain=1)
    given = StepInput(
        torch.zeros(3, 6, 8, device="meta"),
        [torch.zeros(3, 1, side, side, device="meta") for side in (4, 8, 8, 16, 16)],
        objective.describe(targets[:3].to("meta")),
        weight_columns((weights,) * 3, torch.device("meta")),
    )
    with Copies() as copies:
        drawn = draw(synthesis, objective, given)
    assert set(given.weights) == set(LossWeights.model_fields)
    assert [gradient.shape for gradient in drawn.gradients] == [t.shape for t in (given.w_plus, *(given.noise or []))]
    assert copies.seen == []


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
    """A term asks the device for a number in the middle of a capture: the search goes on, drawn anew at every step."""
    expected = run_all(cuda_engine_of(3, None), mixed)
    engine = cuda_engine_of(3, recorder_for(torch.device("cuda")))
    spread = engine.objective.prior.layer_spread

    def asking(w_plus: Tensor) -> Tensor:
        said = spread(w_plus)
        said.sum().item()
        return said

    monkeypatch.setattr(engine.objective.prior, "layer_spread", asking)
    with capture_logs() as logs:
        finished = run_all(engine, mixed)
    assert "step_graphs.given_up" in [log["event"] for log in logs]
    nearly_agree(finished, expected)
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
