"""A link that shows a drawing and nothing more."""

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

from nigaoe_api.api_keys import ApiKey, read_keys
from nigaoe_core.jobs import Job, JobOptions, new_job

if TYPE_CHECKING:
    from conftest import Api


@pytest.fixture
def drawing(api: "Api", client: httpx.Client) -> Job:
    """A finished drawing of the client's tenant."""
    assert client.get("/jobs").json()["jobs"] == []
    tenant = next(key.tenant for key in reversed(_keys(api)))
    job = api.services.store.submit([new_job(JobOptions(degree=0.5), tenant=tenant)]).jobs[0]
    return api.worker.do(job.id)


def _keys(api: "Api") -> list[ApiKey]:
    assert api.keys_file is not None
    return list(read_keys(api.keys_file).keys)


def signature_in(url: str) -> str:
    """What the page reads from its address."""
    return urlsplit(url).fragment.partition(".")[2]


def test_whoever_has_the_link_sees_the_drawing(api: "Api", client: httpx.Client, drawing: Job) -> None:
    """Without a key: how it was drawn, and the picture in both formats."""
    shared = client.post(f"/jobs/{drawing.id}/share").raise_for_status().json()
    assert urlsplit(shared["url"]).fragment.startswith(f"{drawing.id}.")
    friend = api.client(follow_redirects=True)
    view = friend.get(f"/shared/{drawing.id}", params={"signature": signature_in(shared["url"])}).json()
    assert view["options"] == {"style": "anime", "degree": 0.5, "truncation": 0.7, "colours": 1.0}
    assert friend.get(view["links"]["result_png"]).headers["Content-Type"] == "image/png"
    assert friend.get(view["links"]["result_webp"]).headers["Content-Type"] == "image/webp"
    assert "attachment" in friend.get(view["links"]["result_png"] + "&download=true").headers["Content-Disposition"]


def test_the_link_gives_nothing_else(api: "Api", client: httpx.Client, drawing: Job) -> None:
    """No photo, no latent, no other look, and above all no deletion."""
    signature = signature_in(client.post(f"/jobs/{drawing.id}/share").json()["url"])
    friend, params = api.client(), {"signature": signature}
    assert set(friend.get(f"/shared/{drawing.id}", params=params).json()["links"]) == {
        "self",
        "result",
        "result_png",
        "result_webp",
    }
    assert friend.delete(f"/shared/{drawing.id}", params=params).status_code == 405
    for path in ("compare", "latent", "events", "animation"):
        assert friend.get(f"/shared/{drawing.id}/{path}", params=params).status_code == 404
    assert friend.delete(f"/jobs/{drawing.id}", params=params).status_code == 401


@pytest.mark.parametrize("change", [lambda text: text[:-1], lambda text: "A" * len(text), lambda text: text + "ÿ"])
def test_a_changed_link_shows_nothing(
    api: "Api", client: httpx.Client, drawing: Job, change: Callable[[str], str]
) -> None:
    """The signature belongs to one drawing."""
    signature = signature_in(client.post(f"/jobs/{drawing.id}/share").json()["url"])
    answer = api.client().get(f"/shared/{drawing.id}", params={"signature": change(signature)})
    assert (answer.status_code, answer.json()["code"]) == (403, "invalid_link")


def test_a_shared_drawing_ends_with_its_job(api: "Api", client: httpx.Client, drawing: Job) -> None:
    """The owner's deletion is the end of all links."""
    url = client.post(f"/jobs/{drawing.id}/share").json()["url"]
    assert client.post(f"/jobs/{drawing.id}/share").json()["url"] == url
    client.delete(f"/jobs/{drawing.id}").raise_for_status()
    answer = api.client().get(f"/shared/{drawing.id}", params={"signature": signature_in(url)})
    assert answer.json()["code"] == "unknown_job"


def test_only_the_owner_shares_and_only_what_is_finished(api: "Api", client: httpx.Client, drawing: Job) -> None:
    """404 for others, 409 before the end."""
    assert api.client(api.new_key()).post(f"/jobs/{drawing.id}/share").json()["code"] == "unknown_job"
    waiting = api.services.store.submit([new_job(JobOptions(), tenant=drawing.tenant)]).jobs[0]
    assert client.post(f"/jobs/{waiting.id}/share").json()["code"] == "no_result"
