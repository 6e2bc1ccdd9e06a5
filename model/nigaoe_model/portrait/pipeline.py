"""Faces in, portraits out, many at a time: every search engine is run until it is empty.

Every generator of a style is loaded once; styles of one ``g_ori`` share it. Results come as they finish, not in the
order of the faces. Feed-forward styles and instant portraits need no search: they are drawn pass by pass.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from nigaoe_core.errors import InversionError, NigaoeError, NoEncoder
from nigaoe_core.registry import Registry
from nigaoe_faces.align import AlignmentTemplate
from nigaoe_model.inversion.engine import SlotEngine
from nigaoe_model.inversion.request import Finished, InversionRequest, InversionResult, Progress
from nigaoe_model.portrait.blend import degrees_by_resolution
from nigaoe_model.portrait.convert import (
    Conversion,
    ConversionOptions,
    Role,
    conclude,
    inversion_engine,
    inversion_requests,
    restyle,
    searched,
    target_of,
)
from nigaoe_model.portrait.drawing import Look
from nigaoe_model.portrait.feed_forward import (
    FeedForwardStyle,
    OnePassDrawing,
    OnePassRequest,
    check_request,
    draw_in_one_pass,
    load_feed_forward,
)
from nigaoe_model.portrait.instant import InstantRequest, draw_guesses
from nigaoe_model.portrait.pair import LoadedGenerator, Pair, load_generator, load_pair
from nigaoe_model.portrait.upscale import Upscaler

DEFAULT_WIDTH = 8


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """One face to convert; compared by identity.

    Attributes:
        crop: Aligned as `Pipeline.framing` says. # [R, R, 3], sRGB.
        seed: Seed of everything that is drawn at random for it.
        reference: Anime picture whose style or texture is used, framed like the crop; for feed-forward styles alone.
        on_progress: Called in the caller's thread after every step.
        preview_interval: Steps between two previews; None: never.
    """

    crop: NDArray[np.uint8]
    seed: int = 0
    on_progress: Callable[[Progress], None] | None = None
    preview_interval: int | None = None
    reference: NDArray[np.uint8] | None = None


class Pipeline:
    """Convert faces offline.

    Args:
        registry: Knows the styles.
        device: Where everything is computed.
        width: Faces that are optimised as one batch.
        upscale: Whether small pictures are enlarged.
    """

    def __init__(
        self, registry: Registry, *, device: str = "cpu", width: int = DEFAULT_WIDTH, upscale: bool = True
    ) -> None:
        self.registry = registry
        self.device = device
        self.width = width
        self.upscaler = Upscaler(device, registry.folders) if upscale else None
        self._generators: dict[str, LoadedGenerator] = {}
        self._pairs: dict[str, Pair] = {}
        self._feed_forward: dict[str, FeedForwardStyle] = {}
        self._idle_engines: dict[int, SlotEngine] = {}

    def pair(self, style: str) -> Pair:
        """Load a style, or return it if it was loaded before.

        Raises:
            UnknownStyle: There is none of this name.
            MethodMismatch: It is a feed-forward style, see `feed_forward`.
            CheckpointError: Its files cannot be used together.
        """
        if style not in self._pairs:
            _, g_fin = self.registry.pair(style)
            entry = self.registry.style(style)
            if self.upscaler is not None:
                self.upscaler.prepare(entry.upscaler)
            g_ori = self.generator(self.registry.parent_of(style).name)
            self._pairs[style] = load_pair(style, g_ori, g_fin, self.device, upscaler=entry.upscaler)
        return self._pairs[style]

    def feed_forward(self, style: str) -> FeedForwardStyle:
        """Load a feed-forward style, or return it if it was loaded before.

        Raises:
            UnknownStyle: There is none of this name.
            MethodMismatch: It is a style of reverse generation, see `pair`, or its file is of another method.
            CheckpointError: Its file cannot be used.
        """
        if style not in self._feed_forward:
            entry = self.registry.feed_forward(style)
            if self.upscaler is not None:
                self.upscaler.prepare(entry.upscaler)
            self._feed_forward[style] = load_feed_forward(entry, self.device)
        return self._feed_forward[style]

    def generator(self, name: str) -> LoadedGenerator:
        """Load a base generator, or return it if it was loaded before.

        Raises:
            UnknownGenerator: There is none of this name.
            CheckpointError: Its file cannot be used.
        """
        if name not in self._generators:
            entry = self.registry.generator(name)
            self._generators[name] = load_generator(entry.path, self.device, encoder=entry.encoder)
        return self._generators[name]

    def framing(self, style: str) -> tuple[AlignmentTemplate, int]:
        """Return how photos, and references, must be aligned for a style, and at which resolution."""
        if self.registry.style(style).is_feed_forward:
            loaded = self.feed_forward(style)
            return loaded.alignment, loaded.resolution
        card = self.pair(style).g_ori.card
        return card.alignment, card.architecture.resolution

    def check(self, style: str, options: ConversionOptions) -> Pair:
        """Load what a conversion needs, before any face is there.

        Raises:
            UnknownStyle: There is no such style.
            CheckpointError: Its files cannot be used together.
            NoEncoder: The settings start from an encoder's guess, and no generator that is searched has an encoder.
            UsageError: The degree is out of range.
        """
        pair = self.pair(style)
        degrees_by_resolution(options.look.degree, pair.g_ori.card.architecture.resolutions)
        encoders = [searched(pair, role).encoder for role in options.roles]
        if options.settings.start == "encoder" and not any(encoders):
            raise NoEncoder(
                f"No encoder guesses a start for method `{options.method.value}` of style `{style}`: choose the "
                "method cross or another preset or start, or train one with `nigaoe train encoder`."
            )
        return pair

    def convert(
        self, style: str, options: ConversionOptions, subjects: Iterable[Subject]
    ) -> Iterator[tuple[Subject, Conversion | NigaoeError]]:
        """Convert faces; what goes wrong with one of them is returned in its place.

        Args:
            style: Style to draw in.
            options: Method, settings and look for all of them.
            subjects: Taken one by one as slots become free; methods that search in several generators keep all crops
                until the last search begins.

        Yields:
            Each subject with its conversion or its error, as they finish.

        Raises:
            UnknownStyle: There is no such style.
            CheckpointError: Its files cannot be used together.
            NoEncoder: There is no encoder to start from, and the settings insist.
            WrongSize: A crop was cut for another generator.
        """
        pair = self.check(style, options)
        if not options.is_searched:
            yield from self._draw_guesses(pair, options.look, subjects)
            return
        found: dict[Subject, dict[Role, InversionResult]] = {}
        for role in options.roles:
            for subject, finished in self._search(pair, role, options, subjects):
                results = found.setdefault(subject, {})
                if finished.result is None:
                    del found[subject]
                    yield subject, _error_of(finished)
                    continue
                results[role] = finished.result
                if role == options.roles[-1]:
                    del found[subject]
                    target = finished.ticket.request.target
                    yield subject, conclude(pair, options, results, target, self.upscaler, seed=subject.seed)
            subjects = list(found)

    def draw(self, style: str, subjects: Iterable[Subject]) -> Iterator[tuple[Subject, OnePassDrawing | NigaoeError]]:
        """Draw faces in a feed-forward style, `width` in one pass; what is wrong with one is returned in its place.

        Args:
            style: Style to draw in.
            subjects: Taken as passes have room for them; nobody tells them of progress.

        Yields:
            Each subject with its drawing or its error.

        Raises:
            UnknownStyle: There is no such style.
            CheckpointError: Its file cannot be used.
            MethodMismatch: Photos are searched for this style.
        """
        loaded = self.feed_forward(style)
        remaining = iter(subjects)
        while some := list(islice(remaining, self.width)):
            requests: dict[Subject, OnePassRequest] = {}
            for subject in some:
                try:
                    request = _one_pass_request(subject, loaded.resolution)
                    check_request(loaded, request)
                except NigaoeError as error:
                    yield subject, error
                else:
                    requests[subject] = request
            if requests:
                yield from zip(requests, draw_in_one_pass(loaded, list(requests.values()), self.upscaler), strict=True)

    def restyle(self, conversion: Conversion, style: str, look: Look) -> Conversion:
        """Draw a finished conversion's latent in another style of the same generator.

        Raises:
            UnknownStyle: There is no such style.
            CheckpointError: Its files cannot be used together.
            ParentMismatch: It belongs to another generator.
        """
        return restyle(self.pair(style), conversion, look, self.upscaler)

    def _draw_guesses(
        self, pair: Pair, look: Look, subjects: Iterable[Subject]
    ) -> Iterator[tuple[Subject, Conversion | NigaoeError]]:
        """Draw what the encoder guesses, `width` faces in one pass."""
        remaining, resolution = iter(subjects), pair.g_ori.card.architecture.resolution
        while some := list(islice(remaining, self.width)):
            requests = [InstantRequest(target_of(subject.crop, resolution), subject.seed) for subject in some]
            yield from zip(some, draw_guesses(pair, look, requests, self.upscaler), strict=True)

    def _search(
        self, pair: Pair, role: Role, options: ConversionOptions, subjects: Iterable[Subject]
    ) -> Iterator[tuple[Subject, Finished]]:
        loaded = searched(pair, role)
        asked: dict[int, Subject] = {}

        def requests() -> Iterator[InversionRequest]:
            for subject in subjects:
                target = target_of(subject.crop, loaded.card.architecture.resolution)
                request = replace(
                    inversion_requests(pair, options, target, seed=subject.seed)[role],
                    on_progress=subject.on_progress,
                    preview_interval=subject.preview_interval,
                )
                asked[id(request)] = subject
                yield request

        # Nobody else may use an engine that is at work, nor one that the caller left while faces were searched.
        engine = self._idle_engines.pop(id(loaded), None) or inversion_engine(loaded, self.width)
        for finished in engine.run(requests()):
            yield asked.pop(id(finished.ticket.request)), finished
        self._idle_engines[id(loaded)] = engine


def _one_pass_request(subject: Subject, resolution: int) -> OnePassRequest:
    reference = target_of(subject.reference, resolution) if subject.reference is not None else None
    return OnePassRequest(target_of(subject.crop, resolution), subject.seed, reference)


def _error_of(finished: Finished) -> NigaoeError:
    return finished.error or InversionError("Reverse generation was cancelled before it began; ask again.")
