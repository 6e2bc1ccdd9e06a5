"""Download of one file over https whose sha256 is known beforehand; an interrupted one goes on where it stopped."""

import hashlib
import http
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx

from nigaoe_core.errors import BrokenCheckpoint, DownloadFailed, StorageError, UsageError

CHUNK = 2**16
"""Bytes of one piece; at most so much is lost when the connection breaks."""

MAX_REDIRECTS = 5
TIMEOUT = httpx.Timeout(60, connect=10)
"""Seconds between two pieces, and to connect."""

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes in all, where the server tells."""


def fetch_file(url: str, target: Path, sha256: str, progress: Progress, *, ca_bundle: Path | None = None) -> None:
    """Download to ``target`` and check the digest; a file that is there already is only checked.

    Pieces gather in ``TARGET.part`` beside it. Redirects are followed to https addresses only.

    Args:
        url: An https address.
        target: Where the file shall lie.
        sha256: What its digest must be, 64 hexadecimal digits.
        progress: Told after every piece.
        ca_bundle: Certificates to trust instead of the usual ones.

    Raises:
        UsageError: The address is not https.
        DownloadFailed: The server cannot be reached, refuses, or stops; what has come is kept.
        BrokenCheckpoint: The file that came is another one; it is deleted.
        StorageError: The folder cannot be written to.
    """
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_file():
            trusted = ssl.create_default_context(cafile=ca_bundle) if ca_bundle else httpx.create_ssl_context()
            with httpx.Client(verify=trusted, timeout=TIMEOUT) as client:
                _download(client, url, part, progress)
            _check(part, url, sha256)
            part.replace(target)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise DownloadFailed(f"`{url}` broke off ({type(error).__name__}: {error}); try again to go on.") from error
    except OSError as error:
        raise StorageError(f"`{target.parent}` cannot be written ({error}); check its owner and space.") from error
    _check(target, url, sha256)


def _download(client: httpx.Client, url: str, part: Path, progress: Progress) -> None:
    start = part.stat().st_size if part.is_file() else 0
    with _opened(client, url, start) as response:
        if response.status_code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # Everything is there; the digest decides.
        if response.status_code != http.HTTPStatus.PARTIAL_CONTENT:
            start = 0  # The server does not resume and sends the whole file.
        length = response.headers.get("Content-Length")
        total = start + int(length) if length and length.isdigit() else None
        with part.open("ab" if start else "wb") as file:
            for piece in response.iter_raw(CHUNK):
                file.write(piece)
                start += len(piece)
                progress(start, total)
        if total is not None and start < total:
            raise DownloadFailed(f"`{url}` broke off after {start} of {total} bytes; try again to go on.")


@contextmanager
def _opened(client: httpx.Client, url: str, start: int) -> Iterator[httpx.Response]:
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    for _ in range(MAX_REDIRECTS + 1):
        if urlsplit(url).scheme != "https":
            raise UsageError(f"`{url}` is no https address; weights are fetched over https only.")
        with client.stream("GET", url, headers=headers) as response:
            if response.has_redirect_location:
                url = urljoin(url, response.headers["Location"])
                continue
            if response.status_code not in (200, 206, 416):
                raise DownloadFailed(f"`{url}` answered {response.status_code} {response.reason_phrase}.")
            yield response
            return
    raise DownloadFailed(f"`{url}` leads from one address to the next without end.")


def _check(path: Path, url: str, sha256: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        path.unlink()
        raise BrokenCheckpoint(f"What came from `{url}` has the sha256 {found}, not {sha256}; it was deleted.")
