"""What a picture says of how it came to be, read by a program that is not ours: Exiv2."""

import pyexiv2


def source_of(data: bytes) -> str | None:
    """Return the term of IPTC's digital source type that a picture carries; None: it carries none."""
    with pyexiv2.ImageData(data) as image:
        address = image.read_xmp().get("Xmp.iptcExt.DigitalSourceType")
    return None if address is None else str(address).rpartition("/")[2]


def told_by(data: bytes) -> set[str]:
    """Return the names of everything that a picture tells besides its pixels: EXIF, IPTC, XMP, comment."""
    with pyexiv2.ImageData(data) as image:
        comment = {"comment"} if image.read_comment() else set()
        return {*image.read_exif(), *image.read_iptc(), *image.read_xmp()} | comment
