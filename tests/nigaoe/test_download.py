"""Fetching over https with a known digest, from a real server with a certificate of its own."""

import hashlib
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme
from typer.testing import CliRunner

from nigaoe.cli import app
from nigaoe.download import CHUNK, fetch_file
from nigaoe_core.errors import BrokenCheckpoint, DownloadFailed, UsageError
from nigaoe_core.manifest import DownloadRow, Manifest, edit_manifest
from nigaoe_core.registry import Registry

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """A server that the tests can make misbehave.

    Attributes:
        url: Its address.
        ca: The certificate that vouches for it.
        ranges: The Range header of every request, in order.
        stop_after: Break off after so many bytes; None: never.
        resumes: Whether it understands Range.
        content: What it sends.
    """

    url: str
    ca: Path
    ranges: list[str | None] = field(default_factory=list)
    stop_after: int | None = None
    resumes: bool = True
    content: bytes = CONTENT


def _answer(server: Server, request: BaseHTTPRequestHandler) -> None:
    wanted = request.headers.get("Range")
    server.ranges.append(wanted)
    if request.path == "/elsewhere":
        request.send_response(302)
        request.send_header("Location", "/weights.pkl")
        request.end_headers()
        return
    if request.path == "/plain":
        request.send_response(302)
        request.send_header("Location", "http://127.0.0.1:9/weights.pkl")
        request.end_headers()
        return
    if request.path != "/weights.pkl":
        request.send_error(404)
        return
    start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.resumes else 0
    if start >= len(server.content):
        request.send_error(416)
        return
    body = server.content[start:]
    request.send_response(206 if start else 200)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body if server.stop_after is None else body[: server.stop_after])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A real https server on a free port."""
    authority = trustme.CA()
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    description = Server("", ca)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(description, self)

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
        description.url = f"https://127.0.0.1:{httpd.server_port}"
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield description
        httpd.shutdown()
        thread.join()


def _fetch(
    server: Server, target: Path, path: str = "/weights.pkl", sha256: str = SHA256
) -> list[tuple[int, int | None]]:
    seen: list[tuple[int, int | None]] = []
    fetch_file(server.url + path, target, sha256, lambda done, total: seen.append((done, total)), ca_bundle=server.ca)
    return seen


def test_a_file_comes_whole_with_progress(server: Server, tmp_path: Path) -> None:
    """The digest was right, the last report says everything, and nothing half remains."""
    seen = _fetch(server, tmp_path / "new" / "weights.pkl")
    assert (tmp_path / "new" / "weights.pkl").read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["weights.pkl"]


def test_what_is_there_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    """Only its digest is checked."""
    _fetch(server, tmp_path / "weights.pkl")
    _fetch(server, tmp_path / "weights.pkl")
    assert len(server.ranges) == 1


@pytest.mark.parametrize("resumes", [True, False])
def test_an_interrupted_download_goes_on(server: Server, tmp_path: Path, resumes: bool) -> None:
    """From the byte where it stopped, or from the beginning where the server cannot do better."""
    server.stop_after, server.resumes = 300_000, resumes
    with pytest.raises(DownloadFailed, match="broke off"):
        _fetch(server, tmp_path / "weights.pkl")
    assert not (tmp_path / "weights.pkl").exists()
    server.stop_after = None
    _fetch(server, tmp_path / "weights.pkl")
    assert (tmp_path / "weights.pkl").read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={300_000 // CHUNK * CHUNK}-"]


def test_a_complete_part_is_only_checked(server: Server, tmp_path: Path) -> None:
    """The last byte came, the connection broke before anybody noticed."""
    (tmp_path / "weights.pkl.part").write_bytes(CONTENT)
    _fetch(server, tmp_path / "weights.pkl")
    assert (tmp_path / "weights.pkl").read_bytes() == CONTENT


def test_another_file_is_deleted(server: Server, tmp_path: Path) -> None:
    """What has another digest is not kept, so that the next try begins anew."""
    with pytest.raises(BrokenCheckpoint, match=SHA256):
        _fetch(server, tmp_path / "weights.pkl", sha256="0" * 64)
    assert [path.name for path in tmp_path.iterdir()] == ["ca.pem"]


def test_redirects_lead_to_https_only(server: Server, tmp_path: Path) -> None:
    """One that stays on https is followed, one that leaves it is refused."""
    _fetch(server, tmp_path / "weights.pkl", "/elsewhere")
    with pytest.raises(UsageError, match="https only"):
        _fetch(server, tmp_path / "other.pkl", "/plain")


def test_what_is_not_there_is_said_not_to_be(server: Server, tmp_path: Path) -> None:
    """With the server's own word for it."""
    with pytest.raises(DownloadFailed, match="404"):
        _fetch(server, tmp_path / "weights.pkl", "/nothing")


def test_an_unknown_certificate_is_not_trusted(server: Server, tmp_path: Path) -> None:
    """A certificate that nobody vouches for ends the connection."""
    with pytest.raises(DownloadFailed, match="CERTIFICATE_VERIFY_FAILED"):
        fetch_file(server.url + "/weights.pkl", tmp_path / "weights.pkl", SHA256, lambda *_: None)


def test_the_command_fetches_and_imports(
    server: Server, tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From an entry of the manifest to a registered generator; the licence is shown, accepted and kept."""
    server.content = (repository / "tests" / "data" / "golden" / "rosinality-64.pt").read_bytes()
    monkeypatch.setenv("NIGAOE_DATA_DIR", str(tmp_path / "data"))
    digest = hashlib.sha256(server.content).hexdigest()
    row = DownloadRow(url=f"{server.url}/weights.pkl", sha256=digest, licence="CC0-1.0", title="Golden")
    edit_manifest(tmp_path / "data" / "weights", lambda _: Manifest(downloads={"golden": row}))
    arguments = ["weights", "fetch", "golden", "--accept-licence", "--ca-bundle", str(server.ca)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    assert "CC0-1.0" in result.output
    entry = Registry.load(user=tmp_path / "data" / "weights").generator("golden")
    assert (entry.title, entry.licence, entry.source) == ("Golden", "CC0-1.0", row.url)
    assert entry.facts is not None
