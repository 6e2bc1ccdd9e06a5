"""Following jobs over HTTP: state, place in the queue, time left, waiting, pages, deleting."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from nigaoe_api.conversions import in_batch
from nigaoe_core.errors import LeaseLost
from nigaoe_core.jobs import Failure, JobOptions, new_job

if TYPE_CHECKING:
    from conftest import Api

Order = Callable[..., str]


@pytest.fixture
def tenant(api: "Api", client: httpx.Client) -> str:
    """Whose jobs the client sees."""
    key = api.facilities.keys.find(client.headers["Authorization"].removeprefix("Bearer "))
    assert key is not None
    return str(key.tenant)


@pytest.fixture
def order(api: "Api", tenant: str) -> Order:
    """Order a job without the trouble of a photo."""

    def submit(**options: Any) -> str:
        return api.services.store.submit([new_job(JobOptions(**options), tenant=tenant)]).jobs[0].id

    return submit


def test_a_job_tells_its_story(api: "Api", client: httpx.Client, order: Order) -> None:
    """From the queue over progress to the result, with an honest estimate from measured rates."""
    job_id = order(priority=9)
    waiting = client.get(f"/jobs/{job_id}").json()
    assert waiting["queue_position"] is not None
    assert waiting["seconds_left"] > 0
    claim = api.worker.claim(job_id)
    api.worker.step(claim, 40)
    running = client.get(f"/jobs/{job_id}").json()
    assert (running["state"], running["queue_position"]) == ("running", None)
    assert (running["progress"]["fraction"], running["seconds_left"]) == (0.4, 6.0)
    api.worker.finish(claim)
    ended = client.get(f"/jobs/{job_id}").json()
    assert (ended["state"], ended["seconds_left"], ended["timings"]) == ("succeeded", 0.0, {"invert": 1.5})
    assert ended["created_at"] < ended["started_at"] < ended["ended_at"] < ended["expires_at"]


def test_a_failure_says_why(api: "Api", client: httpx.Client, order: Order) -> None:
    """A stable code, a title, a sentence; and no links to results."""
    job_id = order()
    claim = api.worker.claim(job_id)
    api.services.store.fail(claim, Failure(code="numerical_failure", message="The numbers ran away."))
    job = client.get(f"/jobs/{job_id}").json()
    assert job["error"] == {
        "code": "numerical_failure",
        "title": "The optimisation became numerically unstable",
        "message": "The numbers ran away.",
    }
    assert job["links"]["result"] is None


def test_nothing_new_is_304(client: httpx.Client, order: Order, api: "Api") -> None:
    """The tag changes with the job."""
    job_id = order()
    tag = client.get(f"/jobs/{job_id}").headers["ETag"]
    unchanged = client.get(f"/jobs/{job_id}", headers={"If-None-Match": tag})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    api.worker.claim(job_id)
    changed = client.get(f"/jobs/{job_id}", headers={"If-None-Match": tag})
    assert (changed.status_code, changed.headers["ETag"] == tag) == (200, False)


def test_long_polling_hears_of_the_next_change(api: "Api", client: httpx.Client, order: Order) -> None:
    """`wait` with a tag returns as soon as there is news, and 304 when there is none."""
    job_id = order()
    claim = api.worker.claim(job_id)
    tag = client.get(f"/jobs/{job_id}").headers["ETag"]
    in_vain = client.get(f"/jobs/{job_id}", params={"wait": 0.1}, headers={"If-None-Match": tag})
    assert in_vain.status_code == 304
    with ThreadPoolExecutor() as pool:
        pending = pool.submit(client.get, f"/jobs/{job_id}", params={"wait": 60}, headers={"If-None-Match": tag})
        api.worker.step(claim, 7)
        assert pending.result().json()["progress"]["step"] == 7


def test_waiting_without_a_tag_waits_for_the_end(api: "Api", client: httpx.Client, order: Order) -> None:
    """Progress does not end the wait."""
    job_id = order()
    claim = api.worker.claim(job_id)
    with ThreadPoolExecutor() as pool:
        pending = pool.submit(client.get, f"/jobs/{job_id}", params={"wait": 60})
        api.worker.step(claim, 7)
        api.worker.finish(claim)
        assert pending.result().json()["state"] == "succeeded"


def test_a_other_sees_nothing(api: "Api", client: httpx.Client, order: Order) -> None:
    """Another tenant's job does not exist, whatever one does with it."""
    job_id = order()
    other = api.client(api.new_key())
    for path in ("", "/events", "/result", "/result.png", "/latent"):
        answer = other.get(f"/jobs/{job_id}{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_job")
    assert other.post(f"/jobs/{job_id}/restyle", json={}).status_code == 404
    assert other.delete(f"/jobs/{job_id}").status_code == 204
    assert other.get("/jobs").json()["jobs"] == []
    assert client.get(f"/jobs/{job_id}").status_code == 200


@pytest.mark.parametrize("job_id", ["nonsense", "..%2F..%2Fetc", "%00", "a4aa5042-92f3-4287-ae7b-a03590fae809"])
def test_what_is_no_job_is_404(client: httpx.Client, job_id: str) -> None:
    """Malformed or unknown, the answer is the same."""
    answer = client.get(f"/jobs/{job_id}")
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")


def test_jobs_come_in_pages(client: httpx.Client, order: Order) -> None:
    """Newest first; a job that is made meanwhile shifts nothing."""
    made = [order() for _ in range(5)]
    first = client.get("/jobs", params={"limit": 2}).json()
    order()
    second = client.get(first["links"]["next"]).json()
    third = client.get("/jobs", params={"limit": 2, "cursor": second["next_cursor"]}).json()
    seen = [job["id"] for page in (first, second, third) for job in page["jobs"]]
    assert seen == made[::-1]
    assert (third["next_cursor"], third["links"]["next"]) == (None, None)


def test_a_foreign_cursor_is_refused(client: httpx.Client) -> None:
    """With a code, not with a crash."""
    answer = client.get("/jobs", params={"cursor": "'; DROP TABLE jobs"})
    assert (answer.status_code, answer.json()["code"]) == (400, "usage")


def test_deleting_erases_everything_and_may_be_repeated(api: "Api", client: httpx.Client, order: Order) -> None:
    """Record and pictures are gone at once."""
    job_id = order()
    folder = api.worker.do(job_id).folder
    assert [client.delete(f"/jobs/{job_id}").status_code for _ in range(2)] == [204, 204]
    assert client.get(f"/jobs/{job_id}").status_code == 404
    assert not any(blob.key.startswith(folder) for blob in api.services.blobs.list_blobs())


def test_deleting_a_running_job_stops_its_worker(api: "Api", client: httpx.Client, order: Order) -> None:
    """Its next sign of life tells it that the job is gone."""
    job_id = order()
    claim = api.worker.claim(job_id)
    client.delete(f"/jobs/{job_id}")
    with pytest.raises(LeaseLost):
        api.worker.step(claim, 1)


def test_a_batch_shows_its_jobs_and_forgets_deleted_ones(api: "Api", client: httpx.Client, tenant: str) -> None:
    """The batch is gone when its last job is."""
    jobs = api.services.store.submit(in_batch([new_job(JobOptions(), tenant=tenant) for _ in range(3)])).jobs
    path = f"/batches/{jobs[0].batch_id}"
    assert [job["id"] for job in client.get(path).json()["jobs"]] == [job.id for job in jobs]
    client.delete(f"/jobs/{jobs[1].id}")
    assert [job["id"] for job in client.get(path).json()["jobs"]] == [jobs[0].id, jobs[2].id]
    assert api.client(api.new_key()).get(path).status_code == 404
    for job in jobs:
        client.delete(f"/jobs/{job.id}")
    assert client.get(path).status_code == 404


def test_a_batch_is_deleted_at_once(api: "Api", client: httpx.Client, tenant: str) -> None:
    """All of its jobs, with everything about them; by its owner only, and as often as one likes."""
    jobs = api.services.store.submit(in_batch([new_job(JobOptions(), tenant=tenant) for _ in range(3)])).jobs
    folders = {api.worker.do(job.id).folder for job in jobs[:2]}
    path = f"/batches/{jobs[0].batch_id}"
    assert api.client(api.new_key()).delete(path).status_code == 204
    assert len(client.get(path).json()["jobs"]) == 3
    assert [client.delete(path).status_code for _ in range(2)] == [204, 204]
    assert client.get(path).status_code == 404
    assert client.get("/jobs").json()["jobs"] == []
    assert not any(blob.key.rpartition("/")[0] in folders for blob in api.services.blobs.list_blobs())
    assert client.delete("/batches/nonsense").json()["code"] == "unknown_job"


def test_a_record_that_cannot_be_read_hurts_only_itself(api: "Api", client: httpx.Client, tenant: str) -> None:
    """Lists, batches and health go on; it says what is wrong, is counted for the operator, and can be deleted."""
    store = api.services.store
    jobs = store.submit(in_batch([new_job(JobOptions(), tenant=tenant) for _ in range(3)])).jobs
    link, broken = store.link, jobs[1]
    api.services.blobs.put(f"{broken.folder}/crop.png", b"face")
    link.call(lambda valkey: valkey.hset(link.key("job", broken.id), "record", '{"format": 2}'))
    others = [jobs[0].id, jobs[2].id]
    assert {job["id"] for job in client.get("/jobs").json()["jobs"]} == set(others)
    assert [job["id"] for job in client.get(f"/batches/{broken.batch_id}").json()["jobs"]] == others
    answer = client.get(f"/jobs/{broken.id}")
    assert (answer.status_code, answer.json()["code"]) == (500, "unreadable_job")
    assert api.client(api.new_key()).get(f"/jobs/{broken.id}").status_code == 404
    assert "nigaoe_jobs_quarantined 1.0" in api.client().get("/metrics").text
    assert client.delete(f"/jobs/{broken.id}").status_code == 204
    assert client.get(f"/jobs/{broken.id}").status_code == 404
    assert not any(blob.key.startswith(broken.folder) for blob in api.services.blobs.list_blobs())
    assert store.queue().quarantined == 0
