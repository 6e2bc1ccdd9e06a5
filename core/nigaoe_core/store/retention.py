"""Deletion: jobs that their owners delete, jobs whose time is over, photos of ended jobs, blobs without a job."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from nigaoe_core.errors import StorageError
from nigaoe_core.guarded_loop import UnexpectedErrors
from nigaoe_core.jobs import Seconds
from nigaoe_core.store.blob_store import BlobStore, folder_of, job_of
from nigaoe_core.store.job_records import Erased
from nigaoe_core.store.job_store import JobStore

_BATCH: Final = 500  # Folders asked about in one round trip.

WHERE: Final = "retention"
"""Where unexpected errors of erasing are counted."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Sweep:
    """What one sweep forgot."""

    jobs: int = 0  # Ended jobs past their retention.
    erasures: int = 0  # Photos and folders that were due.
    orphans: int = 0  # Folders that belong to no job.


class Retention:
    """Erases records and blobs together. Every method may be repeated, by any process, at any time.

    Args:
        store: The jobs.
        blobs: Their pictures and latents.
        orphan_seconds: How old a folder without a job must be: uploads lie there before their job is submitted.
        clock: Unix seconds, to compare with the blobs' ages.
        errors: Where unexpected errors are recorded; None: nobody asks for them.
    """

    def __init__(
        self,
        store: JobStore,
        blobs: BlobStore,
        *,
        orphan_seconds: Seconds,
        clock: Callable[[], float] = time.time,
        errors: UnexpectedErrors | None = None,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._orphan_seconds = orphan_seconds
        self._clock = clock
        self._errors = errors or UnexpectedErrors()
        self._errors.declare(WHERE)

    def erase(self, job_id: str, *, tenant: str | None = None) -> bool:
        """Forget a job in any state, the restyles made of it, and all their blobs now; False if there was nothing.

        The records go first, so that their workers stop; should the blobs' store fail afterwards, the error is raised
        and the sweep goes on trying. A worker that was just storing something is swept up after two leases.

        Raises:
            StorageError: The job or its blobs could not be erased yet.
        """
        return self._erase(self._store.delete(job_id, tenant=tenant))

    def _erase(self, erased: Sequence[Erased]) -> bool:
        for job in erased:
            for folder in job.folders:
                self._blobs.delete_folder(folder)
                if not job.is_held:
                    self._store.settle_erasure(folder + "/")
        return bool(erased)

    def sweep(self, limit: int = 100) -> Sweep:
        """Do all that is due, up to ``limit`` of each kind. What fails is logged and comes again by itself."""
        return Sweep(jobs=self._forget_old_jobs(limit), erasures=self.erase_due(limit))

    def _forget_old_jobs(self, limit: int) -> int:
        return sum(self._tried(self._forget, job_id) for job_id in self._store.due_retention(limit))

    def _forget(self, job_id: str) -> bool:
        return self._erase(self._store.delete(job_id, with_restyles=False))  # They have a time of their own.

    def erase_due(self, limit: int = 100) -> int:
        """Erase the photos and folders that are due, and tell how many; a worker calls it after it ended a job."""
        return sum(self._tried(self._erase_member, due.member) for due in self._store.due_erasures(limit))

    def _erase_member(self, member: str) -> bool:
        if member.endswith("/"):
            self._blobs.delete_folder(member)
        else:
            self._blobs.delete(member)
        self._store.settle_erasure(member)
        return True

    def take_turn(self, seconds: Seconds) -> bool:
        """Ask to be the one process that sweeps up orphans for so long; False: another does.

        Raises:
            StoreUnavailable: The job store does not answer.
        """
        return self._store.take_turn("orphans", seconds)

    def sweep_orphans(self) -> Sweep:
        """Erase folders that belong to no job and in which nothing is younger than ``orphan_seconds``.

        This lists the whole store: once an hour is often enough, by one process (`take_turn`).

        Raises:
            StorageError: A store does not answer; what was erased until then stays erased.
        """
        youngest: dict[str, float] = {}
        for blob in self._blobs.list_blobs():
            folder = folder_of(blob.key)
            youngest[folder] = max(blob.modified, youngest.get(folder, 0.0))
        before = self._clock() - self._orphan_seconds
        old = [folder for folder, modified in youngest.items() if modified < before]
        orphans = 0
        for start in range(0, len(old), _BATCH):
            orphans += self._erase_orphans(old[start : start + _BATCH])
        return Sweep(orphans=orphans)

    def _erase_orphans(self, folders: list[str]) -> int:
        known = self._store.known([job_of(folder) for folder in folders])
        return sum(self._tried(self._erase_orphan, folder) for folder in folders if job_of(folder) not in known)

    def _erase_orphan(self, folder: str) -> bool:
        self._blobs.delete_folder(folder)
        return True

    def _tried(self, erase: Callable[[str], bool], name: str) -> bool:
        try:
            return erase(name)
        except StorageError as error:
            _log.warning("retention.postponed", code=error.code)
        except Exception as error:  # noqa: BLE001 - what cannot be erased must not keep others from it; it is recorded.
            self._errors.record(WHERE, error)
        return False
