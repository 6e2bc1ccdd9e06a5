"""Finding faces: from an upload to a chosen face and its crop. Heavy, so a few at a time, in threads."""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import anyio
from anyio import to_thread

from nigaoe_api.metrics import Metrics
from nigaoe_api.schemas import ChoosableFace, FacesView
from nigaoe_api.style_catalogue import Framing
from nigaoe_api.tokens import FACE_PREFIX, FaceTokens
from nigaoe_core.errors import InvalidRequest, MultipleFaces, QueueFull
from nigaoe_core.jobs import FoundFace
from nigaoe_core.settings import Settings
from nigaoe_core.telemetry import span
from nigaoe_faces.align import align_face
from nigaoe_faces.encoding import encode_png
from nigaoe_faces.images import ImageLimits, read_photo

if TYPE_CHECKING:
    from nigaoe_faces.detect import Face, FaceChoice, FaceDetector

T = TypeVar("T")

MAX_WAITING: Final = 128
"""Photos that wait for their turn, all of them in memory; beyond that the caller is asked to come back."""
RETRY_SECONDS: Final = 10.0


@dataclass(frozen=True)
class PreparedPhoto:
    """Everything about a photo that its job needs."""

    photo: bytes  # The file as it came.
    faces: tuple[FoundFace, ...]  # Largest first.
    index: int  # Of the chosen one.
    crop: bytes  # PNG.


class FaceFinder:
    """Finds and cuts faces; one detector for the process.

    Args:
        settings: What a photo may cost.
        tokens: For choosing a face by token.
        metrics: Times it all.
    """

    def __init__(self, settings: Settings, tokens: FaceTokens, metrics: Metrics) -> None:
        self._limits = ImageLimits(
            max_bytes=settings.max_upload_bytes, max_pixels=settings.max_pixels, max_side=settings.max_side
        )
        self._tokens = tokens
        self._metrics = metrics
        self._detector: FaceDetector | None = None
        self._loading = threading.Lock()
        # Decoding and detecting keep a core busy and a decoded photo in memory: more at once would only take memory.
        self._turns = anyio.CapacityLimiter(max(1, (os.cpu_count() or 1) // 2))

    @property
    def is_ready(self) -> bool:
        """Whether the detector is loaded."""
        return self._detector is not None

    def load(self) -> "FaceDetector":
        """Load the detector if nobody did yet. It takes seconds, so the process answers before it is done."""
        import torch

        from nigaoe_faces.detect import FaceDetector

        with self._loading:
            if self._detector is None:
                # Photos side by side use cores better than one photo on all of them, and a worker next door steps on
                # those cores as well: threads that wait for each other there cost a multiple of what they bring.
                torch.set_num_threads(1)
                self._detector = FaceDetector()
            return self._detector

    async def prepare(self, photo: bytes, choice: str | int, framing: Framing) -> PreparedPhoto:
        """Find the chosen face of a photo and cut it out.

        Args:
            photo: The file.
            choice: ``largest``, ``only``, an index or a token.
            framing: How it is cut.

        Raises:
            ImageError: The file is no usable photo.
            NoFace: There is no face.
            MultipleFaces: ``only``, and there are several; ``details["faces"]`` lists them.
            FaceIndexOutOfRange: There are not so many faces.
            InvalidFaceToken: The token is not one for this photo.
            InvalidRequest: The choice is none of these.
            QueueFull: Too many photos wait for their turn.
        """
        return await self._in_turn(lambda: self._prepare(photo, self._choice(choice, photo), framing))

    async def prepare_reference(self, picture: bytes, framing: Framing) -> bytes:
        """Frame an anime picture whose style or texture is taken over.

        Args:
            picture: The file.
            framing: How photos are cut for the style.

        Returns:
            PNG.

        Raises:
            ImageError: The file is no usable picture.
            ReferenceWithoutFace: It is blank.
            QueueFull: Too many photos wait for their turn.
        """
        return await self._in_turn(lambda: self._prepare_reference(picture, framing))

    async def find(self, photo: bytes) -> FacesView:
        """Find all faces of a photo.

        Raises:
            ImageError: The file is no usable photo.
            QueueFull: Too many photos wait for their turn.
        """
        return await self._in_turn(lambda: self._find(photo))

    async def _in_turn(self, work: Callable[[], T]) -> T:
        if self._turns.statistics().tasks_waiting >= MAX_WAITING:
            raise QueueFull(
                "Too many photos are being looked at: try again in a few seconds.", retry_after=RETRY_SECONDS
            )
        with self._metrics.prepare_seconds.time(), span("prepare"):
            return await to_thread.run_sync(work, limiter=self._turns)

    def _find(self, photo: bytes) -> FacesView:
        pixels = read_photo(photo, self._limits)
        found = [_found(face) for face in self.load().detect(pixels)]
        return FacesView(width=pixels.shape[1], height=pixels.shape[0], faces=self._choosable(found, photo))

    def _prepare(self, photo: bytes, choice: "FaceChoice", framing: Framing) -> PreparedPhoto:
        from nigaoe_faces.detect import choose_face

        pixels = read_photo(photo, self._limits)
        faces = self.load().detect(pixels)
        found = tuple(_found(face) for face in faces)
        try:
            chosen = choose_face(faces, choice)
        except MultipleFaces as error:
            listed = [face.model_dump(mode="json") for face in self._choosable(found, photo)]
            raise MultipleFaces(error.message, faces=listed, width=pixels.shape[1], height=pixels.shape[0]) from None
        crop, _ = align_face(pixels, chosen.landmarks, framing.template, framing.resolution)
        return PreparedPhoto(photo, found, faces.index(chosen), encode_png(crop))

    def _prepare_reference(self, picture: bytes, framing: Framing) -> bytes:
        from nigaoe_faces.reference import frame_reference

        pixels = read_photo(picture, self._limits)
        return encode_png(frame_reference(pixels, framing.template, framing.resolution, self.load()))

    def _choosable(self, faces: Sequence[FoundFace], photo: bytes) -> list[ChoosableFace]:
        return [
            ChoosableFace(index=index, token=self._tokens.make(photo, index), **face.model_dump())
            for index, face in enumerate(faces)
        ]

    def _choice(self, choice: str | int, photo: bytes) -> "FaceChoice":
        if isinstance(choice, int) or choice in ("largest", "only"):
            return choice  # type: ignore[return-value]  # mypy does not narrow by `in`.
        if choice.isdecimal() and len(choice) < 6:
            return int(choice)
        if choice.startswith(FACE_PREFIX):
            return self._tokens.read(choice, photo)
        raise InvalidRequest("`face` is `largest`, `only`, an index from 0, or a token from POST /faces.")


def _found(face: "Face") -> FoundFace:
    left, top, right, bottom = (round(edge, 2) for edge in face.box)
    return FoundFace(
        box=(left, top, right, bottom),
        landmarks=tuple((round(x, 2), round(y, 2)) for x, y in face.landmarks.tolist()),
        confidence=round(min(1.0, face.confidence), 4),
        yaw=round(face.pose.yaw, 1),
    )
