"""The page is served with a strict policy, and beside the API."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from nigaoe_api.page_files import FOLDER, StaticTree, content_policy
from nigaoe_core.settings import Settings

if TYPE_CHECKING:
    from conftest import Api


TYPES = {
    ".html": {"text/html"},
    ".css": {"text/css"},
    ".js": {"text/javascript", "application/javascript"},
    ".svg": {"image/svg+xml"},
    ".png": {"image/png"},
    ".jpg": {"image/jpeg"},
}
"""What browsers insist on under nosniff."""


def test_the_page_loads_only_what_is_its_own(client: httpx.Client) -> None:
    """No inline script, no other site, no frame around it."""
    answer = client.get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["Cache-Control"] == "private, no-cache"


def test_what_the_page_loads_is_kept_for_good(client: httpx.Client) -> None:
    """Below an address that changes with the content, compressed; modules find each other there, too."""
    document = client.get("/").text
    loaded = re.findall(r'(?:href|src)="(assets/[0-9a-f]{16}/[^"#]+)', document)
    assert len(loaded) > 40
    assert len({address.split("/")[1] for address in loaded}) == 1
    script = next(address for address in loaded if address.endswith("main.js"))
    answer = client.get(f"/{script}", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert (answer.headers["Content-Encoding"], answer.headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert answer.content == (FOLDER / "js" / "main.js").read_bytes()
    assert int(answer.headers["Content-Length"]) < len(answer.content)
    module = re.search(r'"\./([^"]+)"', answer.text)
    assert module is not None
    assert client.get(f"/{script.rpartition('/')[0]}/{module[1]}").status_code == 200


@pytest.mark.parametrize("accepted", ["identity", "gzip;q=0", "br"])
def test_who_takes_no_gzip_gets_none(client: httpx.Client, accepted: str) -> None:
    """The file as it is."""
    answer = client.get("/js/main.js", headers={"Accept-Encoding": accepted})
    assert "Content-Encoding" not in answer.headers
    assert answer.content == (FOLDER / "js" / "main.js").read_bytes()


def test_another_versions_address_gets_the_file_and_does_not_keep_it(client: httpx.Client) -> None:
    """While replicas are replaced, the document is one's and the script the other's."""
    answer = client.get("/assets/0123456789abcdef/js/main.js")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-cache")


def test_a_changed_file_has_another_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So nobody sees the old one."""
    monkeypatch.setattr("nigaoe_api.page_files.CHECK_SECONDS", -1)
    (tmp_path / "index.html").write_text('<link href="a.css" /><a href="./">home</a><link href="m.webmanifest" />')
    (tmp_path / "m.webmanifest").write_text("{}")
    (tmp_path / "a.css").write_text("a {}")
    client = TestClient(Starlette(routes=StaticTree(tmp_path, document="/", policy="").routes("page")))
    first = client.get("/").text
    assert re.fullmatch(
        r'<link href="assets/[0-9a-f]{16}/a.css" /><a href="./">home</a><link href="m.webmanifest" />', first
    )
    (tmp_path / "a.css").write_text("b {}  ")
    second = client.get("/").text
    assert second != first
    assert client.get("/" + second.split('"')[1]).text == "b {}  "


def test_every_file_of_the_page_is_served(client: httpx.Client) -> None:
    """With a type that browsers accept under nosniff."""
    for path in FOLDER.rglob("*"):
        if path.suffix in TYPES:
            answer = client.get(f"/{path.relative_to(FOLDER).as_posix()}")
            assert answer.status_code == 200, path
            assert answer.headers["Content-Type"].partition(";")[0] in TYPES[path.suffix], path


def test_an_unchanged_file_is_not_sent_again(client: httpx.Client) -> None:
    """Browsers ask each time; the answer is short."""
    tag = client.get("/index.html").headers["ETag"]
    assert client.get("/index.html", headers={"If-None-Match": tag}).status_code == 304


@pytest.mark.parametrize("path", ["/js/../../app.py", "/js/%2e%2e/%2e%2e/app.py", "/js/nothing.js", "/app.py"])
def test_nothing_beside_the_page_is_served(client: httpx.Client, path: str) -> None:
    """The source is public, but not from here."""
    assert client.get(path).status_code == 404


def test_a_service_may_have_no_page(special_api: Callable[..., "Api"]) -> None:
    """Only the interface, then."""
    client = special_api(page=False).client()
    assert client.get("/").status_code == 404
    assert client.get("/livez").status_code == 200


def test_pictures_may_come_from_the_bucket(tmp_path: Path) -> None:
    """Where presigned links lead."""

    def policy(**changes: str) -> str:
        return content_policy(Settings(data_dir=tmp_path, _env_file=None, **changes))  # type: ignore[call-arg, arg-type]  # pydantic-settings' own.

    assert "img-src 'self' blob: data:;" in policy()
    assert "img-src 'self' blob: data: https://*.amazonaws.com;" in policy(blob_store="s3://b/p")
    bucket = policy(
        blob_store="s3://b/p", s3_endpoint_url="http://s3:8333", s3_public_endpoint_url="https://p.example/x"
    )
    assert "img-src 'self' blob: data: https://p.example;" in bucket
    assert "connect-src 'self' https://p.example;" in bucket
