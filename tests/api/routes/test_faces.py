"""Finding faces over HTTP, so that a client can let its user choose."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from conftest import Api


NOBODY = {"width": 320, "height": 240, "faces": [], "photo_token": None, "photo_expires_at": None}


def find(client: httpx.Client, photo: bytes) -> httpx.Response:
    return client.post("/faces", files={"photo": ("photo.jpg", photo)})


def test_faces_come_largest_first(client: httpx.Client, group_photo: bytes) -> None:
    """With boxes inside the picture, five landmarks, and a token each."""
    answer = find(client, group_photo).json()
    assert len(answer["faces"]) == 2
    areas = []
    for index, face in enumerate(answer["faces"]):
        left, top, right, bottom = face["box"]
        assert face["index"] == index
        assert 0 <= left < right <= answer["width"]
        assert 0 <= top < bottom <= answer["height"]
        assert len(face["landmarks"]) == 5
        areas.append((right - left) * (bottom - top))
    assert areas[0] > areas[1]
    assert len({face["token"] for face in answer["faces"]}) == 2


def test_a_token_chooses_its_face(
    client: httpx.Client, group_photo: bytes, photo: bytes, convert: Callable[..., httpx.Response]
) -> None:
    """In the same photo, and in no other."""
    second = find(client, group_photo).json()["faces"][1]
    assert convert(client, group_photo, face=second["token"]).json()["face_index"] == 1
    assert convert(client, photo, face=second["token"]).json()["code"] == "invalid_face_token"


def test_nobody_is_an_answer_too(client: httpx.Client, landscape: bytes) -> None:
    """An empty list, not an error: the client asked what there is."""
    answer = find(client, landscape)
    assert (answer.status_code, answer.json()) == (200, NOBODY)


def test_looking_costs_as_much_as_ordering(special_api: Callable[..., "Api"], landscape: bytes) -> None:
    """Photos are counted wherever they arrive."""
    client = special_api(convert_rate_limit="1/hour").client()
    assert find(client, landscape).status_code == 200
    answer = find(client, landscape)
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    assert int(answer.headers["Retry-After"]) > 60


def test_one_photo_at_a_time(client: httpx.Client, landscape: bytes) -> None:
    """Two would make their faces' numbers ambiguous."""
    files = [("photo", ("a.jpg", landscape)), ("photo", ("b.jpg", landscape))]
    assert client.post("/faces", files=files).json()["code"] == "invalid_request"


def test_a_crowd_is_asked_to_come_back(
    special_api: Callable[..., "Api"], landscape: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting photos are in memory, so there may be only so many."""
    monkeypatch.setattr("nigaoe_api.face_finder.MAX_WAITING", 0)
    answer = find(special_api().client(), landscape)
    assert (answer.status_code, answer.json()["code"]) == (503, "queue_full")
    assert answer.headers["Retry-After"] == "10"
