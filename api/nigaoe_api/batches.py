"""Batches: the jobs of one request with several photos, found again without being stored anywhere as a batch.

A batch's id is a random UUID and the number of its jobs; the jobs' ids follow from it by SHA-256. So whoever may read
the jobs can read the batch, a job's id does not reveal its batch or its siblings, and there is no second truth to keep
in step with the jobs.
"""

import hashlib
import re
import uuid
from typing import Final

from nigaoe_core.errors import UnknownJob
from nigaoe_core.jobs import Job
from nigaoe_core.store.blob_store import new_folder

MAX_JOBS: Final = 1000

_ID = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-([1-9][0-9]{0,3})")


def new_batch_id(count: int) -> str:
    """Make the id of a batch of ``count`` jobs."""
    return f"{uuid.uuid4()}-{count}"


def job_ids(batch_id: str) -> list[str]:
    """The ids of a batch's jobs, in the order of the photos; each is a version 4 UUID by its form.

    Raises:
        UnknownJob: This is no id of a batch.
    """
    match = _ID.fullmatch(batch_id)
    if match is None or int(match[2]) > MAX_JOBS:
        raise UnknownJob("There is no such batch.")
    return [_derived(batch_id, index) for index in range(int(match[2]))]


def in_batch(jobs: list[Job]) -> list[Job]:
    """Make jobs that are not stored yet one batch: they get its id and the ids that follow from it."""
    batch_id = new_batch_id(len(jobs))
    return [
        job.model_copy(update={"id": job_id, "folder": new_folder(job.tenant, job_id), "batch_id": batch_id})
        for job, job_id in zip(jobs, job_ids(batch_id), strict=True)
    ]


def _derived(batch_id: str, index: int) -> str:
    digest = hashlib.sha256(f"nigaoe batch {batch_id} {index}".encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))
