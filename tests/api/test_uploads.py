"""Forms and JSON as they come from the wild: read, or refused with a code, never a crash."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from nigaoe_api.uploads import Upload, read_upload
from nigaoe_core.errors import NigaoeError
from nigaoe_core.settings import Settings

if TYPE_CHECKING:
    from conftest import Api

SETTINGS = Settings(max_upload_bytes=2048, max_request_bytes=8192, max_photos_per_request=3, _env_file=None)  # type: ignore[call-arg]  # pydantic-settings' own argument.
BOUNDARY = b"frontier"


def upload(body: bytes, content_type: str, pieces: int = 1, *, takes_reference: bool = False) -> Upload:
    """Read a body that arrives in so many pieces."""
    size = max(1, -(-len(body) // pieces))
    messages = [
        {"type": "http.request", "body": body[start : start + size], "more_body": True}
        for start in range(0, len(body), size)
    ] + [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        return messages.pop(0)

    headers = [(b"content-type", content_type.encode("latin-1"))]
    scope = {"type": "http", "method": "POST", "headers": headers, "query_string": b""}
    return asyncio.run(read_upload(Request(scope, receive), SETTINGS, takes_reference=takes_reference))


def part(name: str, content: bytes, *, file_name: str | None = None) -> bytes:
    disposition = f'form-data; name="{name}"' + (f'; filename="{file_name}"' if file_name is not None else "")
    return b"--" + BOUNDARY + f"\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"


def refusal(
    body: bytes, content_type: str = "multipart/form-data; boundary=frontier", *, takes_reference: bool = False
) -> str:
    with pytest.raises(NigaoeError) as caught:
        upload(body, content_type, takes_reference=takes_reference)
    return caught.value.code


def status(body: bytes, content_type: str, pieces: int = 1) -> int:
    """How the request would be answered so far."""
    try:
        upload(body, content_type, pieces)
    except NigaoeError as error:
        return error.status
    return 200


@pytest.mark.parametrize("pieces", [1, 2, 7, 1000])
def test_a_form_is_read_however_it_is_cut(pieces: int) -> None:
    """Photos in their order, fields by name, empty inputs left out."""
    body = form(
        part("degree", b"0.5"),
        part("photo", b"\x00one\r\n--front", file_name="a.jpg"),
        part("webhook_url", b""),
        part("photo", b"two", file_name=""),
    )
    read = upload(body, "multipart/form-data; boundary=frontier", pieces)
    assert read.photos == (b"\x00one\r\n--front", b"two")
    assert read.fields == {"degree": "0.5"}


PHOTO = part("photo", b"x", file_name="a")
REFERENCE = part("reference", b"anime", file_name="r")


@pytest.mark.parametrize(
    ("body", "photos", "reference", "fields"),
    [
        (form(PHOTO, REFERENCE), 1, b"anime", {}),
        (form(REFERENCE, *[PHOTO] * 3, part("seed", b"1")), 3, b"anime", {"seed": "1"}),
        (form(REFERENCE, part("photo_token", b"t")), 0, b"anime", {"photo_token": "t"}),
        (form(part("photo_token", b"t")), 0, None, {"photo_token": "t"}),
        (form(PHOTO, part("reference", b"", file_name="")), 1, None, {}),
        (form(PHOTO, part("reference", b"")), 1, None, {}),
        (form(PHOTO, part("reference", b"", file_name="empty.png")), 1, b"", {}),
    ],
)
def test_a_form_may_have_a_reference(body: bytes, photos: int, reference: bytes | None, fields: dict[str, str]) -> None:
    """Beside photos or a kept photo's token; an empty input of an HTML form is none, an empty file is one."""
    read = upload(body, "multipart/form-data; boundary=frontier", takes_reference=True)
    assert (len(read.photos), read.reference, read.fields) == (photos, reference, fields)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (form(REFERENCE), "invalid_request"),
        (form(PHOTO, REFERENCE, REFERENCE), "invalid_request"),
        (form(PHOTO, part("reference", b"text")), "invalid_request"),
        (form(*[PHOTO] * 4), "malformed_request"),
        (form(*[PHOTO] * 4, REFERENCE), "malformed_request"),
        (form(PHOTO, part("reference", b"x" * 2049, file_name="r")), "image_too_large"),
    ],
)
def test_broken_references_are_refused(body: bytes, code: str) -> None:
    """Alone, twice, as text, as one photo too many, too large."""
    assert refusal(body, takes_reference=True) == code


def test_a_reference_is_refused_where_none_is_taken() -> None:
    """As every unknown file is, and a token does not take a photo's place there."""
    assert refusal(form(PHOTO, REFERENCE)) == "invalid_request"
    assert refusal(form(part("photo_token", b"t"))) == "invalid_request"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (form(), "invalid_request"),
        (form(part("degree", b"1")), "invalid_request"),
        (form(part("photo", b"no file name")), "invalid_request"),
        (form(part("photo", b"x", file_name="a"), part("seed", b"1"), part("seed", b"2")), "invalid_request"),
        (form(part("photo", b"x", file_name="a"), part("seed", b"1", file_name="b")), "invalid_request"),
        (form(*[part("photo", b"x", file_name="a")] * 4), "malformed_request"),
        (form(*[part(f"f{number}", b"x") for number in range(40)]), "malformed_request"),
        (form(part("photo", b"x" * 2049, file_name="a")), "image_too_large"),
        (form(part("seed", b"1" * 20_000)), "malformed_request"),
        (b"--frontier\r\nno header at all\r\n", "malformed_request"),
        (b"--frontier\r\nContent-Disposition: form-data\r\n\r\nx\r\n--frontier--\r\n", "malformed_request"),
        (b"", "invalid_request"),
    ],
)
def test_broken_forms_are_refused(body: bytes, code: str) -> None:
    """Each with a code that says what to change."""
    assert refusal(body) == code


@pytest.mark.parametrize(
    ("content_type", "code"),
    [
        ("", "unsupported_media_type"),
        ("text/plain", "unsupported_media_type"),
        ("application/x-www-form-urlencoded", "unsupported_media_type"),
        ("multipart/mixed; boundary=frontier", "unsupported_media_type"),
        ("multipart/form-data", "malformed_request"),
        ("multipart/form-data; boundary=", "malformed_request"),
        ("multipart/form-data; boundary=" + "x" * 300, "malformed_request"),
    ],
)
def test_other_kinds_are_refused(content_type: str, code: str) -> None:
    """Whatever the body may be."""
    assert refusal(form(part("photo", b"x", file_name="a")), content_type) == code


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 50_000, b'{"a":' + b"1" * 70_000 + b"}"]
)
def test_broken_json_is_refused(body: bytes) -> None:
    """Deep, long, or none."""
    assert refusal(body, "application/json; charset=utf-8") == "malformed_request"


@given(body=st.binary(max_size=600), pieces=st.integers(1, 9))
def test_noise_never_crashes_the_reader(body: bytes, pieces: int) -> None:
    """Any bytes are read or refused."""
    for content_type in ("multipart/form-data; boundary=frontier", "application/json"):
        assert status(body, content_type, pieces) < 500


@given(
    disposition=st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=60),
    header=st.text(st.characters(codec="latin-1"), max_size=60),
    content=st.binary(max_size=80),
    tail=st.binary(max_size=20),
)
def test_odd_parts_never_crash_the_reader(disposition: str, header: str, content: bytes, tail: bytes) -> None:
    """Almost-forms are worse than noise."""
    body = (
        b"--frontier\r\nContent-Disposition: form-data; name=" + disposition.encode("latin-1")
        + b"\r\n" + header.encode("latin-1") + b"\r\n\r\n" + content + b"\r\n--frontier" + tail
    )  # fmt: skip
    assert status(body, "multipart/form-data; boundary=frontier") < 500


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("photo.jpg", "unsupported_format"),
        ("../../etc/passwd", "unsupported_format"),
        ("x" * 300, "unsupported_format"),
    ],
)
def test_a_files_name_means_nothing(client: httpx.Client, name: str, code: str) -> None:
    """Content decides what a file is."""
    answer = client.post("/convert", files={"photo": (name, b"this is text", "image/jpeg")})
    assert (answer.status_code, answer.json()["code"]) == (415, code)


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "empty_image"), (b"\xff\xd8\xff\xe0 truncated", "broken_image"), (b"<svg/>", "unsupported_format")],
)
def test_photos_that_are_none_have_their_codes(client: httpx.Client, content: bytes, code: str) -> None:
    """As `nigaoe_faces.images` names them."""
    assert client.post("/convert", files={"photo": ("a.jpg", content)}).json()["code"] == code


def test_many_bad_uploads_leave_the_service_well(
    api: "Api", client: httpx.Client, convert: Callable[..., httpx.Response]
) -> None:
    """A good photo behind bad ones is served."""
    for content in (b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"RIFF\x00\x00\x00\x00WEBPVP8 "):
        assert client.post("/convert", files={"photo": ("a", content)}).status_code in (415, 422)
    assert convert(client).status_code == 202
    assert api.facilities.metrics.in_progress._value.get() <= 1
