"""Starts of searches: a guess is followed only where it is nearer, and neighbours change none."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nigaoe_model.features import shared_features
from nigaoe_model.inversion.algorithm import Objective
from nigaoe_model.inversion.batch import Iterate
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.inversion.engine import SlotEngine
from nigaoe_model.inversion.graphs import PlainRecorder, Recorder, Result
from nigaoe_model.inversion.regularisers import in_domain_distance
from nigaoe_model.inversion.request import InversionRequest, InversionResult
from nigaoe_model.inversion.settings import InversionSettings, LossWeights
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.latent_statistics import LatentStatistics, sample_w

Search = Callable[..., InversionResult]


def who_guesses(encoder: Encoder, w_plus: Tensor) -> Encoder:
    """Make an encoder answer every picture with the same latent."""
    encoder.heads.weight.zero_()
    encoder.mean.copy_(w_plus)
    return encoder


@pytest.fixture
def known(tiny_generator: Generator) -> Tensor:
    """A latent in W. # [num_ws, w_dim]."""
    return tiny_generator.mapping.broadcast(sample_w(tiny_generator.mapping, 1, seed=5))[0]


@pytest.fixture
def engine_with(tiny_generator: Generator, statistics: LatentStatistics) -> Callable[..., SlotEngine]:
    """A function that makes an engine with an encoder, or without."""

    def make(encoder: Encoder | None, width: int = 1, recorder: Recorder | None = None) -> SlotEngine:
        objective = Objective(statistics, shared_features(), perceptual_size=32, encoder=encoder)
        return SlotEngine(tiny_generator, objective, width, recorder=recorder)

    return make


@pytest.fixture
def search(tiny_generator: Generator, known: Tensor, engine_with: Callable[..., SlotEngine]) -> Search:
    """A function that searches the known latent's face, with some settings."""
    target = tiny_generator.draw_image(known[None])[0].clamp(-1, 1)

    def run(encoder: Encoder | None, *, at: Tensor | None = None, **changes: object) -> InversionResult:
        settings = InversionSettings(steps=4).model_copy(update=changes)
        (finished,) = engine_with(encoder).run([InversionRequest(target, settings, start=at)])
        return finished.unwrap()

    return run


def test_a_good_guess_is_the_start(search: Search, tiny_encoder: Encoder, known: Tensor) -> None:
    """Where the guess is nearer than the mean face the search begins there, and says so."""
    found = search(who_guesses(tiny_encoder, known))
    mean = search(None)
    assert (found.start, mean.start) == ("encoder", "mean")
    assert found.distance_start == found.history[0] < 0.5 * mean.distance_start
    assert found.distance_end <= found.distance_start


def test_a_bad_guess_is_not_followed(search: Search, tiny_encoder: Encoder, known: Tensor) -> None:
    """A guess further than the mean face, or none at all, leaves the search as it was without an encoder."""
    mean = search(None)
    for bad in (known + 50, torch.full_like(known, float("nan"))):
        found = search(who_guesses(tiny_encoder, bad))
        assert found.start == "mean"
        assert found.history == mean.history


def test_settings_and_requests_may_insist(search: Search, tiny_encoder: Encoder, known: Tensor) -> None:
    """The mean face although the guess is nearer; the guess although it is further; a start of one's own above all."""
    encoder = who_guesses(tiny_encoder, known)
    assert search(encoder, start="mean").history == search(None).history
    assert search(encoder, start="encoder", at=known + 1).start == "given"
    far = search(who_guesses(tiny_encoder, known + 50), start="encoder")
    assert far.start == "encoder"
    assert far.distance_start > search(None).distance_start
    assert far.distance_end <= far.distance_start


def test_a_guess_needs_an_encoder(search: Search) -> None:
    """An engine without one refuses a request that insists, at admission."""
    with pytest.raises(ValueError, match="encoder"):
        search(None, start="encoder")
    with pytest.raises(ValueError, match="in_domain"):
        search(None, weights=LossWeights(in_domain=1))


def test_neighbours_change_no_start_and_no_answer(
    engine_with: Callable[..., SlotEngine], tiny_encoder: Encoder, targets: Tensor
) -> None:
    """Eight faces as one batch, joining as slots become free, end where each ends alone; so with the in-domain term."""
    for settings in (
        InversionSettings(steps=5, start="encoder"),
        InversionSettings(steps=5, weights=LossWeights(in_domain=0.1)),
    ):
        requests = [InversionRequest(target, settings) for target in targets[:5]]
        together = {f.ticket.request: f.unwrap() for f in engine_with(tiny_encoder, 3).run(requests)}
        for request in requests:
            (alone,) = (f.unwrap() for f in engine_with(tiny_encoder).run([request]))
            assert together[request].start == alone.start
            assert together[request].history == pytest.approx(alone.history, rel=1e-4)
            torch.testing.assert_close(together[request].w_plus, alone.w_plus, atol=1e-4, rtol=1e-4)


class Refusing(PlainRecorder):
    """Cannot record anything, and notices late."""

    def record(self, work: Callable[[], Result]) -> Callable[[], Result]:
        work()
        raise RuntimeError("operation not permitted when stream is capturing")


class RecordingStepsAlone(PlainRecorder):
    """Records steps, and no starts."""

    def another(self) -> PlainRecorder:
        return Refusing()


@pytest.mark.parametrize("recorder", [PlainRecorder(), RecordingStepsAlone()], ids=["recorded", "given up"])
def test_a_replayed_evaluation_finds_the_same_starts(
    engine_with: Callable[..., SlotEngine], tiny_encoder: Encoder, targets: Tensor, recorder: Recorder
) -> None:
    """Five faces; one weighs its head, one insists on the mean, one brings a start: nobody gets another's."""
    plain = InversionSettings(steps=3)
    requests = [
        InversionRequest(targets[0], plain),
        InversionRequest(targets[1], plain, region=torch.rand(1, 16, 16)),
        InversionRequest(targets[2], plain.model_copy(update={"start": "mean"})),
        InversionRequest(targets[3], plain, start=torch.zeros(6, 8)),
        InversionRequest(targets[4], plain.model_copy(update={"start": "encoder"})),
    ]
    replayed, eager = (
        {f.ticket.number: f.unwrap() for f in engine_with(tiny_encoder, 3, chosen).run(requests)}
        for chosen in (recorder, None)
    )
    assert {number: found.start for number, found in replayed.items()} == {n: found.start for n, found in eager.items()}
    assert [replayed[number].history for number in range(5)] == [eager[number].history for number in range(5)]


def test_the_in_domain_term_holds_a_latent_to_its_guess(
    search: Search, tiny_encoder: Encoder, known: Tensor, statistics: LatentStatistics
) -> None:
    """It is zero where the encoder guesses the latent itself, and pulls towards the guess."""
    encoder = who_guesses(tiny_encoder, known)
    picture = torch.rand(2, 3, 16, 16)
    at_home = Iterate(known.expand(2, -1, -1), picture)
    assert in_domain_distance(encoder, at_home).tolist() == [0, 0]
    aside = statistics.mean + 1
    reach = {
        weight: (search(encoder, at=aside, steps=12, weights=LossWeights(in_domain=weight)).w_plus - known).norm()
        for weight in (0.0, 1.0)
    }
    assert reach[1.0] < reach[0.0]
