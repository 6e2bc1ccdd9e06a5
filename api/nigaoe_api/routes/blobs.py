"""``GET /blobs/{key}``: what the signed links of a folder store point to. The signature is the permission."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from nigaoe_api.dependencies import ServicesDep
from nigaoe_api.problem_responses import problems
from nigaoe_core import errors
from nigaoe_core.errors import UnknownBlob
from nigaoe_core.store.blob_store import PHOTO, checked_key, content_type

router = APIRouter(tags=["results"])


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
    services: ServicesDep,
    key: Annotated[str, Path(description="From a link; do not build it yourself.")],
    expires: Annotated[int, Query(ge=0, le=2**53)],
    signature: Annotated[str, Query(max_length=128)],
    download: Annotated[str | None, Query(max_length=128)] = None,
) -> Response:
    """A picture, for anyone who has the link, until it expires."""
    services.signer.verify(key, expires=expires, signature=signature, download_name=download)
    if checked_key(key).rpartition("/")[2] == PHOTO:
        raise UnknownBlob("Photos are never given out.")
    content = await run_in_threadpool(services.blobs.get, key)
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
