from io import BytesIO
from typing import Any

import pytest
import torch
from marks import source_of
from PIL import Image

from nigaoe_core.errors import BrokenImage, UnknownBlob, UnknownStyle
from nigaoe_core.jobs import Job, Outcome
from nigaoe_core.settings import Settings
from nigaoe_core.store.blob_store import (
    COMPARE,
    CROP,
    FRAMES,
    LATENT,
    ON_REQUEST,
    PASTED,
    PERSON,
    PHOTO,
    RESULT_PNG,
    RESULT_WEBP,
)
from nigaoe_core.store.events import EventKind
from nigaoe_model.portrait.stored_latent import StoredLatent
from nigaoe_worker.claimed_job import JobStopped, StopCause
from nigaoe_worker.engine import Engine
from nigaoe_worker.job_blobs import Shelf
from nigaoe_worker.model_cache import Gallery
from nigaoe_worker.work import Workbench, reduced


@pytest.fixture
def bench(engine: Engine, gallery: Gallery, settings: Settings) -> Workbench:
    """Where jobs are done."""
    return Workbench(engine, gallery, settings)


def done(bench: Workbench, desk: Any, job: Job) -> Outcome:
    hold = desk.hold(job)
    outcome = bench.run(hold, Shelf(desk.services.blobs, hold, 0))
    desk.services.store.succeed(hold.claim, outcome)
    return outcome


def picture(desk: Any, outcome: Outcome, name: str) -> Image.Image:
    return Image.open(BytesIO(desk.services.blobs.get(outcome.blobs[name])))


def test_a_conversion_leaves_all_its_pictures(bench: Workbench, desk: Any) -> None:
    """Portrait, person, latent and the way; the keys of what is made from them on request; report and timings."""
    outcome = done(bench, desk, desk.order())
    stored = {RESULT_PNG, PERSON, FRAMES, LATENT}
    assert set(outcome.blobs) == {*stored, *ON_REQUEST}
    assert {name for name, key in outcome.blobs.items() if desk.services.blobs.exists(key)} == stored
    assert picture(desk, outcome, RESULT_PNG).size == (128, 128)
    assert picture(desk, outcome, PERSON).size == (32, 32)
    width, height = picture(desk, outcome, FRAMES).size
    assert (width, height % 32) == (32, 0)
    assert height > 10 * 32
    assert set(outcome.timings) == {"preparing", "inverting", "decoding", "storing"}
    report = outcome.report
    assert (report.steps, report.stop_reason, report.start) == (30, "budget", "mean")
    assert report.distance_end < report.distance_start
    assert set(report.models) == {"g_ori", "g_fin"}


def test_what_a_worker_stores_is_marked_as_made_by_a_machine(bench: Workbench, desk: Any, crop: bytes) -> None:
    """The drawing and the person are drawn by a network; in the photo only the face is."""
    outcome = done(bench, desk, desk.order(paste_back=True, blobs={PHOTO: crop}))
    sources = {name: source_of(desk.services.blobs.get(outcome.blobs[name])) for name in (RESULT_PNG, PERSON, PASTED)}
    drawn, composite = "trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"
    assert sources == {RESULT_PNG: drawn, PERSON: drawn, PASTED: composite}


@pytest.mark.parametrize("method", ["direct", "best"])
def test_other_methods_search_elsewhere(bench: Workbench, desk: Any, method: str) -> None:
    """Direct searches in g_fin; best searches in both at once, and its steps are counted together."""
    outcome = done(bench, desk, desk.order(method=method))
    assert outcome.report.steps == {"direct": 30, "best": 60}[method]
    assert StoredLatent.from_bytes(desk.services.blobs.get(outcome.blobs[LATENT])).card.method == method


def test_the_portrait_goes_back_into_the_photo(bench: Workbench, desk: Any, crop: bytes) -> None:
    """With paste_back there is a photo, and its result has the photo's size."""
    outcome = done(bench, desk, desk.order(paste_back=True, blobs={PHOTO: crop}))
    assert picture(desk, outcome, PASTED).size == (256, 256)
    assert outcome.report.warnings == ()


def test_a_photo_that_is_gone_is_told(bench: Workbench, desk: Any) -> None:
    """The portrait is there all the same."""
    outcome = done(bench, desk, desk.order(paste_back=True))
    assert PASTED not in outcome.blobs
    assert "photo is gone" in outcome.report.warnings[0]


def test_a_restyle_draws_without_searching(bench: Workbench, desk: Any) -> None:
    """Another style, another degree, another seed: other pictures from the parent's latent, which stays where it is."""
    first = done(bench, desk, parent := desk.order())
    parent = desk.get(parent)
    pictures = {desk.services.blobs.get(first.blobs[RESULT_PNG])}
    for options in ({"style": "ink"}, {"degree": 0.5}, {"seed": 7}, {"truncation": 0.3}):
        outcome = done(bench, desk, desk.restyle(parent, **options))
        assert set(outcome.blobs) == {RESULT_PNG, PERSON, RESULT_WEBP, COMPARE}
        assert outcome.report.start is None
        assert "inverting" not in outcome.timings
        pictures.add(desk.services.blobs.get(outcome.blobs[RESULT_PNG]))
    assert len(pictures) == 5


def test_the_same_restyle_is_the_same_picture(bench: Workbench, desk: Any) -> None:
    """Nothing is drawn at random that the options do not name."""
    first = done(bench, desk, job := desk.order())
    again = done(bench, desk, desk.restyle(desk.get(job)))
    assert desk.services.blobs.get(first.blobs[RESULT_PNG]) == desk.services.blobs.get(again.blobs[RESULT_PNG])


def test_a_crop_that_is_gone_fails_the_job(bench: Workbench, desk: Any) -> None:
    """Without the face there is nothing to do."""
    job = desk.order()
    desk.services.blobs.delete(job.blobs[CROP])
    with pytest.raises(UnknownBlob):
        done(bench, desk, job)


def test_an_unknown_style_fails_the_job(bench: Workbench, desk: Any) -> None:
    """The message says what there is."""
    with pytest.raises(UnknownStyle, match="anime, ink"):
        done(bench, desk, desk.order(style="oil"))


def test_a_cancelled_search_ends_at_the_next_step(bench: Workbench, desk: Any) -> None:
    """A preset of hundreds of steps is left after the one in which the wish arrives."""
    hold = desk.hold(desk.order(preset="best"))
    tell = hold.tell

    def tell_and_stop(**news: Any) -> None:
        tell(**news)
        if news.get("progress") and news["progress"].step == 3:
            hold.stop(StopCause.CANCELLED)

    hold.tell = tell_and_stop
    with pytest.raises(JobStopped):
        bench.run(hold, Shelf(desk.services.blobs, hold, 0))
    progress = hold.take_progress()
    assert progress is not None
    assert progress.step == 3


def test_a_search_stops_before_the_deadline_with_the_best_it_has(bench: Workbench, desk: Any) -> None:
    """A tenth of the time is kept for drawing and storing: better a portrait of fewer steps than none."""
    hold = desk.hold(desk.order(preset="best"), seconds=0.5)
    clock = hold._clock
    hold._clock = lambda: min(clock(), hold.deadline - 0.01)  # The story itself is not about a slow machine.
    outcome = bench.run(hold, Shelf(desk.services.blobs, hold, 0))
    assert outcome.report.stop_reason == "deadline"
    assert 0 < outcome.report.steps < 400


def test_a_crop_is_reduced_by_the_mean_of_its_blocks() -> None:
    """And one of another size was cut for another generator."""
    crop = torch.zeros(64, 64, 3, dtype=torch.uint8)
    crop[::2] = 255
    assert torch.allclose(reduced(crop.numpy(), 32), torch.zeros(3, 32, 32), atol=1e-6)
    with pytest.raises(BrokenImage):
        reduced(crop[:60, :60].numpy(), 32)


def test_progress_tells_all_stages(bench: Workbench, desk: Any) -> None:
    """Those who watch see every stage begin, and pictures on the way."""
    hold = desk.hold()
    stages, previews = [], []
    tell = hold.tell

    def listen(**news: Any) -> None:
        if news.get("progress"):
            stages.append(news["progress"].stage)
        if news.get("preview"):
            previews.append(news["preview"])
        tell(**news)

    hold.tell = listen
    bench.run(hold, Shelf(desk.services.blobs, hold, 0))
    assert list(dict.fromkeys(stages)) == ["inverting", "decoding", "storing"]
    assert desk.services.events.preview(hold.claim, previews[-1].encode(), step=previews[-1].step)
    assert desk.services.events.read(hold.job_id)[-1].kind is EventKind.PREVIEW
