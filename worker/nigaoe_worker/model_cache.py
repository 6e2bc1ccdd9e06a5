"""The networks in memory: every style that is installed (or chosen), each g_ori once, the upscaler.

Loading happens in the device's thread, as a device task. When the manifests or weight files change on the disk, which
`WeightsWatcher` notices in a thread that may wait for the device, the whole collection is replaced at once; jobs that
are on their way keep the generators that they began with.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import structlog
import torch

from nigaoe_core.errors import CheckpointError, MethodMismatch, NigaoeError, UnknownStyle
from nigaoe_core.guarded_loop import GuardedThread, UnexpectedErrors
from nigaoe_core.jobs import Seconds
from nigaoe_core.registry import Registry
from nigaoe_core.settings import Settings
from nigaoe_model.portrait.feed_forward import FeedForwardStyle, load_feed_forward
from nigaoe_model.portrait.pair import LoadedGenerator, Pair, load_generator, load_pair
from nigaoe_model.portrait.upscale import Upscaler
from nigaoe_model.precision import serving_dtype
from nigaoe_worker.device import Engine
from nigaoe_worker.slot_batch import DeviceLost

REDUCED_BLOCKS: Final = 4
"""So many of the finest blocks compute in 16 bits (Karras et al., "Training Generative Adversarial Networks with
Limited Data", 2020, appendix D); blocks below 32 pixels never do."""
POLL_SECONDS: Final[Seconds] = 2.0
"""How often the weights' files are checked."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Collection:
    """What was loaded at one time.

    Attributes:
        registry: What is installed.
        fingerprint: Of the registry, when it was read.
        pairs: Style to generators, of those that are searched for.
        feed_forward: Style to network, of those that draw in one pass.
    """

    registry: Registry
    fingerprint: str
    pairs: Mapping[str, Pair] = field(default_factory=dict)
    feed_forward: Mapping[str, FeedForwardStyle] = field(default_factory=dict)

    @property
    def generators(self) -> list[LoadedGenerator]:
        """All generators that are searched in."""
        return [generator for pair in self.pairs.values() for generator in (pair.g_ori, pair.g_fin)]


class ModelCache:
    """Loads the styles that are installed, and reloads what changed.

    Args:
        settings: Where the weights are, which styles to load, in which precision.
        device: Where the generators run.

    Raises:
        InvalidSettings: The device has no instructions for the chosen precision.
    """

    def __init__(self, settings: Settings, device: str) -> None:
        self.device = device
        self._dtype = serving_dtype(settings.precision, torch.device(device))
        self._settings = settings
        self._collection: Collection | None = None
        self._upscaler: Upscaler | None = None

    @property
    def upscaler(self) -> Upscaler | None:
        """Enlarges small pictures; set by the first `load`."""
        return self._upscaler

    @property
    def styles(self) -> tuple[str, ...]:
        """Names of the styles in memory."""
        return (*self._collection.pairs, *self._collection.feed_forward) if self._collection else ()

    @property
    def feed_forward(self) -> tuple[str, ...]:
        """Names of those that draw in one pass."""
        return tuple(self._collection.feed_forward) if self._collection else ()

    def style(self, name: str) -> Pair | FeedForwardStyle:
        """Return a style's networks.

        Raises:
            UnknownStyle: It is not in memory.
        """
        collection = self._collection
        found = None if collection is None else collection.pairs.get(name) or collection.feed_forward.get(name)
        if found is None:
            raise UnknownStyle(
                f"This worker has no style `{name}`; it has: {', '.join(self.styles) or 'none'}.", name=name
            )
        return found

    def pair(self, name: str) -> Pair:
        """Return the generators of a style that is searched for.

        Raises:
            UnknownStyle: It is not in memory.
            MethodMismatch: It draws in one pass.
        """
        found = self.style(name)
        if isinstance(found, FeedForwardStyle):
            raise MethodMismatch(f"`{name}` draws photos in one pass and has no generators.", name=name)
        return found

    def is_outdated(self) -> bool:
        """Whether manifests or weight files changed since they were loaded."""
        collection = self._collection
        return collection is None or collection.registry.fingerprint() != collection.fingerprint

    def load(self) -> Collection:
        """Load what is installed now and replace the collection. Only in the device's thread.

        A style that cannot be loaded is left out and logged; the others are served.

        Raises:
            NigaoeError: A manifest is damaged, or no style at all can be loaded; the old collection stays.
        """
        registry = Registry.from_settings(self._settings)
        fingerprint = registry.fingerprint()
        if self._upscaler is None:
            self._upscaler = Upscaler(self.device, registry.folders)
        parents: dict[str, LoadedGenerator] = {}
        pairs: dict[str, Pair] = {}
        feed_forward: dict[str, FeedForwardStyle] = {}
        for style in self._wanted(registry):
            try:
                if registry.style(style).is_feed_forward:
                    feed_forward[style] = self._load_feed_forward(registry, style)
                else:
                    pairs[style] = self._load_pair(registry, style, parents)
            except NigaoeError as error:
                _log.error("style.not_loaded", style=style, code=error.code, reason=error.message)
        if not pairs and not feed_forward:
            raise CheckpointError("No style can be loaded: see the log, and `nigaoe weights list`.")
        self._collection = Collection(registry, fingerprint, pairs, feed_forward)
        _log.info("styles.loaded", styles=list(self.styles), device=self.device)
        return self._collection

    def _wanted(self, registry: Registry) -> list[str]:
        chosen = [name.strip() for name in self._settings.styles.split(",") if name.strip()]
        return chosen or [style.name for style in registry.styles()]

    def _load_feed_forward(self, registry: Registry, style: str) -> FeedForwardStyle:
        entry = registry.feed_forward(style)
        if self._upscaler is not None:
            self._upscaler.prepare(entry.upscaler)
        return load_feed_forward(entry, self.device)

    def _load_pair(self, registry: Registry, style: str, parents: dict[str, LoadedGenerator]) -> Pair:
        g_ori_path, g_fin_path = registry.pair(style)
        parent = registry.parent_of(style)
        if parent.name not in parents:
            parents[parent.name] = self._reuse(load_generator(g_ori_path, self.device, encoder=parent.encoder))
        upscaler = registry.style(style).upscaler
        if self._upscaler is not None:
            self._upscaler.prepare(upscaler)
        pair = load_pair(style, parents[parent.name], g_fin_path, self.device, upscaler=upscaler)
        known = self._collection.pairs.get(style) if self._collection else None
        if known is not None and known.g_ori is pair.g_ori and known.g_fin.digest == pair.g_fin.digest:
            return known if known.upscaler == upscaler else replace(known, upscaler=upscaler)
        self._reduce_precision(pair.g_fin)
        return pair

    def _reuse(self, loaded: LoadedGenerator) -> LoadedGenerator:
        """Keep the generator in memory if it is the same: its slots, caches and blends stay valid."""
        known = self._collection.generators if self._collection else []
        for generator in known:
            same_encoder = _encoder_digest(generator) == _encoder_digest(loaded)
            if generator.digest == loaded.digest and generator.card == loaded.card and same_encoder:
                return generator
        self._reduce_precision(loaded)
        return loaded

    def _reduce_precision(self, loaded: LoadedGenerator) -> None:
        if self._dtype != torch.float32:
            resolution = loaded.card.architecture.resolution
            finest = max(32, resolution >> (REDUCED_BLOCKS - 1))
            loaded.generator.synthesis.use_reduced_precision(self._dtype, from_resolution=finest)


def _encoder_digest(loaded: LoadedGenerator) -> str | None:
    return loaded.encoder.digest if loaded.encoder is not None else None


class WeightsWatcher:
    """The thread that checks the weights' files every two seconds and loads what changed.

    Args:
        models: Knows what is loaded.
        engine: In whose thread weights are loaded.
        errors: Where unexpected errors are recorded.
    """

    def __init__(self, models: ModelCache, engine: Engine, errors: UnexpectedErrors) -> None:
        self._models = models
        self._engine = engine
        self._closing = threading.Event()
        self._thread = GuardedThread("weights_watcher", self._run, errors)

    def start(self) -> None:
        """Start the thread; the first load is done."""
        self._thread.start()

    def close(self) -> None:
        """End the thread, after what is being loaded."""
        self._closing.set()
        self._thread.join()

    def check(self) -> None:
        """Load what is new; a file or manifest that is damaged is left for the next check, and the old stays.

        Raises:
            DeviceLost: There is nothing to load for any more.
        """
        try:
            if self._models.is_outdated():
                load_what_changed(self._models, self._engine)
        except NigaoeError as error:
            _log.warning("weights.postponed", code=error.code, reason=error.message)

    def _run(self) -> None:
        try:
            while not self._closing.wait(POLL_SECONDS):
                self.check()
        except DeviceLost:
            return  # The process is about to end.


def load_what_changed(models: ModelCache, engine: Engine) -> None:
    """Load the weights that are installed now, unless another thread did meanwhile, and release those they replace.

    Raises:
        NigaoeError: A manifest is damaged, or no style can be loaded; the old weights stay.
        DeviceLost: The device was given up.
    """

    def load() -> None:
        if models.is_outdated():
            engine.keep_only(models.load().generators)

    engine.do(load, may_take_long=True)
