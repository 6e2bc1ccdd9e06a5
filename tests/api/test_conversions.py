"""Batches are found again by their id alone."""

import uuid

import pytest

from nigaoe_api.conversions import in_batch, job_ids, new_batch_id
from nigaoe_core.errors import UnknownJob
from nigaoe_core.jobs import JobOptions, new_job

UNKNOWN = "a4aa5042-92f3-4287-ae7b-a03590fae809"


def test_the_ids_of_the_jobs_follow_from_the_batch() -> None:
    """In order, and each is a version 4 UUID like any job's."""
    jobs = in_batch([new_job(JobOptions(seed=seed)) for seed in range(5)])
    assert job_ids(jobs[0].batch_id or "") == [job.id for job in jobs]
    assert [job.options.seed for job in jobs] == list(range(5))
    assert all(uuid.UUID(job.id).version == 4 and job.folder.endswith(job.id) for job in jobs)
    assert len({job.id for job in jobs}) == 5


def test_batches_share_no_jobs() -> None:
    """Whatever their size."""
    assert not set(job_ids(new_batch_id(3))) & set(job_ids(new_batch_id(3)))


@pytest.mark.parametrize("batch_id", ["", "x", UNKNOWN, f"{UNKNOWN}-0", f"{UNKNOWN}-1001"])
def test_what_is_no_batch_is_unknown(batch_id: str) -> None:
    """Nor does it make anyone count to a billion."""
    with pytest.raises(UnknownJob):
        job_ids(batch_id)
