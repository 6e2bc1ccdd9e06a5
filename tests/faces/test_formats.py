"""The format is what the first bytes say."""

from collections.abc import Callable

import pytest
from PIL import Image

from nigaoe_faces.formats import AVIF, HEIC, JPEG, PICTURE_FORMATS, PNG, WEBP, PictureFormat, sniff_format


@pytest.mark.parametrize(
    ("name", "expected"), [("JPEG", JPEG), ("PNG", PNG), ("WEBP", WEBP), ("AVIF", AVIF), ("HEIC", HEIC)]
)
def test_every_allowed_format_is_recognised(encode: Callable[..., bytes], name: str, expected: PictureFormat) -> None:
    """The first bytes of what an encoder wrote name it."""
    assert sniff_format(encode(Image.new("RGB", (40, 40)), name)) is expected


@pytest.mark.parametrize("name", ["GIF", "BMP", "TIFF", "ICO", "PPM", "TGA", "JPEG2000"])
def test_formats_that_are_not_allowed_are_not_recognised(encode: Callable[..., bytes], name: str) -> None:
    """Pillow reads many more formats; uploads never reach those decoders."""
    assert sniff_format(encode(Image.new("RGB", (40, 40)), name)) is None


@pytest.mark.parametrize(
    "content", [b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7", b"PK\x03\x04", b"hello", b"\xff\xd8", b""]
)
def test_other_files_are_not_recognised(content: bytes) -> None:
    """Neither are drawings, documents, archives, text or too few bytes."""
    assert sniff_format(content) is None


@pytest.mark.parametrize(
    ("brands", "expected"),
    [
        (b"mif1" + bytes(4) + b"mif1avif", AVIF),
        (b"mif1" + bytes(4) + b"mif1heic", HEIC),
        (b"isom" + bytes(4) + b"isommp41", None),
        (b"qt  " + bytes(4) + b"qt  ", None),
    ],
)
def test_a_shared_container_is_told_by_its_brands(brands: bytes, expected: PictureFormat | None) -> None:
    """AVIF, HEIC and films are all ISO base media; `mif1` alone says too little."""
    assert sniff_format((len(brands) + 8).to_bytes(4, "big") + b"ftyp" + brands) is expected


def test_a_film_that_claims_a_giant_brand_list_costs_nothing() -> None:
    """The length of the first box is the sender's word only."""
    assert sniff_format(b"\xff\xff\xff\xffftypmp42" + bytes(1_000_000)) is None


def test_formats_say_how_people_know_them() -> None:
    """Pages and folders need content types and suffixes, each named once."""
    suffixes = [suffix for known in PICTURE_FORMATS for suffix in known.suffixes]
    assert len(set(suffixes)) == len(suffixes)
    assert all(media.startswith("image/") for known in PICTURE_FORMATS for media in known.media_types)
