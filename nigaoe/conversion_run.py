"""One `nigaoe convert`: photos stream through the pipeline; a bad one is told and the others go on."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nigaoe.outputs import Extras, OutputNames, write_outputs, write_sheet
from nigaoe.photos import FaceChoice, FramedFace, frame_faces
from nigaoe_core.errors import NigaoeError
from nigaoe_core.jobs import Method
from nigaoe_faces.detect import FaceDetector
from nigaoe_faces.result_encoder import ResultEncoder
from nigaoe_model.inversion.request import Progress
from nigaoe_model.inversion.settings import InversionSettings
from nigaoe_model.pixels import to_rgb
from nigaoe_model.portrait.convert import Conversion, ConversionOptions
from nigaoe_model.portrait.drawing import Look, Portrait
from nigaoe_model.portrait.pipeline import Pipeline, Subject

ANIMATION_FRAMES = 48


@dataclass(frozen=True, slots=True)
class ConversionOrder:
    """What the command line asked for.

    Attributes:
        photos: Files to convert.
        folder: Where results go.
        style: Style to draw in.
        method: Which generators are searched; with a sheet only the shared one can be: cross.
        settings: Of every search.
        look: How what was found is drawn, but for its truncation.
        truncation: Of every style's drawings; None for what each style's entry says.
        seed: Seed of everything random.
        faces: Which faces of a photo.
        extras: What is written beside the picture.
        sheet: What is found is drawn in several styles, and one sheet shows them all.
    """

    photos: Sequence[Path]
    folder: Path
    style: str
    method: Method
    settings: InversionSettings
    look: Look
    seed: int
    faces: FaceChoice
    extras: Extras
    truncation: float | None = None
    sheet: "Sheet | None" = None


@dataclass(frozen=True, slots=True)
class Sheet:
    """Several styles of one generator, side by side.

    Attributes:
        name: Takes the place of a style in the sheet's file name and in reports.
        titles: Style to title, as they shall stand; the order's own style is one of them.
    """

    name: str
    titles: Mapping[str, str]


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
        results: Writes the files; None: they are marked, not signed.
    """

    def __init__(
        self, order: ConversionOrder, pipeline: Pipeline, listener: Listener, results: ResultEncoder | None = None
    ) -> None:
        self.order = order
        self.pipeline = pipeline
        self.listener = listener
        self.failures: list[NigaoeError] = []
        self._results = results or ResultEncoder()
        self._detector = FaceDetector()
        self._names = OutputNames()
        self._work: dict[Subject, _Work] = {}

    def run(self) -> list[NigaoeError]:
        """Convert everything.

        Returns:
            The errors of all faces and photos that failed.

        Raises:
            UnknownStyle: There is no such style.
            CheckpointError: Its weights cannot be used.
        """
        options = ConversionOptions(self.order.method, self.order.settings, self._look(self.order.style))
        for subject, outcome in self.pipeline.convert(self.order.style, options, self._subjects()):
            work = self._work.pop(subject)
            if isinstance(outcome, NigaoeError):
                self._fail(work.face.source, outcome)
            else:
                self._finish(work, outcome)
        return self.failures

    def _look(self, style: str) -> Look:
        truncation = self.order.truncation
        own = self.pipeline.registry.style(style).truncation if truncation is None else truncation
        return replace(self.order.look, truncation_psi=own)

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
        try:
            sheet = self.order.sheet
            files = self._write(work, conversion) if sheet is None else self._write_all(work, conversion, sheet)
        except NigaoeError as error:
            self._fail(work.face.source, error)
            return
        report = conversion_report(work.face, conversion, files)
        if sheet is not None:
            report["style"] = sheet.name
        report["seconds"]["write"] = time.perf_counter() - start
        report["seconds"] = {stage: round(seconds, 4) for stage, seconds in report["seconds"].items()}
        self.listener.report(report)

    def _write(self, work: _Work, conversion: Conversion, *, with_latent: bool = True) -> dict[str, str]:
        stem = self._names.stem_for(work.face, conversion.report["style"])
        extras = replace(self.order.extras, latent=self.order.extras.latent and with_latent)
        return write_outputs(self.order.folder, stem, work.face, conversion, extras, work.frames, self._results)

    def _write_all(self, work: _Work, conversion: Conversion, sheet: Sheet) -> dict[str, str]:
        """Draw and write every style of the sheet, the latent once, and the sheet itself."""
        files: dict[str, str] = {}
        drawings: list[tuple[str, Portrait]] = []
        for style, title in sheet.titles.items():
            is_own = style == self.order.style
            drawn = conversion if is_own else self.pipeline.restyle(conversion, style, self._look(style))
            written = self._write(work, drawn, with_latent=is_own)
            files |= {kind if kind == "latent" else f"{kind}-{style}": path for kind, path in written.items()}
            drawings.append((title, drawn.portrait))
        stem = self._names.stem_for(work.face, sheet.name)
        return write_sheet(self.order.folder, stem, work.face, drawings, self._results) | files

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
