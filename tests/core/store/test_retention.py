"""Forgetting: on request, on time, and what was left lying about."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nigaoe_core.errors import BlobStoreUnavailable, LeaseLost, UnknownJob
from nigaoe_core.guarded_loop import UnexpectedErrors
from nigaoe_core.jobs import Job, JobKind, JobOptions, JobState, Outcome, new_job
from nigaoe_core.store.blob_store import CROP, LATENT, PHOTO, RESULT_PNG, BlobStore
from nigaoe_core.store.folder_blob_store import FolderBlobStore
from nigaoe_core.store.job_store import JobStore
from nigaoe_core.store.retention import Retention, Sweep
from nigaoe_core.store.signed_links import LinkSigner

if TYPE_CHECKING:
    from conftest import World


@pytest.fixture
def blobs(tmp_path: Path, signer: LinkSigner) -> FolderBlobStore:
    return FolderBlobStore(tmp_path / "blobs", signer)


def uploaded(store: JobStore, blobs: BlobStore, *names: str) -> Job:
    """A job whose photo and crop lie in the store, as the API leaves them."""
    draft = new_job(JobOptions())
    keys = {name: f"{draft.folder}/{name}" for name in names or (PHOTO, CROP)}
    for key in keys.values():
        blobs.put(key, b"picture")
    return store.submit([draft.model_copy(update={"blobs": keys})]).jobs[0]


def keys_in(blobs: BlobStore) -> set[str]:
    return {blob.key for blob in blobs.list_blobs()}


def test_deleting_leaves_nothing(world: "World", blobs: FolderBlobStore) -> None:
    """The record and every blob are gone when the call returns; a second call finds nothing."""
    store = world.store()
    retention = Retention(store, blobs, orphan_seconds=0)
    job = uploaded(store, blobs)
    assert not retention.erase(job.id, tenant="somebody else")
    assert retention.erase(job.id)
    assert not retention.erase(job.id)
    assert keys_in(blobs) == set()
    assert store.due_erasures() == []
    with pytest.raises(UnknownJob):
        store.get(job.id)


def test_deleting_a_face_leaves_none_of_its_looks(world: "World", blobs: FolderBlobStore) -> None:
    """Crop, latent and every restyle's pictures are gone from the stores when the call returns."""
    store = world.store()
    retention = Retention(store, blobs, orphan_seconds=3600)
    parent = uploaded(store, blobs, CROP, LATENT, RESULT_PNG)
    looks = []
    for _ in range(2):
        look = new_job(JobOptions(), kind=JobKind.RESTYLE, parent_id=parent.id)
        store.submit([look.model_copy(update={"blobs": {LATENT: parent.blobs[LATENT]}})])
        claim = store.claim(look.id, 1, "one")
        assert claim is not None
        blobs.put(f"{look.folder}/{RESULT_PNG}", b"look")
        looks.append(store.succeed(claim, Outcome(blobs={RESULT_PNG: f"{look.folder}/{RESULT_PNG}"})))
    assert retention.erase(looks[0].id)
    assert keys_in(blobs) == {*parent.blobs.values(), looks[1].blobs[RESULT_PNG]}
    assert retention.erase(parent.id)
    assert keys_in(blobs) == set()
    assert not any(job.id in world.contents() for job in (parent, *looks))


def test_what_cannot_be_erased_keeps_no_other(
    world: "World", blobs: FolderBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected fault with one job's folder: it is counted and comes again, the others are forgotten now."""
    store = world.store(retention_seconds=0, lease_seconds=0)
    jobs = [uploaded(store, blobs) for _ in range(3)]
    for job in jobs:
        store.cancel(job.id)
        store.settle_erasure(job.folder + "/")
    erase = blobs.delete_folder

    def faulty(folder: str) -> int:
        if jobs[1].id in folder:
            raise RuntimeError("not foreseen")
        return erase(folder)

    monkeypatch.setattr(blobs, "delete_folder", faulty)
    errors = UnexpectedErrors()
    retention = Retention(store, blobs, orphan_seconds=3600, errors=errors)
    retention.sweep()
    assert errors.counts["retention"] > 0
    assert {key.split("/")[2] for key in keys_in(blobs)} == {jobs[1].id}
    monkeypatch.undo()
    retention.sweep()
    assert keys_in(blobs) == set()


def test_a_worker_that_stores_after_the_deletion_is_swept_up(world: "World", blobs: FolderBlobStore) -> None:
    """Its result appears after the folder was erased; the folder is still due to be erased."""
    store = world.store(lease_seconds=0)
    retention = Retention(store, blobs, orphan_seconds=3600)
    job = uploaded(store, blobs)
    claim = store.claim(job.id, 1, "one")
    assert claim is not None
    retention.erase(job.id)
    blobs.put(f"{job.folder}/{RESULT_PNG}", b"late")
    with pytest.raises(LeaseLost):
        store.succeed(claim, Outcome(blobs={}))
    assert retention.sweep() == Sweep(erasures=1)
    assert keys_in(blobs) == set()


def test_the_photo_goes_as_soon_as_the_job_ends(world: "World", blobs: FolderBlobStore) -> None:
    """Crop and results stay for the retention time, the photo does not."""
    store = world.store()
    job = uploaded(store, blobs, PHOTO, CROP, LATENT, RESULT_PNG)
    claim = store.claim(job.id, 1, "one")
    assert claim is not None
    store.succeed(claim, Outcome(blobs={RESULT_PNG: f"{job.folder}/{RESULT_PNG}"}))
    assert Retention(store, blobs, orphan_seconds=3600).erase_due() == 1
    assert keys_in(blobs) == {f"{job.folder}/{name}" for name in (CROP, LATENT, RESULT_PNG)}


def test_a_job_that_came_to_nothing_leaves_nothing(world: "World", blobs: FolderBlobStore) -> None:
    """Cancelled while it waited: all its blobs go, the record stays to tell so."""
    store = world.store()
    job = uploaded(store, blobs)
    store.cancel(job.id)
    assert Retention(store, blobs, orphan_seconds=3600).sweep() == Sweep(erasures=1)
    assert keys_in(blobs) == set()
    assert store.get(job.id).state is JobState.CANCELLED


def test_results_go_when_their_time_is_over(world: "World", blobs: FolderBlobStore) -> None:
    """After the retention time record and blobs are forgotten; a job that still waits is not touched."""
    store = world.store(retention_seconds=0)
    over, waiting = uploaded(store, blobs), uploaded(store, blobs)
    claim = store.claim(over.id, 1, "one")
    assert claim is not None
    store.succeed(claim, Outcome(blobs={}))
    assert Retention(store, blobs, orphan_seconds=3600).sweep().jobs == 1
    assert {store.get(waiting.id).id} == store.known([over.id, waiting.id])
    assert keys_in(blobs) == set(waiting.blobs.values())


def test_orphans_are_found_when_they_are_old(world: "World", blobs: FolderBlobStore) -> None:
    """A folder without a job goes once it is old: a fresh one may be an upload whose job is just being submitted."""
    store = world.store()
    job, orphan = uploaded(store, blobs), new_job(JobOptions())
    blobs.put(f"{orphan.folder}/{CROP}", b"picture")
    now = time.time()
    assert Retention(store, blobs, orphan_seconds=3600, clock=lambda: now + 60).sweep_orphans() == Sweep()
    assert Retention(store, blobs, orphan_seconds=3600, clock=lambda: now + 7200).sweep_orphans() == Sweep(orphans=1)
    assert keys_in(blobs) == set(job.blobs.values())


def test_what_fails_is_done_later(world: "World", blobs: FolderBlobStore, signer: LinkSigner, tmp_path: Path) -> None:
    """While the blobs' store is broken a deletion says so, and the sweep finishes it when the store is back."""
    store = world.store(lease_seconds=0)
    job = uploaded(store, blobs)
    (tmp_path / "file").write_text("")
    broken = Retention(store, FolderBlobStore(tmp_path / "file", signer), orphan_seconds=3600)
    with pytest.raises(BlobStoreUnavailable):
        broken.erase(job.id)
    assert broken.sweep() == Sweep()
    assert Retention(store, blobs, orphan_seconds=3600).sweep() == Sweep(erasures=1)
    assert keys_in(blobs) == set()
