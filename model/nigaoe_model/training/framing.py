"""From one file's bytes to one crop of the data set, or to the reason why there is none."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nigaoe_core.errors import EmptyImage, FaceError, ImageError, ImageTooSmall, NoFace
from nigaoe_faces.align import AlignmentTemplate, align_landmarks, crop_aligned
from nigaoe_faces.detect import FaceDetector, largest_face
from nigaoe_faces.images import ImageLimits, read_photo

Crop = NDArray[np.uint8]
Box = tuple[float, float, float, float]
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
_LIMITS = ImageLimits(min_side=8)


class Unusable(Exception):
    """The picture is left out; ``reason`` is what the summary counts."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Framed:
    """The outcome for one file.

    Attributes:
        pixels: Crop as bytes of # [3, R, R]; empty when left out.
        fingerprint: 64-bit perceptual hash of the crop.
        reason: Why it was left out; empty when kept.
    """

    pixels: bytes = b""
    fingerprint: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AsIsFraming:
    """Pictures that are framed already: cut a fixed box and scale it.

    Attributes:
        resolution: Side of the crop.
        box: Left, top, right and bottom edge as shares of width and height.
        min_scale: Least side of the box, in crop sides.
    """

    resolution: int
    box: Box = WHOLE
    min_scale: float = 1.0

    def __call__(self, photo: Crop) -> Crop:
        """Return the crop # [R, R, 3] of a photo # [H, W, 3].

        Raises:
            Unusable: The box is too small, or far from square.
        """
        height, width = photo.shape[:2]
        left, top, right, bottom = (v * s for v, s in zip(self.box, (width, height, width, height), strict=True))
        sides = (right - left, bottom - top)
        if min(sides) < self.resolution * self.min_scale - 0.5:
            raise Unusable("too_small")
        if max(sides) > 1.1 * min(sides):
            raise Unusable("not_square")
        side = (self.resolution, self.resolution)
        image = Image.fromarray(photo).resize(side, Image.Resampling.LANCZOS, box=(left, top, right, bottom))
        return np.asarray(image, np.uint8)


@dataclass(frozen=True, slots=True)
class DetectedFraming:
    """Photos: find the largest face and align it, with the code that serves.

    Attributes:
        resolution: Side of the crop.
        template: Where the landmarks shall stand.
        max_yaw: Degrees beyond which a head is an extreme profile.
        min_scale: Least size of the face in the photo, as photo pixels a crop pixel.
    """

    resolution: int
    template: AlignmentTemplate
    max_yaw: float = 50.0
    min_scale: float = 0.75

    def __call__(self, photo: Crop) -> Crop:
        """Return the crop # [R, R, 3] of a photo # [H, W, 3].

        Raises:
            Unusable: There is no face, or it is a profile or too small.
        """
        try:
            face = largest_face(_detector().detect(photo))
            alignment = align_landmarks(face.landmarks, self.template, self.resolution)
            if abs(face.pose.yaw) > self.max_yaw:
                raise Unusable("profile")
            if 1 / alignment.scale < self.min_scale:
                raise Unusable("too_small")
            return crop_aligned(photo, alignment)
        except NoFace as error:
            raise Unusable("no_face") from error
        except FaceError as error:
            raise Unusable("unclear_face") from error


@lru_cache(maxsize=1)
def _detector() -> FaceDetector:
    """One detector a process; workers build their own."""
    return FaceDetector()


def frame_picture(data: bytes, framing: Callable[[Crop], Crop]) -> Framed:
    """Read, frame and fingerprint one file."""
    try:
        crop = framing(read_photo(data, _LIMITS))
    except Unusable as unusable:
        return Framed(reason=unusable.reason)
    except ImageTooSmall:
        return Framed(reason="too_small")
    except EmptyImage:
        return Framed(reason="empty")
    except ImageError:
        return Framed(reason="broken")
    fingerprint = int(str(imagehash.phash(Image.fromarray(crop))), 16)
    return Framed(np.ascontiguousarray(crop.transpose(2, 0, 1)).tobytes(), fingerprint)
