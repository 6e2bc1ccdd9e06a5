"""Opening what the settings name, and nothing that they do not."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from nigaoe_core.errors import InvalidSettings, StoreUnavailable
from nigaoe_core.jobs import JobOptions, JobState, new_job
from nigaoe_core.queue import QUEUE_NAME
from nigaoe_core.services import connect, open_blob_store, open_services
from nigaoe_core.settings import Settings
from nigaoe_core.store.blob_store import CROP
from nigaoe_core.store.changes import wait_for_end
from nigaoe_core.store.folder_blob_store import FolderBlobStore
from nigaoe_core.store.s3_blob_store import S3BlobStore
from nigaoe_core.store.signed_links import LinkSigner


def settings(tmp_path: Path, **values: object) -> Settings:
    return Settings.model_validate({"data_dir": tmp_path, **values})


def test_everything_works_together(tmp_path: Path, fresh_url: Callable[[], str]) -> None:
    """Store, events, blobs, links and retention of one set of settings know each other's jobs."""
    with open_services(settings(tmp_path, redis_url=fresh_url(), lease_seconds=30, heartbeat_seconds=2)) as services:
        draft = new_job(JobOptions())
        key = f"{draft.folder}/{CROP}"
        services.blobs.put(key, b"picture")
        (job,) = services.store.submit([draft.model_copy(update={"blobs": {CROP: key}})]).jobs
        assert services.events.read(job.id)[0].data["state"] == "queued"
        assert services.blobs.link(key, seconds=60).startswith("/blobs/")
        claim = services.store.claim(job.id, 1, "one")
        assert claim is not None
        assert claim.job.lease is not None
        assert 29 < claim.job.lease.deadline - (claim.job.started_at or 0) < 31
        assert services.retention.erase(job.id)
        assert not services.blobs.exists(key)


def test_a_server_on_the_network_works_too(tmp_path: Path, tcp_valkey: str) -> None:
    """An operator's Redis: TCP, a password with a slash, a database of its own; store, queue and news reach it."""
    with open_services(settings(tmp_path, redis_url=tcp_valkey)) as services:
        (job,) = services.store.submit([new_job(JobOptions())]).jobs
        services.dispatcher.wake(job)

        async def cancelled() -> JobState:
            async with services.feed as feed:
                waiter = asyncio.create_task(wait_for_end(services.store, feed, job.id, seconds=120))
                await asyncio.to_thread(services.store.cancel, job.id)
                return (await waiter).state

        assert asyncio.run(asyncio.wait_for(cancelled(), 60)) is JobState.CANCELLED
    with redis.Redis.from_url(tcp_valkey, decode_responses=True) as client:
        assert client.keys(f"{QUEUE_NAME}*")


def test_opening_does_not_need_a_living_redis(tmp_path: Path) -> None:
    """The API may start before Redis; the first use tells."""
    url = f"unix://{tmp_path}/nobody.sock"
    services = connect(settings(tmp_path, redis_url=url, redis_patience_seconds=0))
    with pytest.raises(StoreUnavailable):
        services.store.check()
    services.close()


def test_without_an_address_there_is_advice(tmp_path: Path) -> None:
    """Production needs a Redis, and `nigaoe serve` brings one."""
    with pytest.raises(InvalidSettings, match="NIGAOE_REDIS_URL"):
        connect(settings(tmp_path))


def test_the_blob_stores_form_decides(tmp_path: Path, signer: LinkSigner) -> None:
    """A path is a folder, s3:// is a bucket."""
    elsewhere = open_blob_store(settings(tmp_path, blob_store=str(tmp_path / "elsewhere")), signer)
    bucket = open_blob_store(settings(tmp_path, blob_store="s3://bucket/prefix"), signer)
    assert isinstance(elsewhere, FolderBlobStore)
    assert elsewhere.root == tmp_path / "elsewhere"
    assert isinstance(bucket, S3BlobStore)
    with pytest.raises(InvalidSettings):
        open_blob_store(settings(tmp_path, blob_store="ftp://bucket"), signer)


@pytest.mark.parametrize(
    "module",
    [
        "nigaoe_core.jobs",
        "nigaoe_core.store.job_store",
        "nigaoe_core.store.events",
        "nigaoe_core.services",
        "nigaoe_core.settings",
    ],
)
def test_records_and_rules_need_no_server_libraries(module: str) -> None:
    """`pip install nigaoe` alone can import them: Redis, boto3 and Celery come with the code that uses them."""
    program = (
        f"import sys, {module}; "
        "print(sorted({'redis', 'boto3', 'celery', 'kombu', 'torch', 'PIL', 'fastapi'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
