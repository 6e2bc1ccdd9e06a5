"""The upload page and the API's reference: static files, compressed, with a strict policy of what they may load.

A page's document is asked for each time. What it loads, it loads from below ``assets/FINGERPRINT/``, which browsers
keep for good: the fingerprint is one of the whole folder, so modules and style sheets that name each other by relative
addresses need no rewriting, and a new version is fetched whole. The same files answer at their plain addresses, too,
and are asked for each time.
"""

import gzip
import hashlib
import mimetypes
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nigaoe_api.headers import matches
from nigaoe_core.settings import Settings

FOLDER: Final = Path(__file__).parent / "page"
REFERENCE: Final = Path(__file__).parent / "reference"
REFERENCE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Swagger UI brings its icons as data."""
FOREVER: Final = "public, max-age=31536000, immutable"
ASK_EACH_TIME: Final = "no-cache"
DOCUMENT: Final = "private, no-cache"
"""A visitor's cookie may come with it: no shared cache keeps it."""
INDEX: Final = "index.html"
CHECK_SECONDS: Final = 1.0
"""How often the files are compared again, for those who work on them."""

_PACKED_TYPES: Final = (".html", ".css", ".js", ".svg", ".webmanifest")
_PLAIN_ONLY: Final = ".webmanifest"
"""Its addresses are relative to where it lies, and name the page itself."""
_NAMED = re.compile(r'(?<=[ \n])(href|src)="([^":#?]+)([#"])')


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


@dataclass(frozen=True)
class _Content:
    """One file as it is sent."""

    plain: bytes
    packed: bytes | None  # By gzip; None where it would gain nothing.
    tag: str
    media_type: str


@dataclass(frozen=True)
class _Tree:
    """All files at one moment."""

    stamp: tuple[tuple[str, int, int], ...]
    fingerprint: str
    contents: Mapping[str, _Content]


class StaticTree:
    """Serves one folder.

    Args:
        folder: Read again whenever one of its files changes.
        document: Path of the page, such as ``/``.
        policy: The ``Content-Security-Policy`` of all its files.
    """

    def __init__(self, folder: Path, *, document: str, policy: str) -> None:
        self._folder = folder
        self._document = document
        self._policy = policy
        self._assets = f"{document.rstrip('/')}/assets"
        self._tree: _Tree | None = None
        self._checked_at = 0.0

    def routes(self, name: str) -> list[Route]:
        """The document and the fingerprinted files."""
        paths = [self._document, f"{self._assets}/{{fingerprint}}/{{path:path}}"]
        return [Route(path, self.serve, methods=["GET"], name=name, include_in_schema=False) for path in paths]

    def plain_routes(self, name: str) -> list[Route]:
        """One route for each file and folder, so that they answer for nothing else.

        A mount at ``/`` would hide which methods the API's own paths have.
        """
        entries = sorted(self._folder.iterdir())
        paths = [f"/{entry.name}" + ("/{path:path}" if entry.is_dir() else "") for entry in entries]
        return [Route(path, self.serve, methods=["GET"], name=name, include_in_schema=False) for path in paths]

    async def serve(self, request: Request) -> Response:
        """Answer for one file.

        Raises:
            HTTPException: 404, there is no such file.
        """
        tree = await run_in_threadpool(self._read)
        named = request.path_params.get("fingerprint")
        name = request.path_params["path"] if named else self._plain_name(request)
        content = tree.contents.get(name)
        if content is None:
            raise HTTPException(404)
        # An unknown fingerprint is another version's, while replicas are replaced: better the file than none.
        caching = DOCUMENT if name == INDEX else FOREVER if named == tree.fingerprint else ASK_EACH_TIME
        return self._response(content, request.headers, caching)

    def _plain_name(self, request: Request) -> str:
        path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
        return INDEX if path == self._document else str(path).lstrip("/")

    def _response(self, content: _Content, asked: Headers, caching: str) -> Response:
        headers = {
            "Content-Security-Policy": self._policy,
            "Cache-Control": caching,
            "ETag": content.tag,
            "Vary": "Accept-Encoding",
        }
        if matches(asked.get("if-none-match"), content.tag):
            return Response(status_code=304, headers=headers)
        if content.packed is not None and _accepts_gzip(asked.get("accept-encoding", "")):
            headers["Content-Encoding"] = "gzip"
            return Response(content.packed, headers=headers, media_type=content.media_type)
        return Response(content.plain, headers=headers, media_type=content.media_type)

    def _read(self) -> _Tree:
        now = time.monotonic()
        if self._tree is None or now > self._checked_at + CHECK_SECONDS:
            self._checked_at = now
            self._refresh()
        assert self._tree is not None  # noqa: S101 - set by the first refresh.
        return self._tree

    def _refresh(self) -> None:
        files = sorted(path for path in self._folder.rglob("*") if path.is_file())
        stats = [(path.relative_to(self._folder).as_posix(), path.stat()) for path in files]
        stamp = tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)
        if self._tree is None or self._tree.stamp != stamp:
            data = {name: (self._folder / name).read_bytes() for name, *_ in stamp}
            fingerprint = _fingerprint(data)
            data[INDEX] = self._with_assets(data[INDEX].decode(), fingerprint, frozenset(data)).encode()
            contents = {name: _content(name, content) for name, content in data.items()}
            self._tree = _Tree(stamp, fingerprint, contents)

    def _with_assets(self, document: str, fingerprint: str, names: frozenset[str]) -> str:
        """Let a document load its files from below the fingerprint; relative, so that it may lie behind any prefix."""
        prefix = f"{self._assets.lstrip('/')}/{fingerprint}"

        def replace(found: re.Match[str]) -> str:
            attribute, name, end = found.groups()
            is_asset = name in names and name != INDEX and not name.endswith(_PLAIN_ONLY)
            return f'{attribute}="{prefix}/{name}{end}' if is_asset else found[0]

        return _NAMED.sub(replace, document)


def _fingerprint(data: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in data.items():
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _content(name: str, content: bytes) -> _Content:
    packed = gzip.compress(content, 9, mtime=0) if name.endswith(_PACKED_TYPES) else content
    return _Content(
        plain=content,
        packed=packed if len(packed) < len(content) else None,
        tag=f'W/"{hashlib.sha256(content).hexdigest()[:32]}"',
        media_type=mimetypes.guess_type(name)[0] or "application/octet-stream",
    )


def _accepts_gzip(accepted: str) -> bool:
    """Whether a client takes gzip; one that refuses it says ``gzip;q=0``."""
    named = [entry.replace(" ", "").partition(";") for entry in accepted.lower().split(",")]
    return any(coding == "gzip" and not re.fullmatch(r"q=0(\.0*)?", quality) for coding, _, quality in named)
