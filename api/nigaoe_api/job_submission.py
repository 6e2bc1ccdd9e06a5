"""Submitting jobs: new ones are stored and queued, all of them or none.

Order of the steps: blobs first, then the record, then the wake-up message. A crash in between leaves blobs that the
sweep of orphans finds, or a job that the reaper sends a message for; never a job without its crop.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog

from nigaoe_api.callers import Caller
from nigaoe_api.metrics import Metrics
from nigaoe_api.outbound import Outbound
from nigaoe_core.errors import InvalidRequest, QueueFull, StorageError
from nigaoe_core.jobs import Job
from nigaoe_core.services import Services
from nigaoe_core.store.job_records import AdmissionLimits, Idempotency, Submission

MAX_KEY_LENGTH: Final = 255

log = structlog.get_logger(__name__)


class JobSubmission:
    """Stores jobs and wakes workers for them. Its methods block: call them in threads.

    Args:
        services: Where jobs and blobs go.
        outbound: Judges webhook addresses.
        metrics: Counts jobs.
    """

    def __init__(self, services: Services, outbound: Outbound, metrics: Metrics) -> None:
        self._services = services
        self._settings = services.settings
        self._outbound = outbound
        self._metrics = metrics

    def check_webhook(self, url: str | None) -> None:
        """Refuse an address that could never be called.

        Raises:
            InvalidRequest: This service calls nobody.
            ForbiddenAddress: The address is not public https.
        """
        if url is None:
            return
        if not self._settings.webhooks:
            raise InvalidRequest("This service calls no webhooks: ask for the job instead, or follow its events.")
        self._outbound.check(url)

    def check_queue(self, count: int) -> None:
        """Spare the search for faces while the queue is full; `submit` decides in the end.

        Raises:
            QueueFull: So many jobs would be too many now.
        """
        queue, settings = self._services.store.queue(), self._settings
        is_old = queue.oldest_age > settings.max_queue_age_seconds
        if is_old or queue.queued + count > settings.max_queued_jobs:
            pause = queue.retry_after
            raise QueueFull(f"Too many jobs are waiting: try again in {pause:.0f} seconds.", retry_after=pause)

    def submit(
        self,
        caller: Caller,
        jobs: Sequence[Job],
        contents: Mapping[str, bytes],
        *,
        idempotency: Idempotency | None,
        deduplication_key: str | None = None,
    ) -> Submission:
        """Store jobs, all or none, and wake workers for them.

        Args:
            caller: Whose they are.
            jobs: New jobs.
            contents: Their blobs by key.
            idempotency: How the request is recognised when it comes again.
            deduplication_key: Names what a single job makes (`JobStore.submit`).

        Raises:
            IdempotencyConflict: The key came with another request before.
            QueueFull: Too many jobs wait.
            QuotaExceeded: The caller has too many unfinished jobs.
            StorageError: They could not be stored; nothing is left behind, or the sweep finds it.
        """
        submission: Submission | None = None
        try:
            for key, content in contents.items():
                self._services.blobs.put(key, content)
            submission = self._services.store.submit(
                jobs,
                idempotency=idempotency,
                limits=self._admission(caller),
                deduplication_key=deduplication_key,
            )
        finally:
            if submission is None or submission.replayed:
                self._erase_unknown(jobs)
        if not submission.replayed:
            for job in submission.jobs:
                self._wake(job)
        return submission

    def _admission(self, caller: Caller) -> AdmissionLimits:
        own = caller.key.max_active_jobs if caller.key else None
        return AdmissionLimits(
            max_queued=self._settings.max_queued_jobs,
            max_queue_age=self._settings.max_queue_age_seconds,
            max_active=own or self._settings.max_active_jobs_per_key,
        )

    def _erase_unknown(self, jobs: Sequence[Job]) -> None:
        """Erase the blobs of jobs that were not stored.

        After `StoreUnavailable` nobody knows whether they were; then the sweep of orphans decides.
        """
        try:
            known = self._services.store.known([job.id for job in jobs])
            for job in jobs:
                if job.id not in known:
                    self._services.blobs.delete_folder(job.folder)
        except StorageError as error:
            log.warning("cleaning_up.postponed", code=error.code)

    def _wake(self, job: Job) -> None:
        try:
            self._services.dispatcher.wake(job)
        except StorageError as error:
            log.warning("wake_up.postponed", job_id=job.id, code=error.code)
        self._metrics.jobs_accepted.labels(job.kind.value).inc()
        log.info("job.accepted", job_id=job.id, kind=job.kind.value, style=job.options.style)


def idempotency_of(
    key: str | None, what: str, fields: Mapping[str, Any], photo_digests: Sequence[bytes] = ()
) -> Idempotency | None:
    """Make a request recognisable by its Idempotency-Key and by what it asks for.

    Args:
        key: The header, if it came.
        what: What is asked for.
        fields: JSON-ready options.
        photo_digests: SHA-256 of each photo.

    Raises:
        InvalidRequest: The key is empty, too long, or has unprintable characters.
    """
    if key is None:
        return None
    if not key.strip() or len(key) > MAX_KEY_LENGTH or not key.isprintable():
        raise InvalidRequest(f"An Idempotency-Key has 1 to {MAX_KEY_LENGTH} printable characters, such as a UUID.")
    digest = hashlib.sha256(json.dumps([what, fields], sort_keys=True).encode())
    for photo_digest in photo_digests:
        digest.update(photo_digest)
    return Idempotency(key, digest.hexdigest())
