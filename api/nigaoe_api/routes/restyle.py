"""``POST /jobs/{id}/restyle``: another look of a face that was found before."""

from fastapi import APIRouter, Response

from nigaoe_api.dependencies import CallerDep, IdempotencyKey, JobId, PreferredWait, ServicesDep, Tools, Views
from nigaoe_api.intake import order_of
from nigaoe_api.problem_responses import problems
from nigaoe_api.request_schemas import RestyleRequest
from nigaoe_api.routes.answers import answer_order
from nigaoe_api.schemas import BatchView, JobView
from nigaoe_core import errors

router = APIRouter(prefix="/jobs", tags=["convert"])


@router.post(
    "/{job_id}/restyle",
    status_code=202,
    response_model=JobView,
    summary="Restyle a face",
    responses={
        200: {"description": "Finished in time (`Prefer: wait`).", "model": JobView},
        **problems(
            errors.UnknownJob,
            errors.NoResult,
            errors.NoSuchResult,
            errors.UnknownStyle,
            errors.ParentMismatch,
            errors.MalformedRequest,
            errors.InvalidRequest,
            errors.IdempotencyConflict,
            errors.ForbiddenAddress,
            errors.QueueFull,
            errors.QuotaExceeded,
            errors.BlobStoreUnavailable,
            guarded=True,
        ),
    },
)
async def restyle(
    job_id: JobId,
    changes: RestyleRequest,
    response: Response,
    caller: CallerDep,
    tools: Tools,
    services: ServicesDep,
    views: Views,
    wait: PreferredWait,
    idempotency_key: IdempotencyKey = None,
) -> JobView | BatchView:
    """Draw the stored latent again in another style, degree, truncation or colours.

    It takes a fraction of a second, so ask for it with `Prefer: wait=10`.
    """
    fields = changes.model_dump(mode="json", exclude_none=True)
    order = order_of(caller, idempotency_key, f"restyle {job_id}", fields, ())
    submission = await tools.restyles.order(order, job_id, changes)
    return await answer_order(submission, services, views, response, wait)
