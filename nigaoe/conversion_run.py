"""One `nigaoe convert`: photos stream through the pipeline; a bad one is told and the others go on."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import NigaoeError
from core.jobs import Method
from faces.detect import FaceDetector
from model.conversion import Conversion
from model.inversion.request import Progress
from model.inversion.settings import InversionSettings
from model.pipeline import Order, Pipeline, Subject
from model.pixels import to_rgb
from model.portrait import Look
from nigaoe.outputs import Extras, OutputNames, write_outputs
from nigaoe.photos import FaceChoice, FramedFace, frame_faces

ANIMATION_FRAMES = 48


@dataclass(frozen=True, slots=True)
class ConversionOrder:
    """What the command line asked for."""

    photos: Sequence[Path]
    folder: Path
    style: str
    method: Method
    settings: InversionSettings
    look: Look
    seed: int
    faces: FaceChoice
    extras: Extras


@dataclass(frozen=True, slots=True)
class Listener:
    """Who wants to know how the run goes on; every function is called in the run's own thread.

    Attributes:
        photo_framed: A photo was read; how many of its faces will be converted.
        steps_done: So many steps of reverse generation were taken, for one face.
        report: A face is finished: its JSON-ready report.
        failed: A photo, or one of its faces, has failed.
    """

    photo_framed: Callable[[Path, int], None]
    steps_done: Callable[[int], None]
    report: Callable[[dict[str, Any]], None]
    failed: Callable[[Path, NigaoeError], None]


@dataclass(slots=True, eq=False)
class _Work:
    """One face on its way, with the frames of its animation."""

    face: FramedFace
    frames: list[NDArray[np.uint8]] = field(default_factory=list)
    steps: int = 0


class ConversionRun:
    """Convert many photos with one pipeline.

    Args:
        order: What to do.
        pipeline: Draws and finds.
        listener: Hears of everything as it happens.
    """

    def __init__(self, order: ConversionOrder, pipeline: Pipeline, listener: Listener) -> None:
        self.order = order
        self.pipeline = pipeline
        self.listener = listener
        self.failures: list[NigaoeError] = []
        self._detector = FaceDetector()
        self._names = OutputNames(order.folder, order.style)
        self._work: dict[Subject, _Work] = {}

    def run(self) -> list[NigaoeError]:
        """Convert everything.

        Returns:
            The errors of all faces and photos that failed.

        Raises:
            UnknownStyle: There is no such style.
            CheckpointError: Its weights cannot be used.
        """
        order = Order(self.order.style, self.order.method, self.order.settings, self.order.look)
        for subject, outcome in self.pipeline.convert(order, self._subjects()):
            work = self._work.pop(subject)
            if isinstance(outcome, NigaoeError):
                self._fail(work.face.source, outcome)
            else:
                self._finish(work, outcome)
        return self.failures

    def _subjects(self) -> Iterator[Subject]:
        for path in self.order.photos:
            try:
                template, resolution = self.pipeline.framing(self.order.style)
                faces = list(frame_faces(path, self.order.faces, template, resolution, self._detector))
            except NigaoeError as error:
                self._fail(path, error)
                continue
            self.listener.photo_framed(path, len(faces))
            yield from (self._subject(face) for face in faces)

    def _subject(self, face: FramedFace) -> Subject:
        work = _Work(face)
        steps = self.order.settings.steps
        subject = Subject(
            crop=face.crop,
            seed=self.order.seed,
            on_progress=lambda progress: self._note(work, progress),
            preview_interval=max(1, steps // ANIMATION_FRAMES) if self.order.extras.animation else None,
        )
        self._work[subject] = work
        return subject

    def _note(self, work: _Work, progress: Progress) -> None:
        # A second inversion (method best) counts from one again.
        self.listener.steps_done(progress.step - work.steps if progress.step > work.steps else progress.step)
        work.steps = progress.step
        if progress.preview is not None:
            work.frames.append(to_rgb(progress.preview))

    def _finish(self, work: _Work, conversion: Conversion) -> None:
        start = time.perf_counter()
        stem = self._names.stem_for(work.face)
        try:
            files = write_outputs(self.order.folder, stem, work.face, conversion, self.order.extras, work.frames)
        except NigaoeError as error:
            self._fail(work.face.source, error)
            return
        report = conversion_report(work.face, conversion, files)
        report["seconds"]["write"] = time.perf_counter() - start
        report["seconds"] = {stage: round(seconds, 4) for stage, seconds in report["seconds"].items()}
        self.listener.report(report)

    def _fail(self, path: Path, error: NigaoeError) -> None:
        self.failures.append(error)
        self.listener.failed(path, error)


def conversion_report(face: FramedFace, conversion: Conversion, files: dict[str, str]) -> dict[str, Any]:
    """Return the machine-readable report of one face, JSON-ready."""
    return {
        "photo": str(face.source),
        "files": files,
        "face": face.index,
        "faces_found": face.faces_found,
        **face.face.to_json(),
        "warnings": warnings_for(face),
        **conversion.report,
        "seconds": face.seconds | conversion.report["seconds"],
    }


def failure_report(path: Path, error: NigaoeError) -> dict[str, Any]:
    """Return the machine-readable report of a photo that failed, JSON-ready."""
    details = json.loads(json.dumps(error.details, default=str))
    return {"photo": str(path), "error": {"code": error.code, "message": error.message, **details}}


def warnings_for(face: FramedFace) -> list[str]:
    """Return sentences about what may spoil the likeness."""
    warnings = []
    if face.face.pose.is_profile:
        warnings.append("The face is turned far to the side; a photo from the front gives a better likeness.")
    x0, y0, x1, y1 = face.face.box
    if min(x1 - x0, y1 - y0) < face.alignment.resolution / 2:
        warnings.append("The face is very small in the photo; a closer photo gives a better likeness.")
    return warnings
