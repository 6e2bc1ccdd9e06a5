"""Claiming jobs and writing to them under a fencing token."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from typing_extensions import override

from nigaoe_core.errors import LeaseLost, UnknownJob
from nigaoe_core.jobs import Failure, FoundFace, Job, JobState, Outcome, Progress, Seconds, UnixTime
from nigaoe_core.store.contract import Claim, JobLeases
from nigaoe_core.store.ledger import Ledger
from nigaoe_core.store.lifecycle import (
    cancelled,
    check_held,
    claimed,
    expired,
    failed,
    handed_back,
    lost,
    renewed,
    succeeded,
)


class LedgerLeases(Ledger, JobLeases):
    """`JobLeases` over a table."""

    @override
    def claim(self, job_id: str, attempt: int, worker: str) -> Claim | None:
        def rule(job: Job, now: UnixTime) -> Job:
            if job.state is not JobState.QUEUED or job.attempt != attempt:
                return job
            if now >= job.deadline_at:
                return expired(job, now, self.policy)
            won.append(claimed(job, worker, now, self.policy))
            return won[-1]

        won: list[Job] = []  # One for each round; only the last round's may have been stored.
        try:
            job = self.change(job_id, rule)
        except UnknownJob:
            return None
        return Claim(job, job.fencing_token) if won and job is won[-1] else None

    @override
    def heartbeat(
        self,
        claim: Claim,
        *,
        progress: Progress | None = None,
        timings: Mapping[str, Seconds] | None = None,
        faces: Sequence[FoundFace] | None = None,
        blobs: Mapping[str, str] | None = None,
    ) -> Job:
        def rule(job: Job, now: UnixTime) -> Job:
            check_held(job, claim)
            news: dict[str, Any] = {}
            if progress is not None:
                news["progress"] = progress
            if timings:
                news["timings"] = job.timings | dict(timings)
            if faces is not None:
                news["faces"] = tuple(faces)
            if blobs:
                news["blobs"] = job.blobs | dict(blobs)
            return renewed(job, now, self.policy, news)

        return self._held(claim, rule)

    @override
    def succeed(self, claim: Claim, outcome: Outcome) -> Job:
        return self._finish(claim, JobState.SUCCEEDED, lambda job, now: succeeded(job, outcome, now, self.policy))

    @override
    def fail(self, claim: Claim, failure: Failure) -> Job:
        return self._finish(claim, JobState.FAILED, lambda job, now: failed(job, failure, now, self.policy))

    @override
    def finish_cancelled(self, claim: Claim) -> Job:
        return self._finish(claim, JobState.CANCELLED, lambda job, now: cancelled(job, now, self.policy))

    @override
    def finish_expired(self, claim: Claim) -> Job:
        return self._finish(claim, JobState.EXPIRED, lambda job, now: expired(job, now, self.policy))

    @override
    def hand_back(self, claim: Claim, *, device_lost: bool = False) -> Job:
        back = lost if device_lost else handed_back

        def rule(job: Job, now: UnixTime) -> Job:
            # The same claim did this already, whatever came of it; its reply was lost.
            is_done = job.lease is None and job.state is not JobState.SUCCEEDED
            if is_done and job.fencing_token == claim.token:
                return job
            return back(check_held(job, claim), now, self.policy)

        return self._held(claim, rule)

    def _finish(self, claim: Claim, state: JobState, ending: Callable[[Job, UnixTime], Job]) -> Job:
        def rule(job: Job, now: UnixTime) -> Job:
            # The same claim did this already; its reply was lost.
            if job.state is state and job.fencing_token == claim.token:
                return job
            return ending(check_held(job, claim), now)

        return self._held(claim, rule)

    def _held(self, claim: Claim, rule: Callable[[Job, UnixTime], Job]) -> Job:
        try:
            return self.change(claim.job_id, rule)
        except UnknownJob as error:
            raise LeaseLost("This job was deleted: drop it and its pictures.") from error
