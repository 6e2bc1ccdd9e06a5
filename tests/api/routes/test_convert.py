"""Ordering portraits over HTTP."""

import hashlib
import shutil
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from PIL import Image
from wake_ups import WakeUp

from nigaoe_core.bundled import BUNDLED_WEIGHTS
from nigaoe_core.errors import StoreUnavailable
from nigaoe_core.jobs import JobState
from nigaoe_core.store.blob_store import CROP, PHOTO

if TYPE_CHECKING:
    from conftest import Api, Site

Convert = Callable[..., httpx.Response]


def test_a_photo_becomes_a_queued_job(api: "Api", client: httpx.Client, convert: Convert) -> None:
    """202, a Location, the face that was found, a crop in the store, and no photo."""
    answer = convert(client, degree="0.5", seed="7")
    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == job["links"]["self"] == f"{api.url}/jobs/{job['id']}"
    assert (job["state"], job["queue_position"] is not None, job["face_index"]) == ("queued", True, 0)
    assert (job["options"]["degree"], job["options"]["seed"]) == (0.5, 7)
    assert len(job["faces"]) == 1
    stored = api.services.store.get(job["id"])
    crop = Image.open(BytesIO(api.services.blobs.get(stored.blobs[CROP])))
    assert (crop.size, crop.mode) == ((256, 256), "RGB")
    assert PHOTO not in stored.blobs


def test_an_instant_portrait_goes_where_no_search_waits(special_api: Callable[..., "Api"], convert: Convert) -> None:
    """Into the queue of what is there in a moment; it searches nothing, so a method that does is refused."""
    api = special_api()
    job = convert(api.client(), preset="instant").json()
    assert (job["options"]["preset"], job["options"]["method"]) == ("instant", "cross")
    assert not api.services.store.get(job["id"]).is_searched
    answer = convert(api.client(), preset="instant", method="best")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert "instant" in answer.text


def test_an_instant_portrait_needs_an_encoder(
    special_api: Callable[..., "Api"], convert: Convert, tmp_path: Path
) -> None:
    """Refused before anything is stored."""
    folder = shutil.copytree(BUNDLED_WEIGHTS, tmp_path / "weights")
    manifest = folder / "manifest.toml"
    manifest.write_text(manifest.read_text().replace('encoder = "g_ori-encoder.safetensors"', ""))
    answer = convert(special_api(weights_dir=folder).client(), preset="instant")
    assert (answer.status_code, answer.json()["code"]) == (422, "no_encoder")
    assert "train encoder" in answer.json()["detail"]


def test_the_photo_is_kept_only_to_paste_back_into_it(
    api: "Api", client: httpx.Client, convert: Convert, photo: bytes
) -> None:
    """It goes as soon as the job has ended."""
    job = convert(client, paste_back="true").json()
    key = api.services.store.get(job["id"]).blobs[PHOTO]
    assert api.services.blobs.get(key) == photo
    assert PHOTO not in api.worker.do(job["id"]).blobs
    api.services.retention.erase_due(1000)
    assert not api.services.blobs.exists(key)


def test_a_wake_up_message_is_sent_for_every_job(special_api: Callable[..., "Api"], convert: Convert) -> None:
    """The message names the job and its attempt."""
    api = special_api()
    job = convert(api.client(), priority="8").json()
    assert api.wake_ups.take_all() == [WakeUp(job["id"], 1, 8)]


def test_waiting_returns_the_finished_job(
    api: "Api", client: httpx.Client, convert: Convert, eventually: Callable[..., Any]
) -> None:
    """`Prefer: wait` delays the answer until a worker is done."""
    with ThreadPoolExecutor() as pool:
        pending = pool.submit(convert, client, headers={"Prefer": "respond-async, wait=60"})
        jobs = eventually(lambda: client.get("/jobs").json()["jobs"])
        api.worker.do(jobs[0]["id"])
        answer = pending.result()
    job = answer.json()
    assert (answer.status_code, job["state"]) == (200, "succeeded")
    assert answer.headers["Preference-Applied"] == "wait=60"
    assert job["links"]["result"] == f"{job['links']['self']}/result"
    assert job["report"]["distance_end"] == 0.1


def test_waiting_in_vain_returns_the_job_as_it_is(client: httpx.Client, convert: Convert) -> None:
    """202 when the time is up."""
    answer = convert(client, headers={"Prefer": "wait=0.1"})
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")


def test_a_photo_without_a_face_is_refused_at_once(client: httpx.Client, convert: Convert, landscape: bytes) -> None:
    """422, and nothing was stored."""
    answer = convert(client, landscape)
    assert (answer.status_code, answer.json()["code"]) == (422, "no_face")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert client.get("/jobs").json()["jobs"] == []


def test_a_group_photo_gets_its_largest_face(client: httpx.Client, convert: Convert, group_photo: bytes) -> None:
    """Without a choice nobody has to choose."""
    job = convert(client, group_photo).json()
    assert len(job["faces"]) == 2
    assert (job["face_index"], job["options"]["face"]) == (0, "largest")


def test_a_client_may_ask_to_be_told_of_several_faces(
    client: httpx.Client, convert: Convert, group_photo: bytes
) -> None:
    """409 lists them, each with a token that chooses it."""
    answer = convert(client, group_photo, face="only")
    problem = answer.json()
    assert (answer.status_code, problem["code"], len(problem["faces"])) == (409, "multiple_faces", 2)
    second = problem["faces"][1]
    job = convert(client, group_photo, face=second["token"]).json()
    assert (job["face_index"], job["faces"][1]["box"]) == (1, second["box"])


def test_a_face_may_be_chosen_by_index(client: httpx.Client, convert: Convert, group_photo: bytes) -> None:
    """Zero is the largest; beyond the last one there is none."""
    assert convert(client, group_photo, face="1").json()["face_index"] == 1
    assert convert(client, group_photo, face="2").json()["code"] == "face_out_of_range"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"style": "nonsense"}, "unknown_style"),
        ({"degree": "1.5"}, "invalid_request"),
        ({"degree": "NaN"}, "invalid_request"),
        ({"method": "magic"}, "invalid_request"),
        ({"face": "the left one"}, "invalid_request"),
        ({"face": "face_abcdef"}, "invalid_face_token"),
        ({"sytle": "anime"}, "invalid_request"),
        ({"webhook_url": "http://localhost/"}, "forbidden_address"),
        ({"webhook_url": "https://169.254.169.254/"}, "forbidden_address"),
    ],
)
def test_wrong_options_are_named(client: httpx.Client, convert: Convert, fields: dict[str, str], code: str) -> None:
    """Every refusal has its code and changes nothing."""
    answer = convert(client, **fields)
    assert answer.json()["code"] == code
    assert 400 <= answer.status_code < 500
    assert client.get("/jobs").json()["jobs"] == []


def test_several_photos_become_a_batch(api: "Api", client: httpx.Client, convert: Convert, photo: bytes) -> None:
    """One Location for all; its jobs are jobs like any other."""
    answer = convert(client, photo, photo)
    batch = answer.json()
    assert (answer.status_code, batch["done"], batch["states"]) == (202, False, {"queued": 2})
    api.worker.do(batch["jobs"][0]["id"])
    later = client.get(answer.headers["Location"]).json()
    assert [job["state"] for job in later["jobs"]] == ["succeeded", "queued"]
    assert later["jobs"][1]["links"]["batch"] == batch["links"]["self"]


def test_a_batch_is_taken_whole_or_not_at_all(
    client: httpx.Client, convert: Convert, photo: bytes, landscape: bytes
) -> None:
    """The problem says which photo it is about."""
    problem = convert(client, photo, landscape).json()
    assert (problem["code"], problem["photo"]) == ("no_face", 1)
    assert client.get("/jobs").json()["jobs"] == []


def test_the_same_order_with_the_same_key_is_one_job(api: "Api", client: httpx.Client, convert: Convert) -> None:
    """A client that lost the answer may ask again; what the second try stored is gone."""
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    first, second = convert(client, headers=headers), convert(client, headers=headers)
    assert second.json()["id"] == first.json()["id"]
    assert (second.status_code, second.headers["Idempotency-Replayed"]) == (202, "true")
    assert len(client.get("/jobs").json()["jobs"]) == 1
    tenant = api.services.store.get(first.json()["id"]).tenant
    folders = {blob.key.split("/")[2] for blob in api.services.blobs.list_blobs() if blob.key.startswith(tenant)}
    assert folders == {first.json()["id"]}


def test_another_order_with_the_same_key_is_refused(client: httpx.Client, convert: Convert) -> None:
    """A key that is used twice by mistake must not hide an order."""
    headers = {"Idempotency-Key": "once"}
    assert convert(client, headers=headers).status_code == 202
    answer = convert(client, headers=headers, degree="0.3")
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_conflict")


def test_a_key_belongs_to_its_tenant(api: "Api", client: httpx.Client, convert: Convert) -> None:
    """Two people may think of the same one."""
    headers = {"Idempotency-Key": "once"}
    other = api.client(api.new_key())
    assert convert(client, headers=headers).json()["id"] != convert(other, headers=headers).json()["id"]


def test_too_many_unfinished_jobs_are_a_quota(client: httpx.Client, convert: Convert, photo: bytes) -> None:
    """429 with advice when to come back, and no blobs stay behind."""
    assert convert(client, photo, photo, photo, photo).status_code == 202
    answer = convert(client)
    assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")
    assert int(answer.headers["Retry-After"]) >= 1


def test_a_full_queue_pushes_back(special_api: Callable[..., "Api"], convert: Convert) -> None:
    """503 with advice; when the queue is shorter, requests are accepted again."""
    api = special_api(max_queued_jobs=1)
    client = api.client()
    job = convert(client).json()
    answer = convert(client)
    assert (answer.status_code, answer.json()["code"]) == (503, "queue_full")
    assert int(answer.headers["Retry-After"]) == answer.json()["retry_after"] >= 1
    assert convert(client, headers={"Idempotency-Key": "k"}).json()["code"] == "queue_full"
    api.worker.claim(job["id"])
    assert convert(client).status_code == 202


def test_an_accepted_job_survives_a_lost_wake_up_message(
    special_api: Callable[..., "Api"], convert: Convert, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is the truth: without the queue the order is taken all the same."""
    api = special_api()

    def silent(_: Any) -> None:
        raise StoreUnavailable("The queue is away.")

    monkeypatch.setattr(api.services.dispatcher, "wake", silent)
    job = convert(api.client()).json()
    assert api.services.store.get(job["id"]).state is JobState.QUEUED


def test_photos_are_fetched_where_the_operator_allows_it(
    special_api: Callable[..., "Api"], site: "Site", photo: bytes
) -> None:
    """JSON with `photo_url` instead of a form."""
    site.pages["/me.jpg"] = (200, {"Content-Type": "image/jpeg"}, photo)
    api = special_api(allow_photo_url=True, webhook_allow_loopback=True)
    answer = api.client().post("/convert", json={"photo_url": f"{site.url}/me.jpg", "degree": 0.25, "face": 0})
    assert (answer.status_code, answer.json()["options"]["degree"]) == (202, 0.25)


def test_photos_are_not_fetched_otherwise(client: httpx.Client) -> None:
    """Nor from where they must not be."""
    answer = client.post("/convert", json={"photo_url": "https://example.org/me.jpg"})
    assert (answer.status_code, answer.json()["code"]) == (422, "forbidden_address")


def test_a_picture_may_be_the_body_itself(client: httpx.Client, photo: bytes) -> None:
    """With the options in the query, as `curl --data-binary` sends it."""
    headers = {"Content-Type": "image/jpeg"}
    job = client.post("/convert?style=anime&degree=0.5", content=photo, headers=headers).raise_for_status().json()
    assert job["options"]["degree"] == 0.5
    assert len(client.post("/faces", content=photo, headers=headers).json()["faces"]) == 1


@pytest.mark.parametrize(
    ("query", "code"),
    [("degree=2", "invalid_request"), ("colour=red", "invalid_request"), ("seed=1&seed=2", "invalid_request")],
)
def test_options_in_the_query_are_checked(client: httpx.Client, photo: bytes, query: str, code: str) -> None:
    """Like those of a form."""
    answer = client.post(f"/convert?{query}", content=photo, headers={"Content-Type": "image/png"})
    assert answer.json()["code"] == code


def test_an_option_is_given_once(client: httpx.Client, photo: bytes) -> None:
    """In the query or in the form."""
    answer = client.post("/convert?degree=0.5", files={"photo": photo}, data={"degree": "0.6"})
    assert answer.json()["code"] == "invalid_request"
    assert client.post("/convert?degree=0.5", files={"photo": photo}).json()["options"]["degree"] == 0.5


@pytest.mark.parametrize(("body", "code"), [(b"", "empty_image"), (b"no picture", "unsupported_format")])
def test_a_body_that_is_no_picture_is_refused(client: httpx.Client, body: bytes, code: str) -> None:
    """By its content, whatever its type says."""
    assert client.post("/convert", content=body, headers={"Content-Type": "image/png"}).json()["code"] == code


def test_a_picture_as_the_body_may_not_be_larger_than_a_photo(special_api: Callable[..., "Api"]) -> None:
    """It is refused while it arrives."""
    client = special_api(max_upload_bytes=2000).client()
    answer = client.post("/convert", content=b"x" * 3000, headers={"Content-Type": "image/png"})
    assert (answer.status_code, answer.json()["code"]) == (413, "image_too_large")


def test_photos_are_hashed_beside_the_event_loop(
    client: httpx.Client, convert: Convert, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some tens of megabytes would delay everybody for as many milliseconds."""
    threads: list[str] = []

    def sha256(data: bytes = b"") -> Any:
        threads.append(threading.current_thread().name)
        return hashlib.sha256(data)

    monkeypatch.setattr("nigaoe_api.uploads.hashlib", SimpleNamespace(sha256=sha256))
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    assert convert(client, headers=headers).status_code == 202
    assert len(threads) == 1
    assert "uvicorn" not in threads[0]  # Where the event loop runs.
