"""Pictures that are made when they are first asked for."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
from marks import source_of
from PIL import Image

from nigaoe_core.errors import UnknownJob
from nigaoe_core.jobs import ANONYMOUS, Job, JobOptions, Outcome, new_job
from nigaoe_core.store.blob_store import (
    ANIMATION,
    COMPARE,
    CROP,
    FRAMES,
    LATENT,
    ON_REQUEST,
    PERSON,
    RESULT_PNG,
    RESULT_WEBP,
)
from nigaoe_faces.encoding import encode_jpeg, encode_png
from nigaoe_faces.result_encoder import FADE_FRAMES

if TYPE_CHECKING:
    from conftest import Api


@pytest.fixture
def open_api(special_api: Callable[..., "Api"]) -> "Api":
    """A service without keys."""
    return special_api()


def square(side: int, value: int) -> np.ndarray:
    return np.full((side, side, 3), value, np.uint8)


def drawn(api: "Api") -> Job:
    """A job as a worker leaves it: four pictures stored, three promised."""
    crop = new_job(JobOptions(), tenant=ANONYMOUS)
    api.services.blobs.put(f"{crop.folder}/{CROP}", encode_png(square(256, 10)))
    job = api.services.store.submit([crop.model_copy(update={"blobs": {CROP: f"{crop.folder}/{CROP}"}})]).jobs[0]
    claim = api.worker.claim(job.id)
    contents = {
        RESULT_PNG: encode_png(square(256, 200)),
        PERSON: encode_png(square(16, 100)),
        FRAMES: encode_jpeg(np.concatenate([square(16, 50), square(16, 80)]), 95),
        LATENT: b"latent",
    }
    for name, content in contents.items():
        api.services.blobs.put(f"{job.folder}/1-{name}", content)
    keys = {name: f"{job.folder}/1-{name}" for name in (*contents, *ON_REQUEST)}
    return api.services.store.succeed(claim, Outcome(blobs=keys))


def kept(api: "Api", job: Job) -> set[str]:
    names = {name for name, key in job.blobs.items() if api.services.blobs.exists(key)}
    assert len([blob for blob in api.services.blobs.list_blobs() if job.id in blob.key]) == len(names)
    return names


def fetched(api: "Api", job: Job, link: str) -> Image.Image:
    client = api.client(follow_redirects=True)
    answer = client.get(client.get(f"/jobs/{job.id}").json()["links"][link])
    assert answer.status_code == 200, answer.text
    return Image.open(BytesIO(answer.content))


def test_what_few_ask_for_is_made_when_somebody_asks(open_api: "Api") -> None:
    """The links are there from the beginning; each picture is made at its first request and kept."""
    job = drawn(open_api)
    at_first = kept(open_api, job)
    assert at_first.isdisjoint(ON_REQUEST)
    comparison = fetched(open_api, job, "compare")
    assert comparison.size == (3 * 256 + 2 * 8, 256)
    assert [comparison.getpixel((x, 128)) for x in (128, 392, 656)] == [(10,) * 3, (100,) * 3, (200,) * 3]
    assert kept(open_api, job) == {*at_first, COMPARE}
    film = fetched(open_api, job, "animation")
    assert film.n_frames == 2 + 1 + FADE_FRAMES  # type: ignore[attr-defined]
    assert fetched(open_api, job, "result_webp").format == "WEBP"
    assert kept(open_api, job) == {*at_first, *ON_REQUEST}


def test_what_is_made_here_is_marked_as_made_by_a_machine(open_api: "Api") -> None:
    """Drawing and film are a network's; beside the photo the drawing is a part."""
    job, client = drawn(open_api), open_api.client(follow_redirects=True)
    links = client.get(f"/jobs/{job.id}").json()["links"]
    sources = {name: source_of(client.get(links[name]).content) for name in ("result_webp", "animation", "compare")}
    assert sources == {
        "result_webp": "trainedAlgorithmicMedia",
        "animation": "trainedAlgorithmicMedia",
        "compare": "compositeWithTrainedAlgorithmicMedia",
    }


def test_what_was_made_is_not_made_again(open_api: "Api") -> None:
    """Whatever lies there is handed out."""
    job = drawn(open_api)
    fetched(open_api, job, "compare")
    open_api.services.blobs.delete(job.blobs[PERSON])
    assert fetched(open_api, job, "compare").size[1] == 256
    missing = open_api.client().get(f"/jobs/{job.id}/animation")
    assert (missing.status_code, missing.json()["code"]) == (404, "no_such_result")


def test_without_the_photo_the_comparison_has_two_pictures(open_api: "Api") -> None:
    """The crop of a restyle is its parent's, and goes with it."""
    job = drawn(open_api)
    open_api.services.blobs.delete(job.blobs[CROP])
    assert fetched(open_api, job, "compare").size == (2 * 256 + 8, 256)


def test_a_deletion_takes_what_was_made_along(open_api: "Api") -> None:
    """And what was not made yet is no trouble."""
    job = drawn(open_api)
    fetched(open_api, job, "result_webp")
    assert open_api.client().delete(f"/jobs/{job.id}").status_code == 204
    assert kept(open_api, job) == set()


def test_a_deletion_in_the_middle_leaves_nothing(open_api: "Api") -> None:
    """The record vanished while the picture was made: it is erased again."""
    job = drawn(open_api)
    open_api.services.store.delete(job.id)
    for name in (RESULT_WEBP, COMPARE, ANIMATION):
        with pytest.raises(UnknownJob):
            open_api.facilities.renderer.render(job, name)
    assert kept(open_api, job).isdisjoint(ON_REQUEST)


def test_a_slow_picture_takes_no_threads_from_others(
    open_api: "Api", monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., Any]
) -> None:
    """Sixty clients wait for one film, more than there are threads: health checks and other pictures do not."""
    job, is_over, is_slow = drawn(open_api), threading.Event(), threading.Event()

    def make(_job: Job) -> bytes:
        is_slow.set()
        assert is_over.wait(60)
        return b"film"

    monkeypatch.setitem(open_api.facilities.renderer._recipes, ANIMATION, make)
    limits = httpx.Limits(max_connections=100)
    client = open_api.client(limits=limits)
    with ThreadPoolExecutor(60) as pool:
        waiting = [pool.submit(client.get, f"/jobs/{job.id}/animation") for _ in range(60)]
        try:
            assert is_slow.wait(60)
            eventually(lambda: open_api.facilities.metrics.in_progress._value.get() >= 60)
            assert open_api.client().get("/readyz").json()["checks"]["job_store"] == "ok"
            assert open_api.client().get(f"/jobs/{job.id}/result.png").status_code == 307
        finally:
            is_over.set()
        assert {answer.result().status_code for answer in waiting} == {307}
