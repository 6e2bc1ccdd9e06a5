"""``GET /batches/{id}``: the jobs of one request with several photos."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.concurrency import run_in_threadpool

from api.batches import job_ids
from api.dependencies import CallerDep, ServicesDep, Views
from api.problem_responses import problems
from api.schemas import BatchView
from core import errors
from core.errors import UnknownJob
from core.job_store import JobDesk
from core.jobs import Job

router = APIRouter(prefix="/batches", tags=["jobs"])


@router.get("/{batch_id}", summary="Show a batch", responses=problems(errors.UnknownJob, guarded=True))
async def show_batch(
    batch_id: Annotated[str, Path(description="From the answer to `POST /convert` with several photos.")],
    caller: CallerDep,
    services: ServicesDep,
    views: Views,
) -> BatchView:
    """The jobs of a batch in the order of the photos. Each job can be followed and deleted by itself."""

    def read() -> BatchView:
        jobs = [job for job_id in job_ids(batch_id) if (job := _found(services.store, job_id, caller.tenant))]
        if not jobs:
            raise UnknownJob("There is no such batch.")
        return views.batch(batch_id, jobs)

    return await run_in_threadpool(read)


def _found(store: JobDesk, job_id: str, tenant: str) -> Job | None:
    try:
        return store.get(job_id, tenant=tenant)
    except UnknownJob:
        return None
