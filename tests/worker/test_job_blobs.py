import threading
from collections.abc import Callable
from typing import Any

import pytest
from typing_extensions import override

from nigaoe_core.errors import BlobStoreUnavailable, StorageFull, UnknownBlob
from nigaoe_core.services import Services
from nigaoe_core.store.blob_store import CROP, RESULT_PNG
from nigaoe_core.store.folder_blob_store import FolderBlobStore
from nigaoe_worker.job_blobs import JobBlobs
from nigaoe_worker.leases import JobStopped, StopCause


class BrokenFolder(FolderBlobStore):
    """A folder on a disk that refuses for a while."""

    refusals: list[Exception]

    @override
    def put(self, key: str, data: bytes) -> None:
        if self.refusals:
            raise self.refusals.pop()
        super().put(key, data)


@pytest.fixture
def broken(services: Services) -> BrokenFolder:
    """The services' folder, which can be made to refuse."""
    folder = BrokenFolder(services.blobs.root, services.signer)
    folder.refusals = []
    return folder


def test_keys_are_this_claims_own(client: Any) -> None:
    """Two holders of one job never write, and never erase, the same blob."""
    job = client.convert()
    first = JobBlobs(client.services.blobs, client.claimed(job), 0)
    first.put(RESULT_PNG, b"first")
    first_key = first.stored[RESULT_PNG]
    second_hold = client.claimed(client.services.store.hand_back(first._claimed.claim))
    second = JobBlobs(client.services.blobs, second_hold, 0)
    second.put(RESULT_PNG, b"second")
    first.clear()
    assert not client.services.blobs.exists(first_key)
    assert second.read(second.stored[RESULT_PNG]) == b"second"
    assert first.stored == {}


def test_what_a_vanished_holder_stored_is_cleared(client: Any) -> None:
    """Its process was killed between storing and ending; the next holder tidies up."""
    job = client.convert()
    killed = JobBlobs(client.services.blobs, client.claimed(job), 0)
    killed.put(RESULT_PNG, b"half a job")
    heir = JobBlobs(client.services.blobs, client.claimed(client.services.store.hand_back(killed._claimed.claim)), 0)
    heir.clear_predecessors()
    assert [blob.key for blob in client.services.blobs.list_blobs()] == [job.blobs[CROP]]


def test_a_store_that_comes_back_is_waited_for(client: Any, broken: BrokenFolder) -> None:
    """Two refusals, then it works: the job never hears of it."""
    broken.refusals = [BlobStoreUnavailable(), StorageFull()]
    blobs = JobBlobs(broken, client.claimed(), 60)
    blobs.put(RESULT_PNG, b"picture")
    assert blobs.read(blobs.stored[RESULT_PNG]) == b"picture"


@pytest.mark.parametrize("refusal", [BlobStoreUnavailable, StorageFull])
def test_patience_ends(client: Any, broken: BrokenFolder, refusal: type[Exception]) -> None:
    """A store that stays away is the job's failure, by its own name."""
    broken.refusals = [refusal() for _ in range(100)]
    with pytest.raises(refusal):
        JobBlobs(broken, client.claimed(), 0.6).put(RESULT_PNG, b"picture")


def test_a_stopped_job_waits_for_nothing(
    client: Any, broken: BrokenFolder, in_thread: Callable[..., threading.Thread]
) -> None:
    """Cancelling does not sit out the hour that an operator allows a store."""
    broken.refusals = [BlobStoreUnavailable() for _ in range(10_000)]
    claimed = client.claimed()

    def put() -> None:
        with pytest.raises(JobStopped):
            JobBlobs(broken, claimed, 3600).put(RESULT_PNG, b"picture")

    waiting = in_thread(put)
    claimed.stop(StopCause.CANCELLED)
    waiting.join(60)
    assert not waiting.is_alive()


def test_what_is_not_there_is_no_reason_to_wait(client: Any) -> None:
    """An erased crop fails at once."""
    job = client.convert()
    client.services.blobs.delete(job.blobs[CROP])
    with pytest.raises(UnknownBlob):
        JobBlobs(client.services.blobs, client.claimed(job), 3600).read(job.blobs[CROP])
