"""A photo travels once: what `/faces` received is what `/convert` uses."""

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from nigaoe_api.kept_photos import KeptPhotos
from nigaoe_core.store.blob_store import PHOTO

if TYPE_CHECKING:
    from conftest import Api

Convert = Callable[..., httpx.Response]


@pytest.fixture
def open_api(special_api: Callable[..., "Api"]) -> "Api":
    """A service without keys."""
    return special_api()


def keep(client: httpx.Client, photo: bytes) -> dict[str, Any]:
    """Find the faces of a photo and have it kept."""
    answer = client.post("/faces", files={"photo": photo}, data={"keep": "true"}).raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def photos_in(api: "Api") -> list[str]:
    """All photos that lie anywhere."""
    return [blob.key for blob in api.services.blobs.list_blobs() if blob.key.endswith(f"/{PHOTO}")]


def test_a_kept_photo_is_converted_without_being_sent_again(open_api: "Api", group_photo: bytes) -> None:
    """The chosen face of it; then it is gone."""
    client = open_api.client()
    found = keep(client, group_photo)
    assert len(photos_in(open_api)) == 1
    order = {"photo_token": found["photo_token"], "face": found["faces"][1]["token"], "degree": 0.5}
    job = client.post("/convert", json=order).raise_for_status().json()
    assert (job["face_index"], job["options"]["degree"]) == (1, 0.5)
    assert photos_in(open_api) == []
    gone = client.post("/convert", json=order)
    assert (gone.status_code, gone.json()["code"]) == (410, "photo_gone")


def test_a_photo_to_paste_back_into_stays_with_its_job(open_api: "Api", photo: bytes) -> None:
    """The job has a copy of its own, which ends with it."""
    client = open_api.client()
    order = {"photo_token": keep(client, photo)["photo_token"], "paste_back": True}
    job = client.post("/convert", json=order).raise_for_status().json()
    assert photos_in(open_api) == [f"{open_api.services.store.get(job['id']).folder}/{PHOTO}"]
    client.delete(f"/jobs/{job['id']}").raise_for_status()
    assert photos_in(open_api) == []


def test_nothing_is_kept_unasked(open_api: "Api", photo: bytes, landscape: bytes) -> None:
    """Nor a photo without a face, nor where the operator wants none kept."""
    client = open_api.client()
    answer = client.post("/faces", files={"photo": photo}).json()
    assert (answer["photo_token"], answer["photo_expires_at"]) == (None, None)
    assert keep(client, landscape)["photo_token"] is None
    assert photos_in(open_api) == []


def test_an_operator_may_forbid_keeping(special_api: Callable[..., "Api"], photo: bytes) -> None:
    """Then clients send the photo with the order."""
    api = special_api(keep_photo_seconds=0)
    assert keep(api.client(), photo)["photo_token"] is None
    assert photos_in(api) == []


def test_another_tenants_token_is_worth_nothing(api: "Api", client: httpx.Client, photo: bytes) -> None:
    """Who overhears it has no photo, and no drawing of it."""
    token = keep(client, photo)["photo_token"]
    answer = api.client(api.new_key()).post("/convert", json={"photo_token": token})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_photo_token")
    assert client.post("/convert", json={"photo_token": token}).status_code == 202


@pytest.mark.parametrize("token", ["photo_", "photo_AAAA", "nonsense", "ÿ", "photo_" + "A" * 103])
def test_a_damaged_token_is_refused(client: httpx.Client, token: str) -> None:
    """With the way out."""
    answer = client.post("/convert", json={"photo_token": token})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_photo_token")


def test_photo_and_token_together_are_too_much(client: httpx.Client, photo: bytes, convert: Convert) -> None:
    """One photo is meant."""
    assert convert(client, photo, photo_token="photo_AAAA").json()["code"] == "invalid_request"


def test_an_unused_photo_is_erased_when_its_time_is_over(open_api: "Api", photo: bytes) -> None:
    """By the sweep that erases everything else, and its token says so before."""
    now = [open_api.services.store.now()]
    kept_photos = KeptPhotos(open_api.services, b"0123456789abcdef", clock=lambda: now[0])
    kept = kept_photos.keep("public", photo)
    token = kept_photos.token_of(kept)
    assert kept_photos.read(kept_photos.find("public", token)) == photo
    now[0] += 901
    with pytest.raises(Exception, match="no longer kept"):
        kept_photos.find("public", token)
    assert open_api.services.retention.erase_due() == 0
    open_api.services.store.schedule_erasure(kept.folder + "/", 0)
    assert open_api.services.retention.erase_due() == 1
    assert photos_in(open_api) == []


def test_the_same_order_with_the_file_is_the_same_order(client: httpx.Client, photo: bytes, convert: Convert) -> None:
    """Whose answer was lost sends the photo itself the second time, with the same Idempotency-Key."""
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    order = {"photo_token": keep(client, photo)["photo_token"], "degree": 0.5}
    first = client.post("/convert", json=order, headers=headers).json()
    assert client.post("/convert", json=order, headers=headers).json()["code"] == "photo_gone"
    again = convert(client, photo, degree=0.5, headers=headers)
    assert (again.json()["id"], again.headers["Idempotency-Replayed"]) == (first["id"], "true")
    assert convert(client, photo, degree=0.6, headers=headers).json()["code"] == "idempotency_conflict"


def test_a_photo_stays_while_an_order_is_refused(special_api: Callable[..., "Api"], photo: bytes) -> None:
    """The queue was full; the next try needs it."""
    api = special_api(max_active_jobs_per_key=1)
    client = api.client()
    first, second = keep(client, photo), keep(client, photo)
    job = client.post("/convert", json={"photo_token": first["photo_token"]}).raise_for_status().json()
    refused = client.post("/convert", json={"photo_token": second["photo_token"]})
    assert refused.json()["code"] == "quota_exceeded"
    client.delete(f"/jobs/{job['id']}").raise_for_status()
    assert client.post("/convert", json={"photo_token": second["photo_token"]}).status_code == 202


def test_one_caller_cannot_fill_the_disk_with_kept_photos(special_api: Callable[..., "Api"], photo: bytes) -> None:
    """What is too much travels twice."""
    client = special_api(keep_photo_count=3).client()
    tokens = [keep(client, photo)["photo_token"] for _ in range(4)]
    assert [token is not None for token in tokens] == [True] * 3 + [False]
