"""Faces in a photo: boxes, five landmarks, confidence and pose.

The detector is MTCNN (Zhang et al., "Joint face detection and alignment using multitask cascaded networks",
2016) as facenet-pytorch ships it, weights included: nothing is ever downloaded. Its networks are small, its cost grows
with the picture's area, and they take faces of 12 to 48 pixels anyway, so photos are reduced before they are searched.
What the cascade proposes is then evaluated again in the photo itself (``nigaoe_faces.refine``).
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from nigaoe_core.errors import FaceIndexOutOfRange, MultipleFaces, NoFace
from nigaoe_faces.align import crop_aligned, fit_similarity, square_box_alignment
from nigaoe_faces.pose import Pose, estimate_pose
from nigaoe_faces.refine import Networks, refine_landmarks

with warnings.catch_warnings():  # facenet-pytorch adds a filter to the whole process when it is imported.
    from facenet_pytorch import MTCNN

FaceChoice = Literal["largest", "only"] | int
"""Which face of a photo is meant: the largest, the only one, or the one with this index (0 is the largest)."""

# Photos are searched with this longer side; 20 pixels of it make the smallest face.
_SEARCH_SIDE = 1024
# When nothing was found, once more and finer: group photos from far away.
_FINE_SIDE = 1600
# Tiny pictures are enlarged until the shorter side has this many pixels, at most fourfold.
_SMALLEST_SIDE = 256
_MOST_ENLARGED = 4.0
_MIN_FACE = 20
# When nothing was found upright, scans and stripped phone photos may lie on their side.
_QUARTER_TURNS = (1, 3)
# Side of the enlarged surroundings of a face that reaches over the photo's edge.
_WIDENED_SIDE = 256
# Two finds are one face when their middles lie closer than this, in eye distances.
_SAME_FACE = 0.5

_Box = tuple[float, float, float, float]
_Proposal = tuple[_Box, NDArray[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face in a photo, in its pixels (continuous coordinates, see ``nigaoe_faces.align``).

    Attributes:
        box: Left, top, right and bottom edge; may reach over the photo's edge.
        landmarks: [5, 2] float64, read-only: left eye, right eye, nose, left and right mouth corner, left as seen in
            the picture.
        confidence: The detector's certainty, 0 to 1: the mean over several views of the upright face.
        pose: Which way the head looks, estimated from the landmarks.
    """

    box: tuple[float, float, float, float]
    landmarks: NDArray[np.float64]
    confidence: float
    pose: Pose = field(init=False)

    def __post_init__(self) -> None:
        """Freeze a private copy of the landmarks and estimate the pose."""
        landmarks = np.array(self.landmarks, dtype=np.float64).reshape(5, 2)
        landmarks.setflags(write=False)
        object.__setattr__(self, "landmarks", landmarks)
        object.__setattr__(self, "pose", estimate_pose(landmarks))

    @property
    def size(self) -> float:
        """The box's area in square pixels."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, coordinates rounded to hundredths of a pixel."""
        return {
            "box": [round(edge, 2) for edge in self.box],
            "landmarks": [[round(x, 2), round(y, 2)] for x, y in self.landmarks.tolist()],
            "confidence": round(self.confidence, 4),
            "pose": self.pose.to_json(),
        }


class FaceDetector:
    """MTCNN, loaded once and used by any number of threads at the same time.

    Neither the random state nor any other global setting of torch changes.

    Attributes:
        min_confidence: Faces of which the detector is less certain are left out, 0 to 1.
    """

    def __init__(self, device: str | torch.device = "cpu", min_confidence: float = 0.7) -> None:
        """Load the weights from the installed package onto ``device``."""
        self.min_confidence = min_confidence
        self._device = torch.device(device)
        with torch.random.fork_rng(devices=[]):  # The networks draw initial weights before they load the real ones.
            self._mtcnn = MTCNN(keep_all=True, min_face_size=_MIN_FACE, device=self._device)
        self._mtcnn.eval().requires_grad_(requires_grad=False)
        self._networks = Networks(self._mtcnn.rnet, self._mtcnn.onet, self._device)

    def detect(self, rgb: NDArray[np.uint8], *, thorough: bool = True) -> list[Face]:
        """Find the faces of a photo.

        Args:
            rgb: The photo, [H, W, 3] uint8.
            thorough: Where nothing was found, search again: finer, and with the photo on its sides.

        Returns:
            The faces, the largest first; an empty list when there are none.
        """
        for proposals in self._searches(rgb) if thorough else islice(self._searches(rgb), 1):
            faces = self._confirm(rgb, proposals)
            if faces:
                return sorted(faces, key=lambda face: face.size, reverse=True)
        return []

    def follow(self, rgb: NDArray[np.uint8], face: Face) -> Face | None:
        """Find a face of the frame before in the next frame of a video: in a third of the time that a search takes.

        Args:
            rgb: The frame, [H, W, 3] uint8.
            face: As it was found in a frame of the same size.

        Returns:
            The face; None when it is not where it was, more or less.
        """
        landmarks, confidence = refine_landmarks(self._networks, rgb, face.landmarks)
        if confidence < self.min_confidence or not _is_near(landmarks, face.landmarks):
            return None
        moved = fit_similarity(face.landmarks, landmarks)
        scale, middle = float(np.sqrt(np.linalg.det(moved[:, :2]))), np.reshape(face.box, (2, 2)).mean(axis=0)
        reach = np.ptp(np.reshape(face.box, (2, 2)), axis=0) / 2 * scale
        middle = moved[:, :2] @ middle + moved[:, 2]
        return Face(_box_around(np.stack([middle - reach, middle + reach])), landmarks, confidence)

    def _searches(self, rgb: NDArray[np.uint8]) -> Iterator[list[_Proposal]]:
        """Run the cascade in several ways, the likeliest first; the next is needed only if one finds nobody."""
        scales = _search_scales(rgb.shape[1], rgb.shape[0])
        for scale in scales:
            yield self._propose(rgb, scale)
        for quarters in _QUARTER_TURNS:
            side = rgb.shape[1] if quarters == 1 else rgb.shape[0]
            turned = self._propose(np.rot90(rgb, quarters), scales[0])
            yield [
                (_box_around(_turn_back(np.reshape(box, (2, 2)), quarters, side)), _turn_back(points, quarters, side))
                for box, points in turned
            ]

    def _propose(self, rgb: NDArray[np.uint8], scale: float) -> list[_Proposal]:
        """Run the cascade on ``rgb`` resized by ``scale``; return boxes and landmarks in pixels of ``rgb``."""
        resized = _resize(rgb, scale)
        ratio = np.array([rgb.shape[1] / resized.shape[1], rgb.shape[0] / resized.shape[0]])
        return [
            self._widened(rgb, (_box_around(corners * ratio), points * ratio))
            for corners, points in self._run_cascade(resized)
        ]

    def _run_cascade(self, picture: NDArray[np.uint8]) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Return corners, [2, 2], and landmarks, [5, 2], of each find in pixels of ``picture``."""
        boxes, _, landmarks = self._mtcnn.detect(picture, landmarks=True)
        if boxes is None:
            return []
        # MTCNN counts pixels from one; the centre of its pixel i lies at i - 0.5 in continuous coordinates.
        corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 2, 2) - 0.5
        points = np.asarray(landmarks, dtype=np.float64).reshape(-1, 5, 2) - 0.5
        return list(zip(corners, points, strict=True))

    def _widened(self, rgb: NDArray[np.uint8], proposal: _Proposal) -> _Proposal:
        """Search once more, in wider surroundings, for a face that reaches over the photo's edge.

        There facenet-pytorch cuts the box before its network sees it and scales the landmarks as if it had not.
        """
        visible = np.clip(np.reshape(proposal[0], (2, 2)), 0, [rgb.shape[1], rgb.shape[0]])
        if np.abs(visible.ravel() - proposal[0]).max() < 1 or np.ptp(visible, axis=0).min() < 1:
            return proposal
        middle, reach = visible.mean(axis=0), float(np.ptp(visible, axis=0).max())
        wider = square_box_alignment(_box_around(np.stack([middle - reach, middle + reach])), _WIDENED_SIDE)
        finds = self._run_cascade(crop_aligned(rgb, wider))
        if not finds:
            return proposal
        corners, points = min(finds, key=lambda find: float(np.abs(find[0].mean(axis=0) - _WIDENED_SIDE / 2).sum()))
        return _box_around(corners / wider.scale + middle - reach), points / wider.scale + middle - reach

    def _confirm(self, rgb: NDArray[np.uint8], proposals: list[_Proposal]) -> list[Face]:
        """Refine each proposal; keep those that are certain, each face once."""
        faces = []
        for box, proposed in proposals:
            landmarks, confidence = refine_landmarks(self._networks, rgb, proposed)
            if confidence >= self.min_confidence:
                faces.append(Face(box, landmarks, confidence))
        distinct: list[Face] = []
        for face in sorted(faces, key=lambda face: face.confidence, reverse=True):
            if not any(_is_same(face, other) for other in distinct):
                distinct.append(face)
        return distinct


def choose_face(faces: Sequence[Face], choice: FaceChoice = "largest") -> Face:
    """Return the face that is meant.

    Args:
        faces: What ``FaceDetector.detect`` found, the largest first.
        choice: ``largest``, ``only`` (refuses to choose), or an index from 0.

    Raises:
        NoFace: There are no faces.
        MultipleFaces: ``only``, and there are several.
        FaceIndexOutOfRange: There is no face with this index.
    """
    if not faces:
        raise NoFace("No face was found; please use a photo with one clearly visible face, seen from the front.")
    if choice == "only" and len(faces) > 1:
        raise MultipleFaces(f"The photo shows {len(faces)} faces; please say which one.", count=len(faces))
    index = choice if isinstance(choice, int) else 0
    if not 0 <= index < len(faces):
        raise FaceIndexOutOfRange(
            f"There is no face {index}; the photo shows {len(faces)}, counted from 0, the largest first.",
            count=len(faces),
        )
    return faces[index]


def largest_face(faces: Sequence[Face]) -> Face:
    """Return the largest face.

    Raises:
        NoFace: There are no faces.
    """
    return choose_face(faces, "largest")


def _is_same(face: Face, other: Face) -> bool:
    eyes = float(np.linalg.norm(other.landmarks[1] - other.landmarks[0]))
    return float(np.linalg.norm(face.landmarks.mean(axis=0) - other.landmarks.mean(axis=0))) < _SAME_FACE * eyes


def _is_near(landmarks: NDArray[np.float64], before: NDArray[np.float64]) -> bool:
    """Whether a face can have moved so from one frame to the next: by an eye distance, by a half of its size."""
    eyes, eyes_before = (float(np.linalg.norm(points[1] - points[0])) for points in (landmarks, before))
    moved = float(np.linalg.norm(landmarks.mean(axis=0) - before.mean(axis=0)))
    return moved < eyes_before and eyes_before < 1.5 * eyes < 2.25 * eyes_before


def _turn_back(points: NDArray[np.float64], quarters: int, side: int) -> NDArray[np.float64]:
    """Map points of a picture turned by ``quarters`` back to the picture whose width or height is ``side``."""
    x, y = points[:, 0], points[:, 1]
    return np.column_stack([side - y, x] if quarters == 1 else [y, side - x])


def _box_around(corners: NDArray[np.float64]) -> _Box:
    """Return left, top, right and bottom of the given points, [N, 2]."""
    left, top = corners.min(axis=0).tolist()
    right, bottom = corners.max(axis=0).tolist()
    return left, top, right, bottom


def _search_scales(width: int, height: int) -> list[float]:
    """Return by which factors a photo is resized, in the order in which they are tried."""
    longer, shorter = max(width, height), min(width, height)
    enlarged = min(max(1.0, _SMALLEST_SIDE / shorter), _MOST_ENLARGED)
    scales = [min(enlarged, _SEARCH_SIDE / longer)]
    if longer > _SEARCH_SIDE:
        scales.append(min(1.0, _FINE_SIDE / longer))
    return scales


def _resize(rgb: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Resize with antialiasing; never below what MTCNN accepts."""
    if scale == 1.0 and min(rgb.shape[:2]) >= _MIN_FACE:
        return rgb
    size = tuple(max(_MIN_FACE, round(side * scale)) for side in (rgb.shape[1], rgb.shape[0]))
    image = Image.fromarray(np.ascontiguousarray(rgb))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
