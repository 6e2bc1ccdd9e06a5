"""The truth about jobs: the contract here; the rules in `lifecycle`; the store over a table in memory or in Redis."""

from core.job_store.contract import (
    AdmissionLimits,
    Claim,
    Doorbell,
    Due,
    Erased,
    Idempotency,
    JobDesk,
    JobLeases,
    JobPage,
    JobStore,
    JobUpkeep,
    QueueReport,
    Repairs,
    Submission,
    WorkerBoard,
)

__all__ = [
    "AdmissionLimits",
    "Claim",
    "Doorbell",
    "Due",
    "Erased",
    "Idempotency",
    "JobDesk",
    "JobLeases",
    "JobPage",
    "JobStore",
    "JobUpkeep",
    "QueueReport",
    "Repairs",
    "Submission",
    "WorkerBoard",
]
