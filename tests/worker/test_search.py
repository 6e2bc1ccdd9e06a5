"""A job's reverse generation in the worker: where it begins, and what it shows on the way."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from typing import Any, Protocol

import pytest
import torch
from PIL import Image

from nigaoe_core.jobs import Job
from nigaoe_model.inversion.encoder.architecture import encoder_architecture
from nigaoe_model.inversion.encoder.checkpoint import EncoderCard, LoadedEncoder
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.portrait.pair import LoadedGenerator, Pair
from nigaoe_model.stylegan2.latent_statistics import sample_w
from nigaoe_worker.convert import options_of
from nigaoe_worker.device import Engine
from nigaoe_worker.leases import ClaimedJob, Preview
from nigaoe_worker.model_cache import ModelCache
from nigaoe_worker.search import Search


class JobClient(Protocol):
    """Submits jobs."""

    def convert(self, **options: object) -> Job: ...
    def claimed(self, job: Job) -> ClaimedJob: ...


def knowing(g_ori: LoadedGenerator, w_plus: torch.Tensor) -> LoadedEncoder:
    """An encoder that guesses one latent, whatever it sees."""
    architecture = encoder_architecture(g_ori.card.architecture)
    encoder = Encoder(architecture, g_ori.statistics).eval().requires_grad_(requires_grad=False)
    encoder.mean.copy_(w_plus)
    card = EncoderCard(
        name="guess", architecture=architecture, generator_sha256=g_ori.digest, alignment=g_ori.card.alignment
    )
    return LoadedEncoder(encoder, card, "0" * 64)


def searching(claimed: ClaimedJob, pair: Pair, face: torch.Tensor, *, with_previews: bool) -> Search:
    """The search of a held job."""
    return Search(claimed, pair, options_of(claimed.job), face, with_previews=with_previews)


@pytest.mark.slow
def test_searches_begin_at_the_guess_where_there_is_one(client: JobClient, engine: Engine, models: ModelCache) -> None:
    """Of the best method's two searches the person's begins at the guess, the drawing's at the mean face."""
    pair = models.pair("anime")
    mapping = pair.g_ori.generator.mapping
    w_plus = mapping.broadcast(sample_w(mapping, 1, seed=5))[0]
    face = pair.g_ori.generator.draw_image(w_plus[None])[0]
    guessing = replace(pair, g_ori=replace(pair.g_ori, encoder=knowing(pair.g_ori, w_plus)))
    found = {}
    for used in (pair, guessing):
        search = searching(client.claimed(client.convert(method="best")), used, face, with_previews=False)
        found[used is guessing] = search.run(engine)
    assert {role: result.start for role, result in found[True].items()} == {"g_ori": "encoder", "g_fin": "mean"}
    assert {result.start for result in found[False].values()} == {"mean"}
    assert found[True]["g_ori"].distance_start < found[False]["g_ori"].distance_start


def previews_of(search: Search, engine: Engine, claimed: ClaimedJob) -> list[Preview]:
    """What a search leaves to be sent, taken as soon as it is there."""
    previews: list[Preview] = []
    update: Callable[..., None] = claimed.update

    def listen(**changes: Any) -> None:
        update(**changes)
        if preview := claimed.take_preview():
            previews.append(preview)

    claimed.update = listen  # type: ignore[method-assign]  # A listener between the search and the job.
    search.run(engine)
    return previews


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "is_followed", "is_drawn"),
    [("cross", True, True), ("cross", False, False), ("direct", True, False)],
)
def test_who_watches_a_search_sees_the_drawing_too(
    client: JobClient, engine: Engine, models: ModelCache, method: str, is_followed: bool, is_drawn: bool
) -> None:
    """Beside the likeness; not where nobody watches, or where the search itself goes through the style."""
    pair = models.pair("anime")
    mapping = pair.g_ori.generator.mapping
    face = pair.g_ori.generator.draw_image(mapping.broadcast(sample_w(mapping, 1, seed=5)))[0]
    claimed = client.claimed(client.convert(method=method))
    claimed.is_followed = is_followed
    previews = previews_of(searching(claimed, pair, face, with_previews=True), engine, claimed)
    assert previews
    assert {preview.encode_drawing is not None for preview in previews} == {is_drawn}
    if is_drawn:
        last = previews[-1]
        assert last.encode_drawing is not None
        likeness, drawing = (Image.open(BytesIO(encode())) for encode in (last.encode, last.encode_drawing))
        assert drawing.size == likeness.size
        assert drawing.tobytes() != likeness.tobytes()


@pytest.mark.slow
def test_a_drawing_that_waits_to_be_sent_is_not_replaced(client: JobClient, engine: Engine, models: ModelCache) -> None:
    """Each costs the device a pass: none is made for nothing."""
    pair = models.pair("anime")
    mapping = pair.g_ori.generator.mapping
    face = pair.g_ori.generator.draw_image(mapping.broadcast(sample_w(mapping, 1, seed=5)))[0]
    claimed = client.claimed(client.convert())
    claimed.is_followed = True
    search = searching(claimed, pair, face, with_previews=True)
    search.run(engine)
    preview = claimed.take_preview()
    assert preview is not None
    assert preview.step < search.progress.step
