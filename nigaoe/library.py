"""Nigaoe as a Python library: photos in, portraits out, in this process.

>>> from nigaoe import Nigaoe
>>> nigaoe = Nigaoe(device="cpu")
>>> result = nigaoe.convert("samples/astronaut.jpg", style="anime", steps=2)
>>> result.picture.size
(512, 512)
>>> nigaoe.restyle(result, style="tv").report["style"]
'tv'
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, Unpack, overload

import torch
from pydantic import ValidationError
from torch import Tensor

from nigaoe.batch import Batch, BatchProgress, OnePassOptions
from nigaoe.extras import missing_extra
from nigaoe.photos import FaceChoice, Photo, read_pixels
from nigaoe.results import Drawing, Result
from nigaoe_core.errors import NigaoeError, UsageError
from nigaoe_core.jobs import DEFAULT_COLOURS, Method, Preset
from nigaoe_core.registry import Registry, Style
from nigaoe_core.settings import load_settings
from nigaoe_faces.detect import FaceDetector
from nigaoe_faces.reference import frame_reference
from nigaoe_model.device import prepare_device
from nigaoe_model.inversion.settings import PRESETS, InversionSettings, Space, StartChoice
from nigaoe_model.portrait.blend import Degree
from nigaoe_model.portrait.convert import Conversion, ConversionOptions, redraw
from nigaoe_model.portrait.drawing import Look, draw_portraits
from nigaoe_model.portrait.pair import Pair
from nigaoe_model.portrait.pipeline import Pipeline
from nigaoe_model.portrait.stored_latent import LatentCard, StoredLatent
from nigaoe_model.stylegan2.latent_statistics import sample_w

if TYPE_CHECKING:
    from nigaoe.video.conversion import VideoProgress
    from nigaoe.video.reader import VideoLimits

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
        preset: ``instant`` draws what the encoder guesses; ``draft``, ``standard`` and ``best`` search, ever longer;
            or all settings of the search. Default ``standard``.
        steps: Steps of reverse generation instead of the preset's.
        space: ``w``, one style for all layers, or ``w_plus``, one a layer, instead of the preset's.
        start: Where the search begins: at the ``mean`` face, at the ``encoder``'s guess, or (``auto``, the default) at
            the nearer of both.
        seed: Of everything random; with GANs N' Roses it draws the style. Default 0.
        reference: Anime picture whose style or texture a feed-forward style uses. Default: none.
    """

    method: Method | Literal["cross", "direct", "best"]
    preset: Preset | Literal["instant", "draft", "standard", "best"] | InversionSettings
    steps: int | None
    space: Space | None
    start: StartChoice | None
    seed: int
    reference: Photo | None


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

        Feed-forward styles draw it in one pass, and take few of the options; see `Style.options`:

        >>> result = nigaoe.convert("samples/astronaut.jpg", style="gans-n-roses", seed=3)
        >>> result.report["method"], result.report["seed"], result.is_searched
        ('gans-n-roses', 3, False)
        >>> like = nigaoe.convert("samples/astronaut.jpg", style="gans-n-roses", reference=result.picture)
        >>> like.report["reference"]
        True

        Args:
            photo: A path, a file's bytes, a PIL picture, or RGB pixels # [H, W, 3].
            style: Name of a style; None: the first of `styles`.
            face: The largest one, or one by size from 0.
            frames: About how many reconstructions on the way are kept, for a film.
            on_progress: Called after every step.
            options: See `ConvertOptions`.

        Raises:
            ImageError: The photo, or the reference, is no usable picture.
            FaceError: It shows no face, or not this one.
            UnknownStyle: There is no such style.
            CheckpointError: Its weights cannot be used.
            UsageError: An option makes no sense, the style does not take it, or there is no such file.
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
            UsageError: An option makes no sense, or the style does not take it.
            ImageError: The reference is no usable picture.
            ReferenceWithoutFace: The reference shows no face.
        """
        style, chosen = self.check(style, **options)
        seed = options.get("seed", 0)
        batch = Batch(self.pipeline, self.detector, style, chosen, seed, faces, frames, on_progress, on_error)
        return batch.run(list(photos))

    def check(
        self, style: str | None = None, **options: Unpack[ConvertOptions]
    ) -> tuple[str, ConversionOptions | OnePassOptions]:
        """Load what a conversion needs, and raise what it would raise before any photo is opened; see `convert_all`.

        Returns:
            The style's name, and all options.
        """
        entry = self.pipeline.registry.style(style or self.pipeline.registry.default_style().name)
        reference = options.get("reference")
        entry.check_options({**options, "reference": reference is not None or None})
        if not entry.is_feed_forward:
            return entry.name, self._search_options(entry.name, options)
        template, resolution = self.pipeline.framing(entry.name)
        if reference is None:
            return entry.name, OnePassOptions()
        framed = frame_reference(read_pixels(reference), template, resolution, self.detector)
        return entry.name, OnePassOptions(framed)

    def _search_options(self, style: str, options: ConvertOptions) -> ConversionOptions:
        preset = options.get("preset", Preset.STANDARD)
        whole = preset if isinstance(preset, InversionSettings) else PRESETS[_member(Preset, preset)]
        chosen = {name: options.get(name) for name in ("steps", "space", "start")}
        changes = {name: value for name, value in chosen.items() if value is not None}
        try:
            settings = InversionSettings.model_validate(dict(whole) | changes)
        except ValidationError as error:
            problem = error.errors()[0]
            where = f"{problem['loc'][0]} cannot be {problem['input']!r}: " if problem["loc"] else ""
            raise UsageError(f"{where}{problem['msg']}.") from error
        method = _member(Method, options.get("method", Method.CROSS))
        conversion = ConversionOptions(method, settings, self._look(style, options))
        self.pipeline.check(style, conversion)
        return conversion

    def convert_video(
        self,
        video: str | Path,
        output: str | Path,
        *,
        style: str | None = None,
        face: Literal["largest"] | int = "largest",
        smooth: bool = True,
        first_frame_search: bool = False,
        limits: "VideoLimits | None" = None,
        on_progress: "Callable[[VideoProgress], None] | None" = None,
        **options: Unpack[ConvertOptions],
    ) -> dict[str, Any]:
        """Draw one person of a video; the encoder's guess is drawn in each frame, smoothed in time.

        Args:
            video: Path of the video.
            output: Path of the new one, which ends in .mp4, .m4v, .mov, .mkv or .webm. It appears when it is whole.
            style: Name of a style of reverse generation whose generator has an encoder; None: the first of `styles`.
            face: The largest one of each shot, or one by size from 0.
            smooth: Whether frames are taken together; otherwise each is drawn for itself, and flickers.
            first_frame_search: Search the first frame of each shot, and carry what that adds to the encoder's guess
                along the shot.
            limits: What the video may cost; None: ten minutes in 4K.
            on_progress: Called after every few frames.
            options: How drawings look, and how first frames are searched; see `ConvertOptions`.

        Returns:
            Style, frames, drawn frames, shots, seconds, warnings and models, JSON-ready.

        Raises:
            VideoError: The file is no usable video, or its sound does not fit into the new one.
            FaceError: The chosen face is in no frame.
            UnknownStyle: There is no such style.
            CheckpointError: Its weights cannot be used.
            MissingExtra: The extra ``video`` is not installed.
            UsageError: An option makes no sense, a file cannot be read or written, or the style has no encoder.
        """
        try:
            from nigaoe.video.conversion import VideoOptions, convert_video
            from nigaoe.video.reader import DEFAULT_LIMITS
        except ModuleNotFoundError as error:
            raise missing_extra(error.name or "av", "video") from error
        style, conversion = self.check(style, **options)
        if not isinstance(conversion, ConversionOptions):
            raise UsageError(f"`{style}` draws without a latent, so it follows no face; take one with a parent.")
        seed = options.get("seed", 0)
        how = VideoOptions(conversion, face, smooth, first_frame_search, seed, limits or DEFAULT_LIMITS)
        return convert_video(self.pipeline, self.detector, Path(video), Path(output), style, how, on_progress)

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
            drawn: A result of a search, a sample, or a latent that was kept.
            style: Name of a style of the same generator; None: the one of before.
            options: See `DrawOptions`.

        Raises:
            UnknownStyle: There is no such style.
            CheckpointError: Its weights cannot be used.
            ParentMismatch: The style belongs to another generator.
            UsageError: An option makes no sense, or the result is of a feed-forward style, which finds no latent.
        """
        style = style or (drawn.card.style if isinstance(drawn, StoredLatent) else str(drawn.report["style"]))
        look = self._look(style, options)
        if isinstance(drawn, Drawing):
            return replace(drawn, conversion=self.pipeline.restyle(drawn.searched(), style, look))
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
    def detector(self) -> FaceDetector:
        """What finds faces, loaded when it is first needed."""
        return FaceDetector()

    def _look(self, style: str, options: DrawOptions) -> Look:
        truncation = options.get("truncation")
        own = self.pipeline.registry.style(style).truncation if truncation is None else truncation
        return Look(options.get("degree", 1.0), own, options.get("colours", DEFAULT_COLOURS))


def _report(pair: Pair, card: LatentCard) -> dict[str, Any]:
    """Return what is known of a latent that was not found just now."""
    known = card.model_dump(include={"method", "distance", "steps", "seed"})
    return {"style": pair.style, **known, "models": dict(pair.model_ids)}


def _member(kind: type[E], value: str) -> E:
    try:
        return kind(value)
    except ValueError:
        raise UsageError(f"There is no {kind.__name__.lower()} `{value}`; choose among {', '.join(kind)}.") from None
