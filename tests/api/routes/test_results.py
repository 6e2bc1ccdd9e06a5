"""Fetching pictures: short-lived links, nothing of other tenants, nothing of the photo."""

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from nigaoe_core.jobs import ANONYMOUS, Job, JobOptions, Outcome, new_job
from nigaoe_core.store.blob_store import CROP, PHOTO

if TYPE_CHECKING:
    from conftest import Api


@pytest.fixture
def open_api(special_api: Callable[..., "Api"]) -> "Api":
    """A service without keys."""
    return special_api()


@pytest.fixture
def done(open_api: "Api") -> Job:
    """A job with pictures."""
    job = open_api.services.store.submit([new_job(JobOptions(), tenant=ANONYMOUS)]).jobs[0]
    return open_api.worker.do(job.id)


def test_a_result_is_a_link_away(open_api: "Api", done: Job) -> None:
    """A redirect to a signed path; the picture comes with headers that make it only a picture."""
    client = open_api.client(follow_redirects=True)
    answer = client.get(f"/jobs/{done.id}/result")
    assert [step.status_code for step in answer.history] == [307]
    assert answer.content == open_api.services.blobs.get(done.blobs["result.png"])
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; sandbox")
    assert answer.headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "image/png"),
        ("image/avif,image/webp,*/*;q=0.8", "image/webp"),
        ("image/png,image/webp", "image/png"),
        ("", "image/png"),
    ],
)
def test_clients_get_the_format_they_ask_for(open_api: "Api", done: Job, accept: str, content_type: str) -> None:
    """Browsers name WebP, other clients get PNG."""
    answer = open_api.client(follow_redirects=True).get(f"/jobs/{done.id}/result", headers={"Accept": accept})
    assert answer.headers["Content-Type"] == content_type
    assert answer.history[0].headers["Vary"] == "Accept"


def test_every_picture_in_links_can_be_fetched(open_api: "Api", done: Job) -> None:
    """Links name what there is; what there is not is 404."""
    client = open_api.client(follow_redirects=True)
    links = client.get(f"/jobs/{done.id}").json()["links"]
    for name in ("result", "result_png", "result_webp", "compare", "latent"):
        assert client.get(links[name]).status_code == 200
    assert (links["animation"], links["pasted"]) == (None, None)
    missing = client.get(f"/jobs/{done.id}/animation")
    assert (missing.status_code, missing.json()["code"]) == (404, "no_such_result")


def test_an_unfinished_job_has_no_result(open_api: "Api") -> None:
    """409 until it has succeeded, and for ever if it does not."""
    job = open_api.services.store.submit([new_job(JobOptions(), tenant=ANONYMOUS)]).jobs[0]
    client = open_api.client()
    assert client.get(f"/jobs/{job.id}/result").json()["state"] == "queued"
    open_api.services.store.cancel(job.id)
    answer = client.get(f"/jobs/{job.id}/result")
    assert (answer.status_code, answer.json()["code"], answer.json()["state"]) == (409, "no_result", "cancelled")


def test_a_download_has_a_name(open_api: "Api", done: Job) -> None:
    """Signed into the link, so that nobody makes it another one."""
    client = open_api.client(follow_redirects=True)
    answer = client.get(f"/jobs/{done.id}/result.png", params={"download": "true"})
    assert answer.headers["Content-Disposition"] == f'attachment; filename="nigaoe-{done.id[:8]}-result.png"'
    forged = client.get(str(answer.url).replace("result.png&", "virus.exe&", 1))
    assert forged.status_code == 403


def test_a_link_is_for_its_picture_alone(open_api: "Api", done: Job) -> None:
    """A changed key, time or signature opens nothing."""
    client = open_api.client()
    link = client.get(f"/jobs/{done.id}/result.png").headers["Location"]
    assert client.get(link).status_code == 200
    expires = parse_qs(urlsplit(link).query)["expires"][0]
    for changed in (
        link.replace("result.png", "latent.safetensors"),
        link.replace(expires, str(int(expires) + 3600)),
        link[:-4] + "0000",
    ):
        assert client.get(changed).json()["code"] == "invalid_link"
    assert client.get(link.partition("?")[0]).status_code == 422


def test_a_link_expires(special_api: Callable[..., "Api"]) -> None:
    """410, so that a client asks for a new one."""
    api = special_api()
    job = api.services.store.submit([new_job(JobOptions(), tenant=ANONYMOUS)]).jobs[0]
    api.worker.do(job.id)
    past = api.services.signer.sign(f"{job.folder}/result.png", seconds=-1)
    answer = api.client().get(past)
    assert (answer.status_code, answer.json()["code"]) == (410, "link_expired")


def test_the_photo_is_never_given_out(open_api: "Api", done: Job) -> None:
    """Not even with a good signature."""
    key = f"{done.folder}/{PHOTO}"
    open_api.services.blobs.put(key, b"private")
    answer = open_api.client().get(open_api.services.blobs.link(key, seconds=60))
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_blob")


@pytest.mark.parametrize("key", ["../../etc/passwd", "public/20260101/x/y", "%2e%2e/%2e%2e/etc/passwd"])
def test_nothing_outside_the_store_can_be_named(open_api: "Api", key: str) -> None:
    """Even a signature over such a key leads nowhere."""
    answer = open_api.client().get(open_api.services.signer.sign(key, seconds=60))
    assert answer.status_code in (400, 403, 404)
    assert b"root:" not in answer.content


def test_a_parent_whose_time_is_over_takes_its_face_along(open_api: "Api") -> None:
    """A younger restyle's own pictures stay until its own time, the shared latent is gone."""
    api, client = open_api, open_api.client(follow_redirects=True)
    job = api.services.store.submit([new_job(JobOptions(), tenant=ANONYMOUS)]).jobs[0]
    parent = api.worker.finish(api.worker.claim(job.id), crop_png=b"crop")
    child = client.post(f"/jobs/{parent.id}/restyle", json={"degree": 0.5}).json()
    drawn = api.worker.claim(child["id"])
    assert drawn.job.blobs[CROP] == parent.blobs[CROP]
    api.services.blobs.put(f"{drawn.job.folder}/result.png", b"drawn")
    api.services.store.succeed(drawn, Outcome(blobs={"result.png": f"{drawn.job.folder}/result.png"}))
    api.services.store.delete(parent.id, with_restyles=False)
    api.services.blobs.delete_folder(parent.folder)
    assert client.get(f"/jobs/{child['id']}/result").content == b"drawn"
    assert client.get(f"/jobs/{child['id']}/latent").json()["code"] == "no_such_result"
