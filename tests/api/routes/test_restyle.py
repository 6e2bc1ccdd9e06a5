"""Another look of a face that was found before."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from nigaoe_core.jobs import ANONYMOUS, Failure, Job, JobKind, JobOptions, Outcome, new_job
from nigaoe_core.store.blob_store import LATENT

if TYPE_CHECKING:
    from conftest import Api


@pytest.fixture
def open_api(special_api: Callable[..., "Api"]) -> "Api":
    """A service without keys."""
    return special_api()


def converted(api: "Api", **options: Any) -> Job:
    """A finished conversion."""
    job = api.services.store.submit([new_job(JobOptions(**options), tenant=ANONYMOUS)]).jobs[0]
    return api.worker.do(job.id)


def test_a_restyle_is_an_urgent_job_of_its_own(open_api: "Api") -> None:
    """It keeps what is not changed, uses the parent's latent, and overtakes conversions."""
    parent = converted(open_api, seed=5, degree=0.8, priority=2, webhook_url="https://example.org/")
    answer = open_api.client().post(f"/jobs/{parent.id}/restyle", json={"truncation": 0.6, "colours": 0.5})
    view = answer.json()
    assert (answer.status_code, view["kind"], view["parent_id"]) == (202, "restyle", parent.id)
    assert answer.headers["Location"] == view["links"]["self"]
    job = open_api.services.store.get(view["id"])
    assert job.kind is JobKind.RESTYLE
    assert (job.options.seed, job.options.degree) == (5, 0.8)
    assert (job.options.truncation, job.options.colours) == (0.6, 0.5)
    assert (job.options.priority, job.options.webhook_url) == (9, None)
    assert job.blobs[LATENT] == parent.blobs[LATENT]


@pytest.mark.parametrize(
    ("found_at", "asked", "drawn_at"),
    [(0.8, {}, 0.7), (0.5, {}, 0.5), (0.8, {"truncation": 0.9}, 0.9)],
    ids=["the style's own stays with it", "a chosen one goes along", "a named one wins"],
)
def test_another_style_brings_its_own_truncation(
    open_api: "Api", found_at: float, asked: dict[str, float], drawn_at: float
) -> None:
    """What suits one style may break another; what somebody chose is kept."""
    parent = converted(open_api, style="illustration", truncation=found_at)
    answer = open_api.client().post(f"/jobs/{parent.id}/restyle", json={"style": "anime"} | asked)
    assert answer.json()["options"]["truncation"] == drawn_at


def test_waiting_gets_the_picture_in_one_call(open_api: "Api") -> None:
    """`Prefer: wait` answers 200 with links."""
    parent, client = converted(open_api), open_api.client()
    with ThreadPoolExecutor() as pool:
        pending = pool.submit(
            client.post, f"/jobs/{parent.id}/restyle", json={"degree": 0.1}, headers={"Prefer": "wait=60"}
        )
        open_api.worker.do(open_api.wake_ups.get(60).job_id)
        answer = pending.result()
    assert (answer.status_code, answer.json()["links"]["result"] is not None) == (200, True)


def test_a_restyle_of_a_restyle_has_the_same_root(open_api: "Api") -> None:
    """The latent stays where it was found."""
    parent, client = converted(open_api), open_api.client()
    child = client.post(f"/jobs/{parent.id}/restyle", json={"degree": 0.5}).json()
    claim = open_api.worker.claim(child["id"])
    open_api.services.store.succeed(claim, Outcome(blobs={}))
    grandchild = client.post(f"/jobs/{child['id']}/restyle", json={"degree": 0.2}).json()
    assert grandchild["parent_id"] == parent.id


def test_only_a_finished_job_can_be_restyled(open_api: "Api") -> None:
    """409 before, 404 when its latent is gone."""
    client = open_api.client()
    job = open_api.services.store.submit([new_job(JobOptions(), tenant=ANONYMOUS)]).jobs[0]
    assert client.post(f"/jobs/{job.id}/restyle", json={}).json()["code"] == "no_result"
    done = open_api.worker.do(job.id)
    open_api.services.blobs.delete(done.blobs[LATENT])
    assert client.post(f"/jobs/{job.id}/restyle", json={}).json()["code"] == "no_such_result"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"style": "nonsense"}', "unknown_style"),
        (b'{"degree": 2}', "invalid_request"),
        (b'{"colour": "red"}', "invalid_request"),
        (b'{"degree": ', "malformed_request"),
        (b"[]", "invalid_request"),
    ],
)
def test_wrong_changes_are_named(open_api: "Api", body: bytes, code: str) -> None:
    """With a code each."""
    parent = converted(open_api)
    headers = {"Content-Type": "application/json"}
    answer = open_api.client().post(f"/jobs/{parent.id}/restyle", content=body, headers=headers)
    assert (answer.status_code // 100, answer.json()["code"]) == (4, code)


def test_a_style_of_another_generator_is_refused(
    special_api: Callable[..., "Api"], weights: Path, tmp_path: Path
) -> None:
    """Its latents mean something else."""
    registry = tmp_path / "registry"
    registry.mkdir()
    for name in ("g_ori", "anime"):
        shutil.copy(weights / f"{name}.safetensors", registry / f"other_{name}.safetensors")
    (registry / "manifest.toml").write_text(
        'format_version = 1\n[generators.other]\nfile = "other_g_ori.safetensors"\n'
        '[styles.other-anime]\nfile = "other_anime.safetensors"\nparent = "other"\n'
    )
    api = special_api(registry_dir=registry)
    parent = converted(api)
    answer = api.client().post(f"/jobs/{parent.id}/restyle", json={"style": "other-anime"})
    assert (answer.status_code, answer.json()["code"]) == (409, "parent_mismatch")


def test_a_key_makes_a_restyle_repeatable(open_api: "Api") -> None:
    """The same key and change is the same job."""
    parent, client = converted(open_api), open_api.client()

    def restyle(degree: float) -> httpx.Response:
        return client.post(
            f"/jobs/{parent.id}/restyle", json={"degree": degree}, headers={"Idempotency-Key": "slider-1"}
        )

    first = restyle(0.3)
    assert restyle(0.3).json()["id"] == first.json()["id"]
    assert restyle(0.4).json()["code"] == "idempotency_conflict"


def test_deleting_a_face_deletes_its_looks(open_api: "Api") -> None:
    """One call erases the conversion and every restyle of it, pictures and records, whichever look they came from."""
    parent, client = converted(open_api), open_api.client()
    looks: list[str] = []
    for origin in (parent.id, "last"):
        answer = client.post(
            f"/jobs/{looks[-1] if origin == 'last' else origin}/restyle", json={"degree": 0.5 - len(looks) / 10}
        )
        looks.append(answer.json()["id"])
        claim = open_api.worker.claim(looks[-1])
        open_api.services.store.succeed(claim, Outcome(blobs={LATENT: parent.blobs[LATENT]}))
    assert client.delete(f"/jobs/{parent.id}").status_code == 204
    assert [client.get(f"/jobs/{job_id}").status_code for job_id in (parent.id, *looks)] == [404] * 3
    assert client.get("/jobs").json()["jobs"] == []
    assert list(open_api.services.blobs.list_blobs()) == []


def test_the_same_look_is_the_same_drawing(open_api: "Api") -> None:
    """Whether it waits or is done, however it is asked for, with or without a key; and it is in the list of jobs."""
    parent, client = converted(open_api), open_api.client()

    def restyle(job_id: str, headers: dict[str, str] | None = None, **changes: Any) -> dict[str, Any]:
        return client.post(f"/jobs/{job_id}/restyle", json=changes, headers=headers).raise_for_status().json()

    first = restyle(parent.id, degree=0.3)
    assert restyle(parent.id, degree=0.3, style="anime", priority=3)["id"] == first["id"]
    open_api.services.store.succeed(open_api.worker.claim(first["id"]), Outcome(blobs={}))
    assert restyle(parent.id, degree=0.3)["state"] == "succeeded"
    assert restyle(first["id"], degree=0.3)["id"] == first["id"]
    assert restyle(parent.id, {"Idempotency-Key": "slider"}, degree=0.3)["id"] == first["id"]
    assert restyle(parent.id, degree=0.4)["id"] != first["id"]
    assert restyle(parent.id, degree=0.3, webhook_url="https://example.org/")["id"] != first["id"]
    listed = client.get("/jobs").json()["jobs"]
    assert first["id"] in {job["id"] for job in listed}
    assert len(listed) == 4


def test_the_look_of_the_original_is_the_original(open_api: "Api") -> None:
    """Also asked of another look; not where the method chose the look by itself."""
    parent, client = converted(open_api, degree=0.8), open_api.client()
    child = client.post(f"/jobs/{parent.id}/restyle", json={"degree": 0.5}).json()
    open_api.services.store.succeed(open_api.worker.claim(child["id"]), Outcome(blobs={}))
    for job_id in (parent.id, child["id"]):
        assert client.post(f"/jobs/{job_id}/restyle", json={"degree": 0.8}).json()["id"] == parent.id
    best = converted(open_api, method="best")
    assert client.post(f"/jobs/{best.id}/restyle", json={}).json()["kind"] == "restyle"


def test_a_look_that_failed_is_drawn_again(open_api: "Api") -> None:
    """A failure is no drawing."""
    parent, client = converted(open_api), open_api.client()
    first = client.post(f"/jobs/{parent.id}/restyle", json={"degree": 0.5}).json()
    open_api.services.store.fail(open_api.worker.claim(first["id"]), Failure(code="internal", message="It broke."))
    assert client.post(f"/jobs/{parent.id}/restyle", json={"degree": 0.5}).json()["id"] != first["id"]


def test_the_same_look_ordered_many_times_at_once_is_drawn_once(open_api: "Api") -> None:
    """Ten orders, one job, one message."""
    parent, client = converted(open_api), open_api.client()
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: client.post(f"/jobs/{parent.id}/restyle", json={"degree": 0.5}), range(10)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("Idempotency-Replayed" in answer.headers for answer in answers) == 9
    assert open_api.services.store.queue().queued == 1
