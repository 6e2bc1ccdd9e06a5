"""``GET /jobs/{id}/result`` and its siblings: short-lived links to pictures; ``GET /blobs/{key}``: what they point to.

Those that few ask for are made before the first link to them is given (`nigaoe_api.result_renderer`). The link is a
presigned address where blobs are in S3, and a signed path below ``/blobs`` where they are files: there the signature is
the permission.
"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Path, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from nigaoe_api.dependencies import Base, OwnJob, Tools
from nigaoe_api.errors import problems
from nigaoe_core import errors
from nigaoe_core.errors import NoResult, NoSuchResult, UnknownBlob
from nigaoe_core.jobs import Job, JobState
from nigaoe_core.store.blob_store import (
    ANIMATION,
    COMPARE,
    LATENT,
    PASTED,
    RESULT_PNG,
    RESULT_WEBP,
    UPLOADS,
    checked_key,
    content_type,
)

router = APIRouter(tags=["results"])

PICTURES: Final = {
    "result.png": (RESULT_PNG, "The anime portrait as PNG"),
    "result.webp": (RESULT_WEBP, "The anime portrait as WebP"),
    "compare": (COMPARE, "Photo and portrait side by side"),
    "animation": (ANIMATION, "How the portrait was found, as an animation"),
    "pasted": (PASTED, "The portrait pasted back into the photo"),
    "latent": (LATENT, "The latent that was found: personal data, since it can draw the face again"),
}

Download = Annotated[bool, Query(description="Save it as a file instead of showing it.")]

_RESPONSES = {
    307: {"description": "A short-lived link to the content."},
    **problems(
        errors.UnknownJob,
        errors.NoResult,
        errors.NoSuchResult,
        errors.InvalidRequest,
        errors.BlobStoreUnavailable,
        errors.StorageFull,
        guarded=True,
    ),
}


class Links:
    """Makes links to the pictures of jobs that the request may see.

    Args:
        tools: Where they are, what makes those that are missing yet, and how long a link lives.
        base: Put before links to this API.
    """

    def __init__(self, tools: Tools, base: Base) -> None:
        self._services = tools.services
        self._renderer = tools.renderer
        self._seconds = tools.settings.link_seconds
        self._base = base

    async def to(self, job: Job, *blobs: str, download: bool) -> RedirectResponse:
        """Redirect to the first of these blobs that the job has.

        Raises:
            NoResult: It has not succeeded.
            NoSuchResult: It has none of these blobs.
            StorageFull: It could not be kept when it was made.
        """
        name = await run_in_threadpool(self._find, job, blobs)
        await self._renderer.provide(job, name)
        return await run_in_threadpool(self._redirect, job, name, download)

    def _find(self, job: Job, blobs: tuple[str, ...]) -> str:
        if job.state is not JobState.SUCCEEDED:
            raise NoResult(
                f"The job is {job.state}; only a job that has succeeded has a result.", state=job.state.value
            )
        name = next((name for name in blobs if name in job.blobs), None)
        if name is None or self._is_gone(job, name):
            raise NoSuchResult("This job has no such picture; its links show what it has.")
        return name

    def _redirect(self, job: Job, name: str, download: bool) -> RedirectResponse:  # noqa: FBT001 - a thread's arguments are positional.
        file_name = f"nigaoe-{job.id[:8]}-{name}" if download else None
        link = self._services.blobs.link(job.blobs[name], seconds=self._seconds, download_name=file_name)
        return RedirectResponse(f"{self._base}{link}" if link.startswith("/") else link, status_code=307)

    def _is_gone(self, job: Job, name: str) -> bool:
        """A restyle shares blobs with its parent, which may have been deleted."""
        key = job.blobs[name]
        return not key.startswith(f"{job.folder}/") and not self._services.blobs.exists(key)


LinksDep = Annotated[Links, Depends(Links)]


@router.get(
    "/jobs/{job_id}/result",
    status_code=307,
    response_class=RedirectResponse,
    summary="The result",
    responses=_RESPONSES,
)
async def show_result(
    job: OwnJob, links: LinksDep, accept: Annotated[str, Header()] = "", *, download: Download = False
) -> RedirectResponse:
    """The anime portrait: as WebP for clients that name `image/webp` and not `image/png` in `Accept`, else as PNG."""
    prefers_webp = "image/webp" in accept and "image/png" not in accept
    order = (RESULT_WEBP, RESULT_PNG) if prefers_webp else (RESULT_PNG, RESULT_WEBP)
    redirect = await links.to(job, *order, download=download)
    redirect.headers["Vary"] = "Accept"
    return redirect


def _add_route(path: str, blob: str, summary: str) -> None:
    async def show(job: OwnJob, links: LinksDep, *, download: Download = False) -> RedirectResponse:
        """Only jobs that have succeeded have it; their `links` say which pictures there are."""
        return await links.to(job, blob, download=download)

    router.add_api_route(
        f"/jobs/{{job_id}}/{path}",
        show,
        status_code=307,
        response_class=RedirectResponse,
        summary=summary,
        name=f"show_{path.replace('.', '_')}",
        responses=_RESPONSES,
    )


for _path, (_blob, _summary) in PICTURES.items():
    _add_route(_path, _blob, _summary)


@router.get(
    "/blobs/{key:path}",
    summary="Follow a signed link",
    response_class=Response,
    responses={
        200: {
            "description": "The content.",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        },
        **problems(
            errors.LinkError,
            errors.LinkExpired,
            errors.UnknownBlob,
            errors.InvalidBlobKey,
            errors.InvalidRequest,
            errors.BlobStoreUnavailable,
        ),
    },
)
async def show_blob(
    tools: Tools,
    key: Annotated[str, Path(description="From a link; do not build it yourself.")],
    expires: Annotated[int, Query(ge=0, le=2**53)],
    signature: Annotated[str, Query(max_length=128)],
    download: Annotated[str | None, Query(max_length=128)] = None,
) -> Response:
    """A picture, for anyone who has the link, until it expires."""
    tools.services.signer.verify(key, expires=expires, signature=signature, download_name=download)
    if checked_key(key).rpartition("/")[2] in UPLOADS:
        raise UnknownBlob("Uploads are never given out.")
    content = await run_in_threadpool(tools.services.blobs.get, key)
    disposition = "inline" if download is None else f'attachment; filename="{_plain(download)}"'
    return Response(
        content,
        media_type=content_type(key),
        headers={
            "Content-Disposition": disposition,
            "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
        },
    )


def _plain(name: str) -> str:
    """A file name that needs no quoting; ours never do."""
    return "".join(
        character for character in name if character.isascii() and (character.isalnum() or character in ".-_")
    )
