import threading
from collections.abc import Callable
from typing import Any

import pytest
from typing_extensions import override

from nigaoe_core.errors import BlobStoreUnavailable, StorageFull, UnknownBlob
from nigaoe_core.services import Services
from nigaoe_core.store.blob_store import CROP, RESULT_PNG
from nigaoe_core.store.folder_blob_store import FolderBlobStore
from nigaoe_worker.claimed_job import JobStopped, StopCause
from nigaoe_worker.job_blobs import Shelf


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
    """The services' folder, which can be told to refuse."""
    folder = BrokenFolder(services.blobs.root, services.signer)
    folder.refusals = []
    return folder


def test_keys_are_this_claims_own(desk: Any) -> None:
    """Two holders of one job never write, and never erase, the same blob."""
    job = desk.order()
    first = Shelf(desk.services.blobs, desk.hold(job), 0)
    first.put(RESULT_PNG, b"first")
    first_key = first.stored[RESULT_PNG]
    second_hold = desk.hold(desk.services.store.hand_back(first._hold.claim))
    second = Shelf(desk.services.blobs, second_hold, 0)
    second.put(RESULT_PNG, b"second")
    first.clear()
    assert not desk.services.blobs.exists(first_key)
    assert second.read(second.stored[RESULT_PNG]) == b"second"
    assert first.stored == {}


def test_what_a_vanished_holder_stored_is_cleared(desk: Any) -> None:
    """Its process was killed between storing and ending; the next holder tidies up."""
    job = desk.order()
    killed = Shelf(desk.services.blobs, desk.hold(job), 0)
    killed.put(RESULT_PNG, b"half a job")
    heir = Shelf(desk.services.blobs, desk.hold(desk.services.store.hand_back(killed._hold.claim)), 0)
    heir.clear_predecessors()
    assert [blob.key for blob in desk.services.blobs.list_blobs()] == [job.blobs[CROP]]


def test_a_store_that_comes_back_is_waited_for(desk: Any, broken: BrokenFolder) -> None:
    """Two refusals, then it works: the job never hears of it."""
    broken.refusals = [BlobStoreUnavailable(), StorageFull()]
    shelf = Shelf(broken, desk.hold(), 60)
    shelf.put(RESULT_PNG, b"picture")
    assert shelf.read(shelf.stored[RESULT_PNG]) == b"picture"


@pytest.mark.parametrize("refusal", [BlobStoreUnavailable, StorageFull])
def test_patience_ends(desk: Any, broken: BrokenFolder, refusal: type[Exception]) -> None:
    """A store that stays away is the job's failure, by its own name."""
    broken.refusals = [refusal() for _ in range(100)]
    with pytest.raises(refusal):
        Shelf(broken, desk.hold(), 0.6).put(RESULT_PNG, b"picture")


def test_a_stopped_job_waits_for_nothing(
    desk: Any, broken: BrokenFolder, in_thread: Callable[..., threading.Thread]
) -> None:
    """Cancelling does not sit out the hour that an operator allows a store."""
    broken.refusals = [BlobStoreUnavailable() for _ in range(10_000)]
    hold = desk.hold()

    def put() -> None:
        with pytest.raises(JobStopped):
            Shelf(broken, hold, 3600).put(RESULT_PNG, b"picture")

    waiting = in_thread(put)
    hold.stop(StopCause.CANCELLED)
    waiting.join(60)
    assert not waiting.is_alive()


def test_what_is_not_there_is_no_reason_to_wait(desk: Any) -> None:
    """An erased crop fails at once."""
    job = desk.order()
    desk.services.blobs.delete(job.blobs[CROP])
    with pytest.raises(UnknownBlob):
        Shelf(desk.services.blobs, desk.hold(job), 3600).read(job.blobs[CROP])
