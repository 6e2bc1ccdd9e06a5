"""Untrusted bytes to RGB pixels.

Whatever arrives, one of two things happens: an upright sRGB array leaves, or an ``ImageError`` that tells the user what
is wrong. Sizes are checked on the header, before a decoder allocates anything. Of pictures that move (WebP, AVIF, PNG)
and of bursts and depth maps (HEIC, MPO) the first or primary picture is the photo. No metadata leaves this module.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from nigaoe_core.errors import BrokenImage, EmptyImage, ImageError, ImageTooLarge, ImageTooSmall, UnsupportedFormat
from nigaoe_faces.formats import JPEG, PICTURE_FORMATS, sniff_format

_MEBIBYTE = 1024 * 1024
_SRGB = ImageCms.createProfile("sRGB")

# Bigger profiles than the largest press profiles are no profiles.
_MAX_PROFILE_BYTES = 8 * _MEBIBYTE


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits on the cost of an upload.

    Attributes:
        max_bytes: Size of the file.
        max_pixels: Width times height, as the header says.
        max_side: The longer side in pixels.
        min_side: The shorter side in pixels; less cannot hold a face.
        full_pixels: Photos with more pixels than this are read at a half, a quarter or an eighth of their sides.
            The face of a 48-megapixel photo fills any generator several times over.
        max_scans: Passes of a progressive JPEG. Each costs the time of a whole picture and almost no bytes.
    """

    max_bytes: int = 32 * _MEBIBYTE
    max_pixels: int = 50_000_000
    max_side: int = 12_000
    min_side: int = 32
    full_pixels: int = 25_000_000
    max_scans: int = 64


DEFAULT_LIMITS = ImageLimits()
"""The limits where a caller states none."""

# How a picture with this EXIF orientation is turned upright (EXIF 2.32, tag 274).
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_photo(data: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> NDArray[np.uint8]:
    """Read a photo that anyone may have sent.

    Args:
        data: The file's content: JPEG, PNG, WebP, AVIF or HEIC, whatever its name says.
        limits: What the photo may cost.

    Returns:
        Upright sRGB pixels, [H, W, 3]; transparent parts stand on white.

    Raises:
        EmptyImage: There are no bytes.
        UnsupportedFormat: The content is none of the allowed formats.
        ImageTooLarge: Too many bytes, pixels or JPEG scans, or too long a side.
        ImageTooSmall: A side is too short to hold a face.
        BrokenImage: The format is right and the data are truncated or damaged.
    """
    if not data:
        raise EmptyImage("The file is empty; please choose the photo again.")
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(
            f"The file has {len(data) / _MEBIBYTE:.1f} MiB, more than the {limits.max_bytes / _MEBIBYTE:.0f} allowed; "
            "please send a smaller one.",
            max_bytes=limits.max_bytes,
        )
    image = _open(data, limits)
    _check_size(image.size, limits)
    return _decode(image, limits)


def _open(data: bytes, limits: ImageLimits) -> ImageFile:
    """Read the header of ``data`` with the decoder that its first bytes name."""
    picture_format = sniff_format(data)
    if picture_format is None:
        names = ", ".join(known.name for known in PICTURE_FORMATS)
        raise UnsupportedFormat(
            f"This is none of the supported picture formats ({names}), whatever the file's name says; please send one."
        )
    # Entropy-coded data never hold this pair of bytes, so all it counts are scans and those of embedded previews.
    if picture_format is JPEG and data.count(b"\xff\xda") > limits.max_scans:
        raise ImageTooLarge("The JPEG has too many scans to be read safely; please save it again as a plain JPEG.")
    with _decoder_errors(), _silence():
        return picture_format.opener(BytesIO(data))


def _check_size(size: tuple[int, int], limits: ImageLimits) -> None:
    width, height = size
    if max(size) > limits.max_side or width * height > limits.max_pixels:
        raise ImageTooLarge(
            f"The picture has {width} x {height} pixels; at most {limits.max_pixels / 1e6:g} megapixels and "
            f"{limits.max_side} pixels a side are allowed. Please send a smaller copy.",
            width=width,
            height=height,
        )
    if min(size) < limits.min_side:
        raise ImageTooSmall(
            f"The picture has {width} x {height} pixels, too few to hold a face; each side needs at least "
            f"{limits.min_side}.",
            width=width,
            height=height,
        )


def _decode(image: ImageFile, limits: ImageLimits) -> NDArray[np.uint8]:
    """Decode, convert to sRGB, turn upright."""
    reduction = _reduction(image.size, limits.full_pixels)
    with _decoder_errors():
        if isinstance(image, JpegImageFile) and reduction > 1:
            image.draft(None, (image.width // reduction, image.height // reduction))
            reduction = 1
        announced = image.size
        image.load()
        # A HEIC header can lie about what its data hold.
        if image.size != announced:
            _check_size(image.size, limits)
        orientation = _orientation(image)
        photo = _to_srgb(image)
        if reduction > 1:
            photo = photo.reduce(reduction)
        if orientation in _UPRIGHT:
            photo = photo.transpose(_UPRIGHT[orientation])
        return np.array(photo, dtype=np.uint8)  # [H, W, 3]


def _reduction(size: tuple[int, int], full_pixels: int) -> int:
    """Return by what power of two, at most 8, the sides shrink so that ``full_pixels`` are not exceeded."""
    reduction = 1
    while reduction < 8 and size[0] * size[1] > full_pixels * reduction**2:
        reduction *= 2
    return reduction


def _orientation(image: ImageFile) -> int | None:
    """Return the EXIF orientation, 1 to 8; None where the metadata hold none or are damaged."""
    try:
        with _silence():
            value = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001 - damaged metadata raise anything, and a photo without them is still a photo.
        return None
    return value if isinstance(value, int) else None


def _to_srgb(image: Image.Image) -> Image.Image:
    """Return ``image`` in mode RGB and the sRGB colour space, transparent parts laid over white.

    A profile that is damaged or does not fit the picture's mode is ignored, as viewers do.
    """
    profile = image.info.get("icc_profile")
    if image.mode.startswith(("I", "F")):
        return _from_deep_grey(image)
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        return _over_white(_apply_profile(layered.convert("RGB"), profile), layered.getchannel("A"))
    if image.mode in ("L", "RGB", "CMYK"):
        return _apply_profile(image, profile)
    return _apply_profile(image.convert("RGB"), profile)


def _from_deep_grey(image: Image.Image) -> Image.Image:
    """Scale sixteen-bit grey to eight bits; Pillow's own conversion clips everything above 255 to white."""
    deep = np.asarray(image).astype(np.float64)
    return Image.fromarray((deep.clip(0, 65535) / 257).round().astype(np.uint8)).convert("RGB")


def _over_white(image: Image.Image, alpha: Image.Image) -> Image.Image:
    """Lay ``image`` over white paper."""
    paper = Image.new("RGB", image.size, "white")
    paper.paste(image, mask=alpha)
    return paper


def _apply_profile(image: Image.Image, profile: object) -> Image.Image:
    """Convert from the embedded ICC profile to sRGB, or plainly where there is none that fits."""
    if isinstance(profile, bytes) and 0 < len(profile) <= _MAX_PROFILE_BYTES:
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            if not _is_srgb(source):
                converted = ImageCms.profileToProfile(image, source, _SRGB, outputMode="RGB")
                if converted is not None:
                    return converted
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    return image.convert("RGB")


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    """Tell whether a conversion would be for nothing, as for most pictures that carry a profile."""
    return (profile.profile.profile_description or "").startswith("sRGB") and profile.profile.xcolor_space == "RGB "


@contextmanager
def _decoder_errors() -> Iterator[None]:
    """Turn whatever a decoder raises on damaged data into ``BrokenImage``."""
    try:
        yield
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageTooLarge("The picture has too many pixels; please send a smaller copy.") from error
    except Exception as error:  # Decoders fed with noise raise from struct.error to RecursionError; all mean the same.
        raise BrokenImage("The picture is truncated or damaged; please send the original file again.") from error


_warning_filters = threading.Lock()


@contextmanager
def _silence() -> Iterator[None]:
    """Keep decoders' warnings about odd metadata out of the log.

    Python 3.11's warning filters belong to the whole process, so threads take turns; only headers are read under it.
    """
    with _warning_filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield
