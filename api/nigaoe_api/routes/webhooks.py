"""``POST /webhooks/test``: trying an address before a job depends on it."""

from fastapi import APIRouter

from nigaoe_api.dependencies import CallerDep, Tools
from nigaoe_api.errors import problems
from nigaoe_api.request_schemas import WebhookTestRequest
from nigaoe_api.schemas import WebhookTestView
from nigaoe_core import errors

router = APIRouter(prefix="/webhooks", tags=["webhooks"])


@router.post(
    "/test",
    summary="Test a webhook",
    responses=problems(errors.MalformedRequest, errors.InvalidRequest, errors.ForbiddenAddress, guarded=True),
)
async def test_webhook(request: WebhookTestRequest, caller: CallerDep, tools: Tools) -> WebhookTestView:
    """Send a signed event of the type `test` to an address, once, and tell how it was taken.

    It is signed with the secret that all webhooks of your jobs are. It counts as much as a photo.
    """
    tools.submission.check_webhook(request.url)
    await tools.limits.count_photos(caller, 1)
    return await tools.webhooks.test(request.url, caller.tenant)
