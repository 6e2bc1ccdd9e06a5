"""Many photos as one batch: each is opened when a slot is free, and its failure does not stop the others."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from nigaoe.photos import FaceChoice, FramedFace, Photo, frame_faces
from nigaoe.results import Result
from nigaoe_core.errors import NigaoeError
from nigaoe_faces.detect import FaceDetector
from nigaoe_model.inversion.request import Progress
from nigaoe_model.pixels import to_rgb
from nigaoe_model.portrait.convert import Conversion, ConversionOptions
from nigaoe_model.portrait.feed_forward import OnePassDrawing
from nigaoe_model.portrait.pipeline import Pipeline, Subject


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far a batch of photos has come.

    Attributes:
        step: Steps of reverse generation that were taken, of all faces together.
        steps: How many there will have been at the end, as far as known: a photo may show more faces, or none.
        faces: Faces that are finished, failed ones too.
        distance: Reported distance of the face that was searched last; None before the first step.
    """

    step: int
    steps: int
    faces: int
    distance: float | None


@dataclass(frozen=True, slots=True, eq=False)
class OnePassOptions:
    """How faces are drawn in a feed-forward style.

    Attributes:
        reference: Anime picture whose style or texture is used, framed as the style frames photos; None: the style's
            own, or one that the seed draws. # [R, R, 3].
    """

    reference: NDArray[np.uint8] | None = None


@dataclass(slots=True, eq=False)
class _Search:
    """One face on its way: what was seen of it while it was searched."""

    face: FramedFace
    frames: list[NDArray[np.uint8]] = field(default_factory=list)
    step: int = 0  # Of the search that runs; the second one of a method begins at one again.
    steps: int = 0  # Of all its searches.


@dataclass(slots=True, eq=False)
class Batch:
    """Photos on their way through a pipeline.

    Attributes:
        pipeline: Finds and draws.
        detector: Finds faces.
        style: Name of the style.
        options: Of every face; which kind, the style's method says.
        seed: Of every face.
        faces: Which of each photo.
        frames: About how many reconstructions on the way are kept of each face.
        on_progress: Called whenever ``progress`` has changed.
        on_error: Called with each photo of which something failed; None: the first failure is raised.
        searches: Faces that are searched now.
        progress: How far all of it is.
    """

    pipeline: Pipeline
    detector: FaceDetector
    style: str
    options: ConversionOptions | OnePassOptions
    seed: int
    faces: FaceChoice
    frames: int
    on_progress: Callable[[BatchProgress], None] | None
    on_error: Callable[[Photo, NigaoeError], None] | None
    searches: dict[Subject, _Search] = field(default_factory=dict)
    progress: BatchProgress = field(default_factory=lambda: BatchProgress(0, 0, 0, None))

    @property
    def budget(self) -> int:
        """Most steps of one face; 0 where nothing is searched."""
        if isinstance(self.options, OnePassOptions):
            return 0
        return self.options.settings.steps * len(self.options.roles)

    def run(self, photos: Sequence[Photo]) -> Iterator[Result]:
        """Convert photos.

        Yields:
            The results as they finish.

        Raises:
            NigaoeError: Something failed, and there is no ``on_error``.
        """
        self.progress = replace(self.progress, steps=self.budget * len(photos))
        for subject, outcome in self._outcomes(self._subjects(photos)):
            search = self.searches.pop(subject)
            self._advance(steps=search.steps - self.budget, faces=1)
            if isinstance(outcome, NigaoeError):
                self._fail(search.face.source, outcome)
            else:
                yield Result(outcome, search.face, search.frames)

    def _outcomes(
        self, subjects: Iterator[Subject]
    ) -> Iterator[tuple[Subject, Conversion | OnePassDrawing | NigaoeError]]:
        if isinstance(self.options, OnePassOptions):
            yield from self.pipeline.draw(self.style, subjects)
        else:
            yield from self.pipeline.convert(self.style, self.options, subjects)

    def _subjects(self, photos: Sequence[Photo]) -> Iterator[Subject]:
        for photo in photos:
            try:
                faces = list(frame_faces(photo, self.faces, *self.pipeline.framing(self.style), self.detector))
            except NigaoeError as error:
                self._advance(steps=-self.budget, faces=1)
                self._fail(photo, error)
                continue
            self._advance(steps=self.budget * (len(faces) - 1))
            yield from (self._subject(face) for face in faces)

    def _subject(self, face: FramedFace) -> Subject:
        search = _Search(face)
        if isinstance(self.options, OnePassOptions):
            subject = Subject(face.crop, self.seed, reference=self.options.reference)
        else:
            subject = Subject(
                face.crop,
                self.seed,
                on_progress=lambda progress: self._note(search, progress),
                preview_interval=max(1, self.options.settings.steps // self.frames) if self.frames else None,
            )
        self.searches[subject] = search
        return subject

    def _note(self, search: _Search, progress: Progress) -> None:
        done = progress.step - search.step if progress.step > search.step else progress.step
        search.step, search.steps = progress.step, search.steps + done
        if progress.preview is not None:
            search.frames.append(to_rgb(progress.preview))
        self._advance(step=done, distance=progress.distance)

    def _advance(self, *, step: int = 0, steps: int = 0, faces: int = 0, distance: float | None = None) -> None:
        """Add to what was done and to what there is to do."""
        now = self.progress
        distance = now.distance if distance is None else distance
        self.progress = BatchProgress(now.step + step, now.steps + steps, now.faces + faces, distance)
        if self.on_progress is not None:
            self.on_progress(self.progress)

    def _fail(self, photo: Photo, error: NigaoeError) -> None:
        if self.on_error is None:
            raise error
        self.on_error(photo, error)
