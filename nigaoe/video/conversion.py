"""A video from file to file: every frame's face found, drawn and put back, batch by batch."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nigaoe.video.reader import DEFAULT_LIMITS, ClipFrame, VideoLimits, VideoReader
from nigaoe.video.writer import VideoWriter, check_output, video_writer
from nigaoe_core.errors import FaceIndexOutOfRange, NigaoeError, NoFace, UsageError
from nigaoe_faces.align import Alignment, align_landmarks, crop_aligned, paste_back
from nigaoe_faces.detect import FaceDetector
from nigaoe_faces.track import FaceTracker, TrackedFrame
from nigaoe_model.pixels import to_rgb
from nigaoe_model.portrait.clip import LATENT_SMOOTHING, ClipDrawer, FaceFrame
from nigaoe_model.portrait.convert import ConversionOptions
from nigaoe_model.portrait.pipeline import Pipeline, Subject

BATCH: Final = 8
"""Frames that share a pass of encoder, generator and upscaler."""

FEATHER: Final = 0.2
"""Width of the soft edge in crop sides: in a video a harder one shows the square."""


@dataclass(frozen=True, slots=True)
class VideoProgress:
    """How far a video has come.

    Attributes:
        frames: Frames that are written.
        expected: How many there will be, as far as the file's header says; None: it does not say.
        drawn: Frames with a drawing.
        shots: Shots in which the face was found.
    """

    frames: int = 0
    expected: int | None = None
    drawn: int = 0
    shots: int = 0


@dataclass(frozen=True, slots=True)
class VideoOptions:
    """How a video is drawn.

    Attributes:
        conversion: Look, and the settings of searches.
        face: Which face of each shot: the largest one, or one by size from 0.
        smooth: Whether frames are taken together; otherwise each is drawn for itself, and the drawing flickers.
        first_frame_search: Whether the first frame of each shot is searched, and what that adds to the encoder's guess
            carried along the shot.
        seed: Of these searches.
        limits: What the video may cost.
    """

    conversion: ConversionOptions = field(default_factory=ConversionOptions)
    face: Literal["largest"] | int = "largest"
    smooth: bool = True
    first_frame_search: bool = False
    seed: int = 0
    limits: VideoLimits = DEFAULT_LIMITS


OnProgress = Callable[[VideoProgress], None]


def convert_video(
    pipeline: Pipeline,
    detector: FaceDetector,
    source: Path,
    target: Path,
    style: str,
    options: VideoOptions,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Draw one person of a video in a style. Frames without the face keep their picture, the sound is copied.

    Args:
        pipeline: Knows the styles.
        detector: Finds faces.
        source: The video.
        target: The new video; an existing file is replaced, by a whole one.
        style: Name of the style.
        options: How.
        on_progress: Called after every batch of frames.

    Returns:
        Style, frames, drawn frames, shots, seconds, warnings and model ids, JSON-ready.

    Raises:
        VideoError: The file is no usable video, or its sound does not fit into the new one.
        NoFace: The chosen face is in none of its frames.
        FaceIndexOutOfRange: Faces are, and never this one.
        UnknownStyle: There is no such style.
        CheckpointError: Its weights cannot be used.
        InversionError: A search failed.
        UsageError: There is no such file, the new one cannot be written, or the style has no encoder.
    """
    check_output(target)
    if target.resolve() == source.resolve():
        raise UsageError(f"`{target}` is the video itself; name another file with -o.")
    start = time.perf_counter()
    clip = _Clip(pipeline, detector, style, options, on_progress)
    with VideoReader(source, options.limits) as reader, video_writer(target, reader) as writer:
        clip.convert(reader, writer)
    return {
        "video": str(source),
        "output": str(target),
        "style": style,
        "frames": clip.progress.frames,
        "drawn": clip.progress.drawn,
        "shots": clip.progress.shots,
        "seconds": round(time.perf_counter() - start, 3),
        "warnings": _warnings(reader),
        "models": dict(pipeline.pair(style).model_ids),
    }


@dataclass(slots=True, eq=False)
class _Face:
    """A face of a batch: its frame's place in the batch, and how it is framed."""

    index: int
    alignment: Alignment
    frame: FaceFrame


class _Clip:
    """One video on its way."""

    def __init__(
        self,
        pipeline: Pipeline,
        detector: FaceDetector,
        style: str,
        options: VideoOptions,
        on_progress: OnProgress | None,
    ) -> None:
        self._pipeline = pipeline
        self._style = style
        self._options = options
        self._on_progress = on_progress
        self._framing = pipeline.framing(style)
        self._tracker = FaceTracker(detector, options.face, steady=options.smooth)
        self._drawer = ClipDrawer(
            pipeline.check(style, options.conversion),
            options.conversion.look,
            pipeline.upscaler,
            smoothing=LATENT_SMOOTHING if options.smooth else None,
            search=self._search if options.first_frame_search else None,
        )
        self.progress = VideoProgress()

    def convert(self, reader: VideoReader, writer: VideoWriter) -> None:
        """Draw all frames of one file into another."""
        tracked = self._tracker.track(reader.frames(writer.sound))
        for batch in _batches(tracked, BATCH):
            faces = [face for index, frame in enumerate(batch) if (face := self._face(index, frame)) is not None]
            drawn = self._draw(batch, faces)
            for index, one in enumerate(batch):
                writer.write(one.frame, drawn.get(index))
            self._advance(reader, len(batch), faces)
        if not self.progress.drawn:
            raise self._nobody()

    def _face(self, index: int, tracked: TrackedFrame[ClipFrame]) -> _Face | None:
        if tracked.landmarks is None:
            return None
        rgb = tracked.frame.rgb
        template, resolution = self._framing
        alignment = align_landmarks(tracked.landmarks, template, resolution)
        crop = crop_aligned(rgb, alignment)
        frame = FaceFrame(crop, tracked.frame.time, tracked.starts, resolution / alignment.scale)
        return _Face(index, alignment, frame)

    def _draw(self, batch: list[TrackedFrame[ClipFrame]], faces: list[_Face]) -> dict[int, NDArray[np.uint8]]:
        """Return the drawn frames of a batch by their place in it."""
        if not faces:
            return {}
        pictures = self._drawer.draw([face.frame for face in faces])
        return {
            face.index: paste_back(batch[face.index].frame.rgb, to_rgb(picture), face.alignment, FEATHER)
            for face, picture in zip(faces, pictures, strict=True)
        }

    def _search(self, crop: NDArray[np.uint8]) -> Tensor:
        subject = Subject(crop, self._options.seed)
        ((_, found),) = self._pipeline.convert(self._style, self._options.conversion, [subject])
        if isinstance(found, NigaoeError):
            raise found
        return found.latent.w_plus

    def _advance(self, reader: VideoReader, frames: int, faces: list[_Face]) -> None:
        now = self.progress
        self.progress = VideoProgress(
            now.frames + frames,
            reader.frames_expected,
            now.drawn + len(faces),
            now.shots + sum(face.frame.starts for face in faces),
        )
        if self._on_progress is not None:
            self._on_progress(self.progress)

    def _nobody(self) -> NoFace | FaceIndexOutOfRange:
        most = self._tracker.most_faces
        if most:
            return FaceIndexOutOfRange(
                f"There is no face {self._options.face} in any frame; they show up to {most}, counted from 0, the "
                "largest first.",
                count=most,
            )
        return NoFace("No face was found in any frame; please use a video with a clearly visible face.")


def _batches(frames: Iterable[TrackedFrame[ClipFrame]], size: int) -> Iterator[list[TrackedFrame[ClipFrame]]]:
    remaining = iter(frames)
    while batch := list(islice(remaining, size)):
        yield batch


def _warnings(reader: VideoReader) -> list[str]:
    if not reader.damaged:
        return []
    return ["The video is damaged in places or ends too early; what could not be decoded was left out."]
