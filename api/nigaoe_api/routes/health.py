"""``/livez``, ``/readyz``, ``/version``, ``/metrics``: for those who run the service."""

import importlib.metadata

from fastapi import APIRouter, Response

from nigaoe_api.dependencies import Tools
from nigaoe_api.errors import problems
from nigaoe_api.metrics import CONTENT_TYPE
from nigaoe_api.schemas import LiveView, ReadyView, VersionView

router = APIRouter(tags=["operation"])

VERSION = importlib.metadata.version("nigaoe")


@router.get("/livez", summary="Is the process alive?", responses=problems())
async def show_live() -> LiveView:
    """Answers as soon as the process does, whatever else is missing."""
    return LiveView()


@router.get(
    "/readyz",
    summary="Would a photo be converted?",
    responses={503: {"description": "Something is missing; `checks` says what.", "model": ReadyView}, **problems()},
)
async def show_ready(tools: Tools, response: Response) -> ReadyView:
    """Ready when the stores answer, the face detector is loaded, and at least one worker has warmed up."""
    view = await tools.readiness.check()
    response.status_code = 200 if view.ready else 503
    return view


@router.get("/version", summary="Which version runs?", responses=problems())
async def show_version() -> VersionView:
    """The version of Nigaoe, and of this interface."""
    return VersionView(version=VERSION)


@router.get(
    "/metrics",
    summary="Measurements for Prometheus",
    response_class=Response,
    responses={
        200: {"description": "Prometheus's text format.", "content": {"text/plain": {"schema": {"type": "string"}}}},
        **problems(),
    },
)
async def show_metrics(tools: Tools) -> Response:
    """Requests of this process; queue and workers of the whole service. Nothing in it belongs to a person."""
    page = await tools.readiness.in_own_thread(tools.metrics.exposition)
    return Response(page, headers={"Content-Type": CONTENT_TYPE})


# Probes that look at nothing but the status; the document describes them once, as GET.
router.add_api_route("/livez", show_live, methods=["HEAD"], include_in_schema=False)
router.add_api_route("/readyz", show_ready, methods=["HEAD"], include_in_schema=False)
