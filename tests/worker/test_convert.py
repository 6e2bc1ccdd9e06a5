import threading
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from drawing_counter import DrawingCounter
from feed_forward_files import write_feed_forward_styles
from marks import source_of
from PIL import Image

from nigaoe_core.errors import NoEncoder, NoLatent, ReferenceNeeded, UnknownBlob, UnknownStyle
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
    REFERENCE,
    RESULT_PNG,
    RESULT_WEBP,
)
from nigaoe_core.store.events import EventKind
from nigaoe_model.inversion.encoder.architecture import EncoderArchitecture
from nigaoe_model.inversion.encoder.checkpoint import EncoderCard, EncoderCheckpoint, save_encoder
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.inversion.request import InversionRequest
from nigaoe_model.inversion.settings import InversionSettings
from nigaoe_model.portrait.stored_latent import StoredLatent
from nigaoe_model.stylegan2.checkpoint import load_checkpoint
from nigaoe_worker.convert import JobRunner
from nigaoe_worker.device import Engine
from nigaoe_worker.job_blobs import JobBlobs
from nigaoe_worker.leases import JobStopped, StopCause
from nigaoe_worker.model_cache import ModelCache
from nigaoe_worker.slot_batch import SlotRequest


@pytest.fixture
def runner(engine: Engine, models: ModelCache, settings: Settings) -> JobRunner:
    """Where jobs are done."""
    return JobRunner(engine, models, settings)


def done(runner: JobRunner, client: Any, job: Job) -> Outcome:
    claimed = client.claimed(job)
    outcome = runner.run(claimed, JobBlobs(client.services.blobs, claimed, 0))
    client.services.store.succeed(claimed.claim, outcome)
    return outcome


def picture(client: Any, outcome: Outcome, name: str) -> Image.Image:
    return Image.open(BytesIO(client.services.blobs.get(outcome.blobs[name])))


def test_a_conversion_leaves_all_its_pictures(runner: JobRunner, client: Any) -> None:
    """Portrait, person, latent and the way; the keys of what is made from them on request; report and timings."""
    outcome = done(runner, client, client.convert())
    stored = {RESULT_PNG, PERSON, FRAMES, LATENT}
    assert set(outcome.blobs) == {*stored, *ON_REQUEST}
    assert {name for name, key in outcome.blobs.items() if client.services.blobs.exists(key)} == stored
    assert picture(client, outcome, RESULT_PNG).size == (128, 128)
    assert picture(client, outcome, PERSON).size == (32, 32)
    width, height = picture(client, outcome, FRAMES).size
    assert (width, height % 32) == (32, 0)
    assert height > 10 * 32
    assert set(outcome.timings) == {"preparing", "inverting", "decoding", "storing"}
    report = outcome.report
    assert (report.steps, report.stop_reason, report.start) == (20, "budget", "mean")
    assert report.distance_end < report.distance_start
    assert set(report.models) == {"g_ori", "g_fin"}


def test_what_a_worker_stores_is_marked_as_made_by_a_machine(runner: JobRunner, client: Any, crop: bytes) -> None:
    """The drawing and the person are drawn by a network; in the photo only the face is."""
    outcome = done(runner, client, client.convert(paste_back=True, blobs={PHOTO: crop}))
    sources = {name: source_of(client.services.blobs.get(outcome.blobs[name])) for name in (RESULT_PNG, PERSON, PASTED)}
    drawn, composite = "trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"
    assert sources == {RESULT_PNG: drawn, PERSON: drawn, PASTED: composite}


def test_a_job_draws_person_and_drawing_once(runner: JobRunner, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four blocks each, after the search; a restyle draws both again, for its own files."""
    drawn = DrawingCounter(monkeypatch)
    done(runner, client, job := client.convert())
    assert drawn.take() == [4, 4]
    done(runner, client, client.restyle(client.get(job), style="ink"))
    assert drawn.take() == [4, 4]


@pytest.mark.parametrize("method", ["direct", "best"])
def test_other_methods_search_elsewhere(runner: JobRunner, client: Any, method: str) -> None:
    """Direct searches in g_fin; best searches in both at once, and its steps are counted together."""
    outcome = done(runner, client, client.convert(method=method))
    assert outcome.report.steps == {"direct": 20, "best": 40}[method]
    assert StoredLatent.from_bytes(client.services.blobs.get(outcome.blobs[LATENT])).card.method == method


@pytest.fixture
def guessing_models(settings: Settings, tmp_path: Path, installed: Callable[..., Path]) -> ModelCache:
    """Both styles, loaded with an encoder beside their generator."""
    weights = add_encoder(installed(tmp_path / "weights", "anime", "ink"))
    models = ModelCache(settings.model_copy(update={"weights_dir": weights}), "cpu")
    models.load()
    return models


@pytest.fixture
def guessing(engine: Engine, guessing_models: ModelCache, settings: Settings) -> JobRunner:
    """Where jobs are done, instant ones, too."""
    return JobRunner(engine, guessing_models, settings)


def add_encoder(folder: Path) -> Path:
    """Install an encoder that answers every picture otherwise."""
    base = load_checkpoint(folder / "tiny.safetensors")
    shape = base.card.architecture
    architecture = EncoderArchitecture(side=32, widths=(8,) * 4, features=8, num_ws=shape.num_ws, w_dim=shape.w_dim)
    torch.manual_seed(3)
    encoder = Encoder(architecture, base.statistics)
    torch.nn.init.normal_(encoder.heads.weight, std=0.3)
    card = EncoderCard(
        name="guess", architecture=architecture, generator_sha256=base.digest, alignment=base.card.alignment
    )
    save_encoder(EncoderCheckpoint(card, encoder.state_dict()), folder / "guess.safetensors")
    manifest = folder / "manifest.toml"
    row = 'file = "tiny.safetensors"'
    manifest.write_text(manifest.read_text().replace(row, f'{row}\nencoder = "guess.safetensors"'))
    return folder


def test_an_instant_job_is_drawn_without_a_search(guessing: JobRunner, client: Any) -> None:
    """Its latent is kept, so it can be restyled like any other; there is no film, as nothing was searched."""
    outcome = done(guessing, client, job := client.convert(preset="instant"))
    assert set(outcome.blobs) == {RESULT_PNG, PERSON, LATENT, RESULT_WEBP, COMPARE}
    assert set(outcome.timings) == {"preparing", "decoding", "storing"}
    report = outcome.report
    assert (report.steps, report.stop_reason, report.start, report.distance_end) == (0, "one_pass", "encoder", None)
    assert set(report.models) == {"g_ori", "g_fin", "encoder"}
    restyled = done(guessing, client, client.restyle(client.get(job), style="ink"))
    assert picture(client, restyled, RESULT_PNG).size == (128, 128)


def test_an_instant_job_does_not_wait_for_a_search(
    guessing: JobRunner, guessing_models: ModelCache, engine: Engine, client: Any
) -> None:
    """All slots are taken by searches that wait for it."""
    drawn = threading.Event()
    pair = guessing_models.pair("anime")

    def follow(_: Any) -> None:
        if not drawn.is_set():
            begun.release()

    begun = threading.Semaphore(0)
    settings = InversionSettings(steps=100_000, start="mean")
    searches = [
        engine.invert(
            SlotRequest(
                pair.g_ori,
                InversionRequest(torch.zeros(3, 32, 32), settings, on_progress=follow, cancelled=drawn.is_set),
            )
        )
        for _ in range(3)
    ]
    for _ in range(2):
        assert begun.acquire(timeout=60)
    assert done(guessing, client, client.convert(preset="instant")).report.stop_reason == "one_pass"
    assert not any(search.done() for search in searches)
    drawn.set()


def test_an_instant_job_needs_an_encoder(runner: JobRunner, client: Any) -> None:
    """By name: the API refuses it sooner, unless the encoder went meanwhile."""
    with pytest.raises(NoEncoder):
        done(runner, client, client.convert(preset="instant"))


def test_the_portrait_goes_back_into_the_photo(runner: JobRunner, client: Any, crop: bytes) -> None:
    """With paste_back there is a photo, and its result has the photo's size."""
    outcome = done(runner, client, client.convert(paste_back=True, blobs={PHOTO: crop}))
    assert picture(client, outcome, PASTED).size == (256, 256)
    assert outcome.report.warnings == ()


def test_a_photo_that_is_gone_is_reported(runner: JobRunner, client: Any) -> None:
    """The portrait is there all the same."""
    outcome = done(runner, client, client.convert(paste_back=True))
    assert PASTED not in outcome.blobs
    assert "photo is gone" in outcome.report.warnings[0]


def test_a_restyle_draws_without_searching(runner: JobRunner, client: Any) -> None:
    """Another style, another degree, another seed: other pictures from the parent's latent, which stays where it is."""
    first = done(runner, client, parent := client.convert())
    parent = client.get(parent)
    pictures = {client.services.blobs.get(first.blobs[RESULT_PNG])}
    for options in ({"style": "ink"}, {"degree": 0.5}, {"seed": 7}, {"truncation": 0.3}):
        outcome = done(runner, client, client.restyle(parent, **options))
        assert set(outcome.blobs) == {RESULT_PNG, PERSON, RESULT_WEBP, COMPARE}
        assert outcome.report.start is None
        assert "inverting" not in outcome.timings
        pictures.add(client.services.blobs.get(outcome.blobs[RESULT_PNG]))
    assert len(pictures) == 5


def test_the_same_restyle_is_the_same_picture(runner: JobRunner, client: Any) -> None:
    """Nothing is drawn at random that the options do not name."""
    first = done(runner, client, job := client.convert())
    again = done(runner, client, client.restyle(client.get(job)))
    assert client.services.blobs.get(first.blobs[RESULT_PNG]) == client.services.blobs.get(again.blobs[RESULT_PNG])


def test_a_crop_that_is_gone_fails_the_job(runner: JobRunner, client: Any) -> None:
    """Without the face there is nothing to do."""
    job = client.convert()
    client.services.blobs.delete(job.blobs[CROP])
    with pytest.raises(UnknownBlob):
        done(runner, client, job)


def test_an_unknown_style_fails_the_job(runner: JobRunner, client: Any) -> None:
    """The message says what there is."""
    with pytest.raises(UnknownStyle, match="anime, ink"):
        done(runner, client, client.convert(style="oil"))


def test_a_cancelled_search_ends_at_the_next_step(runner: JobRunner, client: Any) -> None:
    """A preset of hundreds of steps is left after the one in which the wish arrives."""
    claimed = client.claimed(client.convert(preset="best"))
    update = claimed.update

    def tell_and_stop(**changes: Any) -> None:
        update(**changes)
        if changes.get("progress") and changes["progress"].step == 3:
            claimed.stop(StopCause.CANCELLED)

    claimed.update = tell_and_stop
    with pytest.raises(JobStopped):
        runner.run(claimed, JobBlobs(client.services.blobs, claimed, 0))
    progress = claimed.take_progress()
    assert progress is not None
    assert progress.step == 3


def test_a_search_stops_before_the_deadline_with_the_best_it_has(runner: JobRunner, client: Any) -> None:
    """A tenth of the time is kept for drawing and storing: better a portrait of fewer steps than none."""
    claimed = client.claimed(client.convert(preset="best"), seconds=0.5)
    clock = claimed._clock
    claimed._clock = lambda: min(clock(), claimed.deadline - 0.01)  # The story itself is not about a slow machine.
    outcome = runner.run(claimed, JobBlobs(client.services.blobs, claimed, 0))
    assert outcome.report.stop_reason == "deadline"
    assert 0 < outcome.report.steps < 200


def test_progress_reports_all_stages(runner: JobRunner, client: Any) -> None:
    """Those who watch see every stage begin, and pictures on the way."""
    claimed = client.claimed()
    stages, previews = [], []
    update = claimed.update

    def listen(**changes: Any) -> None:
        if changes.get("progress"):
            stages.append(changes["progress"].stage)
        if changes.get("preview"):
            previews.append(changes["preview"])
        update(**changes)

    claimed.update = listen
    runner.run(claimed, JobBlobs(client.services.blobs, claimed, 0))
    assert list(dict.fromkeys(stages)) == ["inverting", "decoding", "storing"]
    assert client.services.events.preview(claimed.claim, previews[-1].encode(), step=previews[-1].step)
    assert client.services.events.read(claimed.job.id)[-1].kind is EventKind.PREVIEW


@pytest.fixture
def drawing(engine: Engine, settings: Settings, tmp_path: Path, installed: Callable[..., Path]) -> JobRunner:
    """A worker that has feed-forward styles beside the others."""
    folder = write_feed_forward_styles(installed(tmp_path / "weights", "anime"))
    chosen = settings.model_copy(update={"weights_dir": folder})
    models = ModelCache(chosen, "cpu")
    models.load()
    return JobRunner(engine, models, chosen)


def test_a_feed_forward_style_draws_without_searching(drawing: JobRunner, client: Any) -> None:
    """A portrait and nothing of a search: no person, no latent, no film; the report says how it came about."""
    outcome = done(drawing, client, job := client.convert(style="roses", seed=3))
    assert set(outcome.blobs) == {RESULT_PNG, RESULT_WEBP, COMPARE}
    assert picture(client, outcome, RESULT_PNG).size == (128, 128)
    assert set(outcome.timings) == {"preparing", "decoding", "storing"}
    report = outcome.report
    assert (report.method, report.seed, report.reference) == ("gans-n-roses", 3, False)
    assert (report.steps, report.stop_reason, report.distance_end) == (0, "one_pass", None)
    assert set(report.models) == {"gans-n-roses"}
    again = done(drawing, client, client.convert(style="roses", seed=3))
    other = done(drawing, client, client.convert(style="roses", seed=4))
    drawn = [client.services.blobs.get(one.blobs[RESULT_PNG]) for one in (outcome, again, other)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert client.get(job).progress.fraction == 1


@pytest.mark.parametrize("style", ["roses", "swap", "bare-swap"])
def test_a_reference_gives_the_style_and_goes_when_the_job_ends(
    drawing: JobRunner, client: Any, crop: bytes, style: str
) -> None:
    """It is an upload like the photo: of no use to anybody afterwards."""
    upload = BytesIO()
    Image.open(BytesIO(crop)).rotate(90).save(upload, "PNG")
    job = client.convert(style=style, blobs={REFERENCE: upload.getvalue()})
    key = job.blobs[REFERENCE]
    outcome = done(drawing, client, job)
    assert (outcome.report.reference, outcome.report.seed) == (True, None)
    assert REFERENCE not in client.get(job).blobs
    client.services.retention.erase_due()
    assert not client.services.blobs.exists(key)
    assert client.services.blobs.exists(client.get(job).blobs[CROP])


def test_a_one_pass_portrait_goes_back_into_the_photo(drawing: JobRunner, client: Any, crop: bytes) -> None:
    """Framed as the style's own card says."""
    outcome = done(drawing, client, client.convert(style="swap", paste_back=True, blobs={PHOTO: crop}))
    assert picture(client, outcome, PASTED).size == (256, 256)


def test_a_style_that_needs_a_reference_fails_without(drawing: JobRunner, client: Any) -> None:
    """By name: the API refuses it sooner, unless the style was installed anew meanwhile."""
    with pytest.raises(ReferenceNeeded):
        done(drawing, client, client.convert(style="bare-swap"))


def test_a_latent_cannot_be_drawn_in_one_pass(drawing: JobRunner, client: Any) -> None:
    """A restyle asks for the photo."""
    done(drawing, client, job := client.convert())
    with pytest.raises(NoLatent, match="photo"):
        done(drawing, client, client.restyle(client.get(job), style="roses"))


def test_a_stopped_job_is_not_drawn(drawing: JobRunner, client: Any) -> None:
    """It is cancelled before its pass begins, or between two stages."""
    for stage in ("decoding", "storing"):
        claimed = client.claimed(client.convert(style="roses"))
        update = claimed.update

        def tell_and_stop(claimed: Any = claimed, update: Any = update, last: str = stage, **changes: Any) -> None:
            update(**changes)
            if changes["progress"].stage == last:
                claimed.stop(StopCause.CANCELLED)

        claimed.update = tell_and_stop
        blobs = JobBlobs(client.services.blobs, claimed, 0)
        with pytest.raises(JobStopped):
            drawing.run(claimed, blobs)
        assert not blobs.stored or stage == "storing"
