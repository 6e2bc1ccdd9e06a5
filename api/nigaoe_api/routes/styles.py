"""``GET /styles``: what there is to choose from, with sample pictures. Open to everyone: it shows nothing of anyone."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse

from nigaoe_api.dependencies import Base, Tools
from nigaoe_api.errors import problems
from nigaoe_api.request_schemas import ConvertOptions
from nigaoe_api.schemas import StyleSample, StylesView, StyleView
from nigaoe_api.style_catalogue import StyleCatalogue
from nigaoe_core import errors
from nigaoe_core.errors import CheckpointError, StorageError, UnknownStyle
from nigaoe_core.registry import Style
from nigaoe_core.store.job_store import JobStore
from nigaoe_core.style_methods import REFERENCE
from nigaoe_faces.align import AlignmentTemplate

router = APIRouter(prefix="/styles", tags=["styles"])


@router.get("", summary="List styles", responses=problems())
async def list_styles(tools: Tools, base: Base) -> StylesView:
    """The installed styles, and which of them a running worker serves now."""

    def read() -> StylesView:
        served = _served(tools.services.store)
        styles = [_view(style, tools.styles, base, served) for style in tools.styles.styles()]
        styles = [style.model_copy(update={"default": style is styles[0]}) for style in styles]
        return StylesView(default=styles[0].name if styles else None, styles=styles)

    return await run_in_threadpool(read)


@router.get(
    "/{style}/samples/{name}",
    summary="A sample picture",
    response_class=FileResponse,
    responses={
        200: {"description": "The picture.", "content": {"image/webp": {}, "image/png": {}, "image/jpeg": {}}},
        **problems(errors.UnknownAddress),
    },
)
async def show_sample(
    tools: Tools,
    style: Annotated[str, Path(description="Name of a style.")],
    name: Annotated[str, Path(description="From the list of styles.")],
) -> FileResponse:
    """A picture that shows what a style looks like."""
    path = await run_in_threadpool(tools.styles.sample_path, style, name)
    return FileResponse(path, headers={"Cache-Control": "public, max-age=3600"})


def _served(board: JobStore) -> frozenset[str]:
    try:
        return frozenset(style for worker in board.workers() if worker.ready for style in worker.styles)
    except StorageError:
        return frozenset()  # What is installed can be shown all the same.


def _alignment(style: Style, catalogue: StyleCatalogue) -> AlignmentTemplate | None:
    try:
        return catalogue.framing(style.name).template
    except (CheckpointError, UnknownStyle):
        return None  # Conversions will say so; the list shows the other styles all the same.


def _view(style: Style, catalogue: StyleCatalogue, base: str, served: frozenset[str]) -> StyleView:
    folder = f"{base}/styles/{style.name}/samples"
    samples = [
        StyleSample(
            title=sample.name,
            before=f"{folder}/{sample.before}" if sample.before else None,
            after=f"{folder}/{sample.after}",
        )
        for sample in catalogue.samples(style)
    ]
    return StyleView(
        name=style.name,
        title=style.title,
        description=style.description,
        resolution=style.facts.resolution if style.facts else 0,
        ready=style.name in served,
        default=False,  # Which one is the first is said where all are known.
        method=style.method,
        options=[name for name in style.options if name == REFERENCE or name in ConvertOptions.model_fields],
        needs_reference=style.needs_reference,
        truncation=None if style.is_feed_forward else style.truncation,
        licence=style.licence,
        alignment=_alignment(style, catalogue),
        samples=samples,
    )
