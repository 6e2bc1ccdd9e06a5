"""A job's reverse generation in the worker: where it begins."""

from dataclasses import replace
from typing import Protocol

import pytest
import torch

from core.jobs import Job
from model.encoder.architecture import encoder_architecture
from model.encoder.checkpoint import EncoderCard, LoadedEncoder
from model.encoder.network import Encoder
from model.latent_statistics import sample_w
from model.pair import LoadedGenerator
from worker.engine import Engine
from worker.gallery import Gallery
from worker.hold import Hold
from worker.search import Search


class Desk(Protocol):
    """Where jobs are ordered."""

    def order(self, **options: object) -> Job: ...
    def hold(self, job: Job) -> Hold: ...


def knowing(g_ori: LoadedGenerator, w_plus: torch.Tensor) -> LoadedEncoder:
    """An encoder that guesses one latent, whatever it sees."""
    architecture = encoder_architecture(g_ori.card.architecture)
    encoder = Encoder(architecture, g_ori.statistics).eval().requires_grad_(requires_grad=False)
    encoder.mean.copy_(w_plus)
    card = EncoderCard(
        name="guess", architecture=architecture, generator_sha256=g_ori.digest, alignment=g_ori.card.alignment
    )
    return LoadedEncoder(encoder, card, "0" * 64)


@pytest.mark.slow
def test_searches_begin_at_the_guess_where_there_is_one(desk: Desk, engine: Engine, gallery: Gallery) -> None:
    """Of the best method's two searches the person's begins at the guess, the drawing's at the mean face."""
    pair = gallery.pair("anime")
    mapping = pair.g_ori.generator.mapping
    w_plus = mapping.broadcast(sample_w(mapping, 1, seed=5))[0]
    face = pair.g_ori.generator.draw_image(w_plus[None])[0]
    guessing = replace(pair, g_ori=replace(pair.g_ori, encoder=knowing(pair.g_ori, w_plus)))
    found = {}
    for used in (pair, guessing):
        search = Search(desk.hold(desk.order(method="best")), used, face, with_previews=False)
        found[used is guessing] = search.run(engine)
    assert {role: result.start for role, result in found[True].items()} == {"g_ori": "encoder", "g_fin": "mean"}
    assert {result.start for result in found[False].values()} == {"mean"}
    assert found[True]["g_ori"].distance_start < found[False]["g_ori"].distance_start
