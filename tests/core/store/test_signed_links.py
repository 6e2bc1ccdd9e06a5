"""Signed links: who was not given one has none."""

from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigaoe_core.errors import LinkError, LinkExpired
from nigaoe_core.store.signed_links import PATH, LinkSigner

SECRET = b"0123456789abcdef"
KEY = "public/20260101/3e0c2b0e-6c0c-4d0f-8d6e-2f5b4b8c6a11/result.png"


def parts_of(link: str) -> dict[str, object]:
    parts = urlsplit(link)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return {
        "key": unquote(parts.path.removeprefix(PATH)),
        "expires": int(query["expires"]),
        "signature": query["signature"],
        "download_name": query.get("download"),
    }


def verify(signer: LinkSigner, parts: dict[str, object]) -> None:
    signer.verify(str(parts.pop("key")), **parts)  # type: ignore[arg-type]  # The parts are what verify takes.


@given(st.none() | st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1), st.integers(1, 10**6))
def test_what_was_signed_is_accepted(name: str | None, seconds: int) -> None:
    """Any file name survives the way through an address."""
    signer = LinkSigner(SECRET, clock=lambda: 1e9)
    verify(signer, parts_of(signer.sign(KEY, seconds=seconds, download_name=name)))


@pytest.mark.parametrize(
    "change",
    [
        {"key": KEY.replace("result", "photo")},
        {"expires": 2_000_000_000},
        {"download_name": "other.png"},
        {"download_name": None},
        {"signature": "0" * 64},
        {"signature": ""},
        {"signature": "ü"},
    ],
)
def test_any_change_is_noticed(change: dict[str, object]) -> None:
    """Key, time, name and signature belong together."""
    signer = LinkSigner(SECRET, clock=lambda: 1e9)
    parts = parts_of(signer.sign(KEY, seconds=60, download_name="me.png"))
    with pytest.raises(LinkError):
        verify(signer, parts | change)


def test_parts_cannot_be_shifted() -> None:
    """No other split of the same text has the same signature."""
    signer = LinkSigner(SECRET, clock=lambda: 0.0)
    parts = parts_of(signer.sign("ab", seconds=12, download_name="x"))
    with pytest.raises(LinkError):
        verify(signer, parts | {"key": "a", "download_name": "bx"})


def test_a_link_ends_on_time() -> None:
    """Valid until its second, expired from then on."""
    now = [1000.0]
    signer = LinkSigner(SECRET, clock=lambda: now[0])
    parts = parts_of(signer.sign(KEY, seconds=60))
    now[0] = 1059.9
    verify(signer, dict(parts))
    now[0] = 1060.0
    with pytest.raises(LinkExpired):
        verify(signer, dict(parts))


def test_another_secret_is_another_signer() -> None:
    """Replicas must share the secret; nobody else can sign."""
    parts = parts_of(LinkSigner(b"another-secret-16").sign(KEY, seconds=60))
    with pytest.raises(LinkError):
        verify(LinkSigner(SECRET), parts)


def test_a_short_secret_is_refused() -> None:
    """It could be guessed."""
    with pytest.raises(ValueError, match="16"):
        LinkSigner(b"short")
