"""Any decoded picture to sRGB: colour profiles, CMYK, palettes, transparency, sixteen bits."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

_SRGB = ImageCms.createProfile("sRGB")

# Bigger profiles than the largest press profiles are no profiles.
_MAX_PROFILE_BYTES = 8 * 1024 * 1024


def to_srgb(image: Image.Image) -> Image.Image:
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
