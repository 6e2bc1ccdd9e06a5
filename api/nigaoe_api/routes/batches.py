"""``/batches/{id}``: the jobs of one request with several photos, shown and deleted together."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.concurrency import run_in_threadpool

from nigaoe_api.batches import job_ids
from nigaoe_api.dependencies import CallerDep, ServicesDep, Views
from nigaoe_api.problem_responses import problems
from nigaoe_api.schemas import BatchView
from nigaoe_core import errors
from nigaoe_core.errors import UnknownJob

router = APIRouter(prefix="/batches", tags=["jobs"])

BatchId = Annotated[str, Path(description="From the answer to `POST /convert` with several photos.")]


@router.get("/{batch_id}", summary="Show a batch", responses=problems(errors.UnknownJob, guarded=True))
async def show_batch(
    batch_id: BatchId,
    caller: CallerDep,
    services: ServicesDep,
    views: Views,
) -> BatchView:
    """The jobs of a batch in the order of the photos. Each job can be followed and deleted by itself, too."""

    def read() -> BatchView:
        jobs = services.store.get_many(job_ids(batch_id), tenant=caller.tenant)
        if not jobs:
            raise UnknownJob("There is no such batch.")
        return views.batch(batch_id, jobs)

    return await run_in_threadpool(read)


@router.delete(
    "/{batch_id}",
    status_code=204,
    summary="Delete a batch",
    responses=problems(errors.UnknownJob, errors.BlobStoreUnavailable, guarded=True),
)
async def delete_batch(batch_id: BatchId, caller: CallerDep, services: ServicesDep) -> None:
    """Stop the batch's jobs, and erase everything about them, as `DELETE /jobs/{id}` does for each.

    Deleting again is a success, too.
    """

    def erase() -> None:
        for job_id in job_ids(batch_id):
            services.retention.erase(job_id, tenant=caller.tenant)

    await run_in_threadpool(erase)
