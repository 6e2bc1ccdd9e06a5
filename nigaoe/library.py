"""Nigaoe as a Python library: photos in, portraits out, in this process.

>>> from nigaoe import Nigaoe
>>> nigaoe = Nigaoe(device="cpu")
>>> result = nigaoe.convert("samples/astronaut.jpg", style="anime", steps=2)
>>> result.picture.size
(256, 256)
>>> nigaoe.restyle(result, style="tv").report["style"]
'tv'
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar, Unpack, overload

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from nigaoe.photos import FaceChoice, FramedFace, Photo, frame_faces
from nigaoe.results import Drawing, Result
from nigaoe_core.errors import NigaoeError, UsageError
from nigaoe_core.jobs import DEFAULT_COLOURS, Method, Preset
from nigaoe_core.registry import Registry, Style
from nigaoe_core.settings import load_settings
from nigaoe_faces.detect import FaceDetector
from nigaoe_model.device import prepare_device
from nigaoe_model.inversion.request import Progress
from nigaoe_model.inversion.settings import PRESETS, Space, StartChoice
from nigaoe_model.pixels import to_rgb
from nigaoe_model.portrait.blend import Degree
from nigaoe_model.portrait.convert import Conversion, ConversionOptions, redraw
from nigaoe_model.portrait.drawing import Look, draw_portraits
from nigaoe_model.portrait.pair import Pair
from nigaoe_model.portrait.pipeline import Pipeline, Subject
from nigaoe_model.portrait.stored_latent import LatentCard, StoredLatent
from nigaoe_model.stylegan2.latent_statistics import sample_w

SAMPLE_BATCH = 8

E = TypeVar("E", bound=StrEnum)


class DrawOptions(TypedDict, total=False):
    """How a latent is drawn.

    Attributes:
        degree: 0 draws the person, 1 the style; one number, or one a resolution. Default 1.
        truncation: 1 draws the latent as found, 0 the mean face; None: what suits the style. 0..1.
        colours: 1 draws in the person's colours, 0 in the style's own. Default 1.
    """

    degree: Degree
    truncation: float | None
    colours: float


class ConvertOptions(DrawOptions, total=False):
    """How a face is found, and how it is drawn.

    Attributes:
        method: ``cross`` finds a person and draws him in the style, ``direct`` searches in the style, ``best`` does
            both and ranks them. Default ``cross``.
        preset: ``draft``, ``standard`` or ``best``: how much work a likeness may cost. Default ``standard``.
        steps: Steps of reverse generation instead of the preset's.
        space: ``w``, one style for all layers, or ``w_plus``, one a layer, instead of the preset's.
        start: Where the search begins: at the ``mean`` face, at the ``encoder``'s guess, or (``auto``, the default) at
            the nearer of both.
        seed: Of everything random. Default 0.
    """

    method: Method | Literal["cross", "direct", "best"]
    preset: Preset | Literal["draft", "standard", "best"]
    steps: int | None
    space: Space | None
    start: StartChoice | None
    seed: int


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


class Nigaoe:
    """Finds people in photos and draws them; weights are loaded when they are first needed.

    Not thread-safe: one thread uses an instance.

    Args:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        threads: CPU threads of one operation, 0: one for each core; None: what NIGAOE_TORCH_THREADS says.
        weights: Folder of weights with its ``manifest.toml``; None: the bundled weights and those that were imported.
        upscale: Whether drawings below 256 pixels are enlarged four times.

    Attributes:
        pipeline: The same for aligned crops, with tensors.

    Raises:
        UsageError: There is no such device.
        InvalidManifest: The weights' manifest cannot be used.
    """

    def __init__(
        self, *, device: str = "auto", threads: int | None = None, weights: Path | None = None, upscale: bool = True
    ) -> None:
        settings = load_settings()
        registry = Registry.from_settings(settings) if weights is None else Registry.load(weights)
        chosen = prepare_device(device, settings.torch_threads if threads is None else threads)
        self.pipeline = Pipeline(registry, device=chosen, upscale=upscale)

    @property
    def styles(self) -> list[Style]:
        """The installed styles; the first is the default."""
        return self.pipeline.registry.styles()

    def convert(
        self,
        photo: Photo,
        *,
        style: str | None = None,
        face: Literal["largest"] | int = "largest",
        frames: int = 0,
        on_progress: Callable[[BatchProgress], None] | None = None,
        **options: Unpack[ConvertOptions],
    ) -> Result:
        """Convert one face of a photo.

        Args:
            photo: A path, a file's bytes, a PIL picture, or RGB pixels # [H, W, 3].
            style: Name of a style; None: the first of `styles`.
            face: The largest one, or one by size from 0.
            frames: About how many reconstructions on the way are kept, for a film.
            on_progress: Called after every step.
            options: See `ConvertOptions`.

        Raises:
            ImageError: The photo is no usable picture.
            FaceError: It shows no face, or not this one.
            UnknownStyle: There is no such style.
            CheckpointError: Its weights cannot be used.
            UsageError: An option makes no sense, or there is no such file.
        """
        (result,) = self.convert_all(
            [photo], style=style, faces=face, frames=frames, on_progress=on_progress, **options
        )
        return result

    def convert_all(
        self,
        photos: Iterable[Photo],
        *,
        style: str | None = None,
        faces: FaceChoice = "largest",
        frames: int = 0,
        on_progress: Callable[[BatchProgress], None] | None = None,
        on_error: Callable[[Photo, NigaoeError], None] | None = None,
        **options: Unpack[ConvertOptions],
    ) -> Iterator[Result]:
        """Convert photos, several faces as one batch.

        Args:
            photos: See `convert`; each is opened when its turn comes.
            style: Name of a style; None: the first of `styles`.
            faces: Which of each photo: ``largest``, ``all``, or one by size from 0.
            frames: See `convert`.
            on_progress: Called after every step, and when a face is finished.
            on_error: Called with each photo of which something failed, while the others go on; None: the first failure
                is raised.
            options: See `ConvertOptions`.

        Returns:
            The results as they finish, not in the order of the photos.

        Raises:
            UnknownStyle: There is no such style.
            CheckpointError: Its weights cannot be used.
            UsageError: An option makes no sense.
        """
        style, conversion = self.check(style, **options)
        seed = options.get("seed", 0)
        batch = _Batch(self.pipeline, self._detector, style, conversion, seed, faces, frames, on_progress, on_error)
        return batch.run(list(photos))

    def check(self, style: str | None = None, **options: Unpack[ConvertOptions]) -> tuple[str, ConversionOptions]:
        """Load what a conversion needs, and raise what it would raise before any photo is opened; see `convert_all`.

        Returns:
            The style's name, and all options.
        """
        style = style or self.pipeline.registry.default_style().name
        preset = PRESETS[_member(Preset, options.get("preset", Preset.STANDARD))]
        chosen = {name: options.get(name) for name in ("steps", "space", "start")}
        changes = {name: value for name, value in chosen.items() if value is not None}
        try:
            settings = type(preset).model_validate(dict(preset) | changes)
        except ValidationError as error:
            problem = error.errors()[0]
            raise UsageError(f"{problem['loc'][0]} cannot be {problem['input']!r}: {problem['msg']}.") from error
        method = _member(Method, options.get("method", Method.CROSS))
        conversion = ConversionOptions(method, settings, self._look(style, options))
        self.pipeline.check(style, conversion)
        return style, conversion

    @overload
    def restyle(self, drawn: Result, style: str | None = None, **options: Unpack[DrawOptions]) -> Result: ...
    @overload
    def restyle(
        self, drawn: Drawing | StoredLatent, style: str | None = None, **options: Unpack[DrawOptions]
    ) -> Drawing: ...
    def restyle(
        self, drawn: Drawing | StoredLatent, style: str | None = None, **options: Unpack[DrawOptions]
    ) -> Drawing:
        """Draw what was found once more, in another style or otherwise; nothing is searched.

        Args:
            drawn: A result, a sample, or a latent that was kept.
            style: Name of a style of the same generator; None: the one of before.
            options: See `DrawOptions`.

        Raises:
            UnknownStyle: There is no such style.
            CheckpointError: Its weights cannot be used.
            ParentMismatch: The style belongs to another generator.
            UsageError: An option makes no sense.
        """
        style = style or (drawn.card.style if isinstance(drawn, StoredLatent) else str(drawn.report["style"]))
        look = self._look(style, options)
        if isinstance(drawn, Drawing):
            return replace(drawn, conversion=self.pipeline.restyle(drawn.conversion, style, look))
        pair = self.pipeline.pair(style)
        return Drawing(Conversion(redraw(pair, drawn, look, self.pipeline.upscaler), drawn, _report(pair, drawn.card)))

    def sample(
        self,
        count: int = 1,
        *,
        style: str | None = None,
        seed: int = 0,
        degree: Degree = 1.0,
        truncation: float = 0.8,
    ) -> list[Drawing]:
        """Draw people who do not exist.

        Args:
            count: How many.
            style: By default the first of `styles`.
            seed: The same seed draws the same people, in every style of one generator.
            degree: See `DrawOptions`.
            truncation: truncation_psi: 1 the whole variety, 0 the mean face.

        Raises:
            UnknownStyle: There is no such style.
            CheckpointError: Its weights cannot be used.
            UsageError: ``degree`` or ``truncation`` is out of range.
        """
        style = style or self.pipeline.registry.default_style().name
        w = sample_w(self.pipeline.pair(style).g_ori.generator.mapping, count, seed=seed)
        return [
            drawing
            for part in torch.split(w, SAMPLE_BATCH)
            for drawing in self.draw(part, style=style, degree=degree, truncation=truncation)
        ]

    def draw(self, w: Tensor, *, style: str, degree: Degree = 1.0, truncation: float = 1.0) -> list[Drawing]:
        """Draw latents, as persons and in a style.

        Args:
            w: # [N, w_dim].
            style: Name of a style.
            degree: See `DrawOptions`.
            truncation: truncation_psi of person and drawing.

        Raises:
            UnknownStyle: There is no such style.
            CheckpointError: Its weights cannot be used.
            UsageError: ``degree`` or ``truncation`` is out of range.
        """
        pair, look = self.pipeline.pair(style), Look(degree, truncation)
        mapping = pair.g_ori.generator.mapping
        ws = mapping.truncate(mapping.broadcast(w), look.truncation_psi)
        card = LatentCard(generator_sha256=pair.g_ori.digest, method="sample", style=style)
        portraits = draw_portraits(pair, ws, Look(degree), self.pipeline.upscaler)
        return [
            Drawing(Conversion(portrait, StoredLatent(card, w_plus.cpu()), _report(pair, card)))
            for portrait, w_plus in zip(portraits, ws, strict=True)
        ]

    def families(self, on_error: Callable[[NigaoeError], None]) -> Iterator[list[Style]]:
        """Load all styles, generator by generator: what one search has found, all styles of its generator can draw.

        Args:
            on_error: Called with what is wrong with each style that cannot be loaded.

        Yields:
            The styles of one generator that can be drawn, at least one.
        """
        for styles in self.pipeline.registry.usable_styles().values():
            loaded: list[Style] = []
            for style in styles:
                try:
                    self.pipeline.pair(style.name)
                except NigaoeError as error:
                    on_error(error)
                else:
                    loaded.append(style)
            if loaded:
                yield loaded

    @cached_property
    def _detector(self) -> FaceDetector:
        return FaceDetector()

    def _look(self, style: str, options: DrawOptions) -> Look:
        truncation = options.get("truncation")
        own = self.pipeline.registry.style(style).truncation if truncation is None else truncation
        return Look(options.get("degree", 1.0), own, options.get("colours", DEFAULT_COLOURS))


@dataclass(slots=True, eq=False)
class _Search:
    """One face that is searched: what was seen of it on the way."""

    face: FramedFace
    frames: list[NDArray[np.uint8]] = field(default_factory=list)
    step: int = 0  # Of the search that runs; the second one of a method begins at one again.
    steps: int = 0  # Of all its searches.


@dataclass(slots=True, eq=False)
class _Batch:
    """Photos on their way through the pipeline."""

    pipeline: Pipeline
    detector: FaceDetector
    style: str
    options: ConversionOptions
    seed: int
    faces: FaceChoice
    frames: int
    on_progress: Callable[[BatchProgress], None] | None
    on_error: Callable[[Photo, NigaoeError], None] | None
    searches: dict[Subject, _Search] = field(default_factory=dict)
    progress: BatchProgress = field(default_factory=lambda: BatchProgress(0, 0, 0, None))

    @property
    def budget(self) -> int:
        """Most steps of one face."""
        return self.options.settings.steps * len(self.options.roles)

    def run(self, photos: list[Photo]) -> Iterator[Result]:
        self.progress = replace(self.progress, steps=self.budget * len(photos))
        for subject, outcome in self.pipeline.convert(self.style, self.options, self._subjects(photos)):
            search = self.searches.pop(subject)
            self._advance(steps=search.steps - self.budget, faces=1)
            if isinstance(outcome, NigaoeError):
                self._fail(search.face.source, outcome)
            else:
                yield Result(outcome, search.face, search.frames)

    def _subjects(self, photos: list[Photo]) -> Iterator[Subject]:
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


def _report(pair: Pair, card: LatentCard) -> dict[str, Any]:
    """Return what is known of a latent that was not found just now."""
    known = card.model_dump(include={"method", "distance", "steps", "seed"})
    return {"style": pair.style, **known, "models": dict(pair.model_ids)}


def _member(kind: type[E], value: str) -> E:
    try:
        return kind(value)
    except ValueError:
        raise UsageError(f"There is no {kind.__name__.lower()} `{value}`; choose among {', '.join(kind)}.") from None
