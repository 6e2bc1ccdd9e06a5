"""Pictures in a bucket: the API sends clients there and carries nothing itself."""

import contextlib
import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest

from core.jobs import ANONYMOUS, Job, JobOptions, new_job

if TYPE_CHECKING:
    from conftest import Api

ACCESS_KEY, SECRET_KEY = "nigaoe-test", "nigaoe-test-secret"


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory, eventually: Callable[..., Any]) -> Iterator[dict[str, str]]:
    """Settings that lead to a real S3 server."""
    folder = tmp_path_factory.mktemp("s3")
    credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
    identity = {"name": "n", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    ports = dict(zip(("master", "volume", "filer", "s3", "gm", "gv", "gf", "gs"), free_ports(8), strict=True))
    command = [
        str(Path(sys.executable).with_name("weed")), "server", f"-dir={folder}", "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1", "-s3", f"-s3.config={folder / 's3.json'}", "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64", "-volume.max=100", f"-master.port={ports['master']}",
        f"-master.port.grpc={ports['gm']}", f"-volume.port={ports['volume']}", f"-volume.port.grpc={ports['gv']}",
        f"-filer.port={ports['filer']}", f"-filer.port.grpc={ports['gf']}", f"-s3.port={ports['s3']}",
        f"-s3.port.grpc={ports['gs']}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false",
    ]  # fmt: skip
    url = f"http://127.0.0.1:{ports['s3']}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        eventually(lambda: answers(f"{url}/healthz"), 120)
        yield {
            "blob_store": "s3://nigaoe/stories",
            "s3_endpoint_url": url,
            "s3_access_key_id": ACCESS_KEY,
            "s3_secret_access_key": SECRET_KEY,
        }
    finally:
        process.kill()
        process.wait()


def free_ports(count: int) -> list[int]:
    """Ports that are free at this moment."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError as error:
        error.close()
    except OSError:
        return False
    return True


@pytest.fixture
def s3_api(special_api: Callable[..., "Api"], bucket: dict[str, str], eventually: Callable[..., Any]) -> "Api":
    """A service whose pictures are in the bucket."""
    api = special_api(**bucket)
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
