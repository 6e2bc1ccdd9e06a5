"""Pictures in a bucket: the API sends clients there and carries nothing itself."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from s3_server import S3Server

from nigaoe_core.jobs import ANONYMOUS, Job, JobOptions, Outcome, new_job
from nigaoe_faces.encoding import encode_png

if TYPE_CHECKING:
    from conftest import Api


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server, as the compose file runs it: an admin's first upload makes the bucket."""
    made = S3Server(tmp_path_factory.mktemp("s3"), makes_buckets=True)
    yield made.start()
    made.stop()


@pytest.fixture
def s3_api(special_api: Callable[..., "Api"], server: S3Server, eventually: Callable[..., Any]) -> "Api":
    """A service whose pictures are in the bucket."""
    api = special_api(blob_store="s3://nigaoe/stories", **server.credentials)
    eventually(lambda: api.client().get("/readyz").json()["checks"]["blob_store"] == "ok", 120)
    return api


def finished(api: "Api") -> Job:
    job = api.services.store.submit([new_job(JobOptions(), tenant=ANONYMOUS)]).jobs[0]
    return api.worker.do(job.id)


@pytest.mark.slow
def test_a_result_is_a_presigned_address_in_the_bucket(s3_api: "Api") -> None:
    """Absolute, short-lived, and good without any key of ours."""
    job = finished(s3_api)
    answer = s3_api.client().get(f"/jobs/{job.id}/result.png", params={"download": "true"})
    location = answer.headers["Location"]
    assert (answer.status_code, urlsplit(location).netloc) == (
        307,
        urlsplit(s3_api.settings.s3_endpoint_url or "").netloc,
    )
    picture = httpx.get(location)
    assert picture.content == s3_api.services.blobs.get(job.blobs["result.png"])
    assert picture.headers["Content-Type"] == "image/png"
    assert f"nigaoe-{job.id[:8]}-result.png" in picture.headers["Content-Disposition"]
    assert httpx.get(location.replace("result.png", "latent.safetensors", 1)).status_code == 403
    assert httpx.get(location.partition("?")[0]).status_code == 403


@pytest.mark.slow
def test_a_picture_on_request_ends_up_in_the_bucket(s3_api: "Api") -> None:
    """Made from what lies there, kept there, and given out from there."""
    job = s3_api.services.store.submit([new_job(JobOptions(), tenant=ANONYMOUS)]).jobs[0]
    claim, key = s3_api.worker.claim(job.id), f"{job.folder}/1-result.webp"
    s3_api.services.blobs.put(f"{job.folder}/1-result.png", encode_png(np.zeros((64, 64, 3), np.uint8)))
    keys = {"result.png": f"{job.folder}/1-result.png", "result.webp": key}
    s3_api.services.store.succeed(claim, Outcome(blobs=keys))
    assert not s3_api.services.blobs.exists(key)
    picture = httpx.get(s3_api.client().get(f"/jobs/{job.id}/result.webp").headers["Location"])
    assert picture.headers["Content-Type"] == "image/webp"
    assert picture.content == s3_api.services.blobs.get(key)


@pytest.mark.slow
def test_an_upload_ends_up_in_the_bucket_and_a_deletion_empties_it(
    s3_api: "Api", convert: Callable[..., httpx.Response]
) -> None:
    """Crop in, everything out."""
    client = s3_api.client()
    job = convert(client).json()
    folder = s3_api.services.store.get(job["id"]).folder
    assert [blob.key for blob in s3_api.services.blobs.list_blobs() if blob.key.startswith(folder)] == [
        f"{folder}/crop.png"
    ]
    assert client.delete(f"/jobs/{job['id']}").status_code == 204
    assert not [blob for blob in s3_api.services.blobs.list_blobs() if blob.key.startswith(folder)]


@pytest.mark.slow
def test_the_page_may_show_pictures_of_the_bucket(s3_api: "Api") -> None:
    """Its policy names the bucket's address."""
    policy = s3_api.client().get("/").headers["Content-Security-Policy"]
    assert f"img-src 'self' blob: data: {s3_api.settings.s3_endpoint_url};" in policy


@pytest.mark.slow
@pytest.mark.faults
def test_a_bucket_that_vanishes_is_told_and_comes_back(
    s3_api: "Api", server: S3Server, convert: Callable[..., httpx.Response], eventually: Callable[..., Any]
) -> None:
    """503 with advice, no half of a job; reading records goes on; with the server the service is back by itself."""
    client = s3_api.client()
    job = convert(client).json()
    server.stop()
    refused = convert(client)
    assert (refused.status_code, refused.json()["code"]) == (503, "blobs_unavailable")
    assert int(refused.headers["Retry-After"]) >= 1
    assert client.get(f"/jobs/{job['id']}").json()["state"] == "queued"
    assert len(client.get("/jobs").json()["jobs"]) == len(s3_api.services.store.list_jobs(ANONYMOUS).jobs) == 1
    eventually(lambda: client.get("/readyz").json()["checks"]["blob_store"] != "ok", 120)
    server.start()
    eventually(lambda: client.get("/readyz").json()["checks"]["blob_store"] == "ok", 120)
    assert convert(client).status_code == 202
    s3_api.worker.do(job["id"])
    assert client.get(f"/jobs/{job['id']}/result.png", follow_redirects=True).status_code == 200
