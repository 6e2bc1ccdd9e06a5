"""The upload page: static files with a strict policy of what they may load."""

from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope
from typing_extensions import override

from core.settings import Settings

FOLDER: Final = Path(__file__).parent / "page"


class PageFiles(StaticFiles):
    """Serves ``api/page``.

    Args:
        settings: Where pictures may come from besides this address.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(directory=FOLDER, html=True)
        self._policy = content_policy(settings)

    @override
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Content-Security-Policy"] = self._policy
        response.headers["Cache-Control"] = "no-cache"  # Ask each time whether it changed; the tag makes that cheap.
        return response


def page_routes(settings: Settings) -> list[Route]:
    """One route for each file and folder of the page.

    So it answers for nothing else: a mount at ``/`` would hide which methods the API's own paths have.
    """
    files = PageFiles(settings)
    paths = ["/"] + [
        f"/{entry.name}" + ("/{path:path}" if entry.is_dir() else "") for entry in sorted(FOLDER.iterdir())
    ]
    return [Route(path, files, methods=["GET"], name="page", include_in_schema=False) for path in paths]


def content_policy(settings: Settings) -> str:
    """The page's ``Content-Security-Policy``: everything from here, pictures also from the bucket."""
    bucket = _bucket_origin(settings)
    sources: dict[str, Any] = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": f"'self' blob: data: {bucket}",
        "media-src": "'self' blob:",
        "connect-src": f"'self' {bucket}",
        "font-src": "'self'",
        "manifest-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {source}".strip() for name, source in sources.items())


def _bucket_origin(settings: Settings) -> str:
    if not settings.blob_location.startswith("s3://"):
        return ""
    address = settings.s3_public_endpoint_url or settings.s3_endpoint_url
    if address is None:
        return "https://*.amazonaws.com"
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"
