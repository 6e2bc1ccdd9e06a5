"""The bucket's server dies in the middle of a batch. As in `test_site`, every story's end is the check of the books."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from s3_server import S3Server

from nigaoe_core.errors import BlobStoreUnavailable
from nigaoe_core.jobs import JobState

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(900)]

OUTAGE = 30.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server."""
    made = S3Server(tmp_path_factory.mktemp("s3"), makes_buckets=True).start()
    yield made
    made.stop()


@pytest.fixture
def bucket_site(open_site: Callable[..., Any], server: S3Server) -> Any:
    """A site whose pictures are in a bucket, with one worker that is as patient as it is installed."""
    site = open_site(workers=1, blob_store="s3://nigaoe/faults", blob_patience_seconds=60.0, **server.credentials)
    site.wait_for_workers(1)
    return site


def test_the_bucket_is_away_for_half_a_minute(bucket_site: Any, server: S3Server) -> None:
    """kill -9 of its server while jobs run: they wait with what they have drawn, and all of them end well."""
    jobs = bucket_site.order(4)
    bucket_site.wait_for_steps(jobs)
    server.stop()
    with pytest.raises(BlobStoreUnavailable):
        bucket_site.services.blobs.check()
    threading.Event().wait(OUTAGE)
    assert JobState.FAILED not in bucket_site.states(jobs)
    server.start()
    bucket_site.wait_for_end(jobs, bucket_site.recovery())
    assert bucket_site.states(jobs) == {JobState.SUCCEEDED}
    assert all(bucket_site.get(job).attempt == 1 for job in jobs)
    (worker,) = bucket_site.workers
    assert "blobs.retried" in worker.log
    picture = bucket_site.services.blobs.get(bucket_site.get(jobs[0]).blobs["result.png"])
    assert picture.startswith(b"\x89PNG")
