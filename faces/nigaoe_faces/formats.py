"""Picture formats that Nigaoe opens, recognised by their first bytes, never by a file name or a content type.

The allow-list is JPEG, PNG, WebP, AVIF and HEIC. Each decoder's class is called directly: Pillow's registry stays as it
is (``pillow-heif`` would add itself to it for the whole process), and no other plugin ever sees an upload.
"""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

from PIL.AvifImagePlugin import AvifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile
from pillow_heif import HeifImageFile

_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """One format that uploads may have.

    Attributes:
        name: What people call it.
        media_types: Its content types, the usual one first.
        suffixes: Usual file name endings, for folders and file dialogs.
        opener: Reads the header of a picture of this format; decodes nothing yet.
    """

    name: str
    media_types: tuple[str, ...]
    suffixes: tuple[str, ...]
    opener: Callable[[BytesIO], ImageFile]


# JpegImageFile rather than Pillow's factory: of a phone's multi-picture JPEG (MPO) the first picture is the photo.
JPEG = PictureFormat("JPEG", ("image/jpeg",), (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), JpegImageFile)
PNG = PictureFormat("PNG", ("image/png",), (".png",), PngImageFile)
WEBP = PictureFormat("WebP", ("image/webp",), (".webp",), WebPImageFile)
AVIF = PictureFormat("AVIF", ("image/avif",), (".avif",), AvifImageFile)
HEIC = PictureFormat("HEIC", ("image/heic", "image/heif"), (".heic", ".heif", ".hif"), HeifImageFile)

PICTURE_FORMATS = (JPEG, PNG, WEBP, AVIF, HEIC)
"""Every format that can be read."""


def sniff_format(data: bytes) -> PictureFormat | None:
    """Return the format that the first bytes of ``data`` announce, or None when it is none of the allowed ones."""
    if data.startswith(b"\xff\xd8\xff"):
        return JPEG
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return WEBP
    if data[4:8] == b"ftyp":
        return _sniff_brand(data)
    return None


def _sniff_brand(data: bytes) -> PictureFormat | None:
    """Tell AVIF from HEIC, which share a container, by the brands in its first box (ISO/IEC 14496-12, 4.3)."""
    length = min(int.from_bytes(data[:4], "big"), 256)
    brands = {data[start : start + 4] for start in (8, *range(16, length - 3, 4))}
    if brands & _AVIF_BRANDS:
        return AVIF
    if brands & _HEIF_BRANDS:
        return HEIC
    return None
