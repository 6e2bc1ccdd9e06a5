"""The upload page and the API's reference: static files with a strict policy of what they may load."""

from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.routing import Route

from nigaoe_api.static_tree import StaticTree
from nigaoe_core.settings import Settings

FOLDER: Final = Path(__file__).parent / "page"
REFERENCE: Final = Path(__file__).parent / "reference"
REFERENCE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Swagger UI brings its icons as data."""


def page_routes(settings: Settings) -> list[Route]:
    """The upload page: its document, and its files."""
    page = StaticTree(FOLDER, document="/", policy=content_policy(settings))
    return [*page.routes("page"), *page.plain_routes("page")]


def reference_routes() -> list[Route]:
    """The browsable reference of the API at ``/docs``."""
    return StaticTree(REFERENCE, document="/docs", policy=REFERENCE_POLICY).routes("reference")


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
