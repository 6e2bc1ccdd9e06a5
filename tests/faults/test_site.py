"""Faults as they happen, to real processes. Every story's end is in the `site` fixture: all jobs ended exactly once,
no blob is left over, nobody is busy, and every follower heard of one end.
"""

import contextlib
import signal
import threading
import time
from typing import Any

import pytest

from nigaoe_core.errors import BlobStoreUnavailable
from nigaoe_core.jobs import JobState

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(900)]

SUCCEEDED, FAILED = {JobState.SUCCEEDED}, {JobState.FAILED}
OUTAGE = 5.0


def test_the_same_message_ten_times(site: Any) -> None:
    """Two workers get the same wake-up message again and again: one claim, one run, one end."""
    (job,) = site.order(ring=False)
    for _ in range(10):
        site.services.dispatcher.wake(job)
    site.wait_for_end([job])
    assert site.get(job).fencing_token == 1
    assert site.states([job]) == SUCCEEDED


def test_a_worker_is_killed_in_the_middle_of_a_batch(site: Any) -> None:
    """kill -9: its jobs go on elsewhere within 45 seconds; the others never notice."""
    site.wait_for_workers(2)
    jobs = site.order(5)
    site.wait_for_steps(jobs, 2)
    victim = site.holder(next(job for job in jobs if site.get(job).lease))
    held = [job for job in jobs if (lease := site.get(job).lease) and f":{victim.pid}:" in lease.worker]
    victim.kill()
    site.wait_for_end(held, site.recovery())
    site.wait_for_end(jobs)
    assert site.states(jobs) == SUCCEEDED
    assert all(site.get(job).attempt == 2 and site.get(job).losses == 1 for job in held)


def test_valkey_is_killed_while_jobs_run(site: Any) -> None:
    """kill -9 and a restart from the journal: nothing accepted is lost, nobody starts again from the beginning."""
    jobs = site.order(5)
    site.wait_for_steps(jobs, 2)
    site.valkey.kill()
    site.valkey.start()
    site.wait_for_end(jobs)
    assert site.states(jobs) == SUCCEEDED
    site.wait_for_end(site.order(2), site.recovery())  # Both workers fetch again.


def test_valkey_is_away_while_workers_are_busy(site: Any) -> None:
    """Five seconds without an answer, longer than a lease: the work goes on and is not done twice for nothing."""
    jobs = site.order(4)
    site.wait_for_steps(jobs, 2)
    with site.suspended(site.valkey.pid):
        time.sleep(OUTAGE)
    site.wait_for_end(jobs)
    assert site.states(jobs) == SUCCEEDED


def test_valkey_is_away_while_workers_are_idle(site: Any) -> None:
    """The "catatonic worker": after a drop it lives and fetches nothing. Ours fetch."""
    site.valkey.kill()
    time.sleep(OUTAGE)
    site.valkey.start()
    jobs = site.order(4)
    site.wait_for_end(jobs, site.recovery())
    assert site.states(jobs) == SUCCEEDED


def test_a_zombie_wakes_after_its_lease(site: Any) -> None:
    """It slept while its jobs were done elsewhere: it changes nothing, clears what it stored, and is of use again."""
    site.wait_for_workers(2)
    jobs = site.order(3)
    site.wait_for_steps(jobs, 2)
    zombie = site.holder(next(job for job in jobs if site.get(job).lease))
    with site.suspended(zombie.pid):
        site.wait_for_end(jobs)
        before = [site.get(job) for job in jobs]
    assert site.states(jobs) == SUCCEEDED
    site.wait_for_end(site.order(4), site.recovery())
    assert [site.get(job) for job in jobs] == before
    site.until(lambda: "job.lease_lost" in zombie.log)


def test_the_blob_store_refuses_for_a_while(site: Any) -> None:
    """The folder is no folder any more, then it is back: nobody fails, because workers are patient."""
    jobs = site.order(3)
    site.wait_for_steps(jobs)
    blobs, away = site.services.blobs.root, site.services.blobs.root.with_name("blobs-away")
    blobs.rename(away)
    blobs.write_text("This is no folder.")
    with pytest.raises(BlobStoreUnavailable):
        site.services.blobs.check()
    time.sleep(OUTAGE)
    blobs.unlink()
    away.rename(blobs)
    site.wait_for_end(jobs)
    assert site.states(jobs) == SUCCEEDED


def test_the_disk_is_full(site: Any) -> None:
    """Longer than patience: the jobs fail by the right name and leave nothing; with space again, all is well."""
    with contextlib.ExitStack() as full:
        for worker in site.workers:
            full.enter_context(site.full_disk(worker.pid))
        jobs = site.order(2)
        site.wait_for_end(jobs)
    assert site.states(jobs) == FAILED
    assert {site.get(job).error.code for job in jobs} == {"storage_full"}
    again = site.order(2)
    site.wait_for_end(again)
    assert site.states(again) == SUCCEEDED


def test_a_worker_is_terminated_under_load(site: Any) -> None:
    """SIGTERM: not ready at once; what is not done in time is handed back, which is no loss; status 0."""
    site.wait_for_workers(2)
    jobs = site.order(5)
    site.wait_for_steps(jobs, 2)
    leaver = site.holder(next(job for job in jobs if site.get(job).lease))
    leaver.signal(signal.SIGTERM)
    site.until(lambda: leaver.pid not in site.ready_pids())
    assert leaver.process.wait(120) == 0
    site.wait_for_end(jobs)
    assert site.states(jobs) == SUCCEEDED
    assert all(site.get(job).losses == 0 for job in jobs)


def test_a_storm_of_cancelling(site: Any) -> None:
    """Twelve jobs are cancelled from many sides at once, several times: each ends once, and leaves nothing."""
    jobs = site.order(12)
    site.wait_for_steps(jobs)
    threads = [threading.Thread(target=site.services.store.cancel, args=[job.id]) for job in jobs * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    site.wait_for_end(jobs, site.recovery())
    assert site.states(jobs) <= {JobState.CANCELLED, JobState.SUCCEEDED}
    assert JobState.CANCELLED in site.states(jobs)


def test_jobs_are_deleted_while_they_run(site: Any) -> None:
    """DELETE in the middle of a batch: record and blobs are gone, the neighbours go on."""
    jobs = site.order(4)
    site.wait_for_steps(jobs)
    deleted, kept = jobs[:2], jobs[2:]
    for job in deleted:
        assert site.services.retention.erase(job.id)
    site.jobs = kept
    site.wait_for_end(kept)
    assert site.states(kept) == SUCCEEDED
    assert site.services.store.known([job.id for job in deleted]) == set()


def test_poison_beside_good_photos(site: Any) -> None:
    """What is no picture, half a picture, or one of another generator fails alone."""
    poison = [b"This is no picture.", site.crop[: len(site.crop) // 2], site.small_crop]
    bad = [job for crop in poison for job in site.order(crop=crop)]
    good = site.order(3)
    site.wait_for_end([*bad, *good])
    assert site.states(good) == SUCCEEDED
    assert [site.get(job).error.code for job in bad] == ["unsupported_format", "broken_image", "wrong_size"]
