"""The generators in memory: every style that is installed (or chosen), each g_ori once, the upscaler.

Loading happens in the device's thread, as an errand. When the manifests or weight files change on the disk, the whole
collection is replaced at once; jobs that are on their way keep the generators that they began with.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import structlog
import torch

from nigaoe_core.errors import CheckpointError, NigaoeError, UnknownStyle
from nigaoe_core.registry import Registry
from nigaoe_core.settings import Settings
from nigaoe_model.portrait.pair import LoadedGenerator, Pair, load_generator, load_pair
from nigaoe_model.portrait.upscale import Upscaler
from nigaoe_model.reduced_precision import serving_dtype

REDUCED_BLOCKS: Final = 4
"""So many of the finest blocks compute in 16 bits (Karras et al., "Training Generative Adversarial Networks with
Limited Data", 2020, appendix D); blocks below 32 pixels never do."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Collection:
    """What was loaded at one time.

    Attributes:
        registry: What is installed.
        fingerprint: Of the registry, when it was read.
        pairs: Style to generators.
    """

    registry: Registry
    fingerprint: str
    pairs: Mapping[str, Pair] = field(default_factory=dict)

    @property
    def generators(self) -> list[LoadedGenerator]:
        """All generators of all styles."""
        return [generator for pair in self.pairs.values() for generator in (pair.g_ori, pair.g_fin)]


class Gallery:
    """Keeps the collection.

    Args:
        settings: Where the weights are, which styles to load, in which precision.
        device: Where they shall draw.

    Raises:
        InvalidSettings: The device has no instructions for the chosen precision.
    """

    def __init__(self, settings: Settings, device: str) -> None:
        self.device = device
        self._dtype = serving_dtype(settings.precision, torch.device(device))
        self._settings = settings
        self._collection: Collection | None = None
        self._lock = threading.Lock()
        self._upscaler: Upscaler | None = None

    @property
    def upscaler(self) -> Upscaler | None:
        """Enlarges small pictures; set by the first `load`."""
        return self._upscaler

    @property
    def styles(self) -> tuple[str, ...]:
        """Names of the styles in memory."""
        return tuple(self._collection.pairs) if self._collection else ()

    def pair(self, style: str) -> Pair:
        """Return a style's generators.

        Raises:
            UnknownStyle: It is not in memory.
        """
        collection = self._collection
        if collection is None or style not in collection.pairs:
            raise UnknownStyle(
                f"This worker has no style `{style}`; it has: {', '.join(self.styles) or 'none'}.", name=style
            )
        return collection.pairs[style]

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
        for style in self._wanted(registry):
            try:
                pairs[style] = self._load_pair(registry, style, parents)
            except NigaoeError as error:
                _log.error("style.not_loaded", style=style, code=error.code, reason=error.message)
        if not pairs:
            raise CheckpointError("No style can be loaded: see the log, and `nigaoe weights list`.")
        with self._lock:
            self._collection = Collection(registry, fingerprint, pairs)
        _log.info("styles.loaded", styles=list(pairs), device=self.device)
        return self._collection

    def _wanted(self, registry: Registry) -> list[str]:
        chosen = [name.strip() for name in self._settings.styles.split(",") if name.strip()]
        return chosen or [style.name for style in registry.styles()]

    def _load_pair(self, registry: Registry, style: str, parents: dict[str, LoadedGenerator]) -> Pair:
        g_ori_path, g_fin_path = registry.pair(style)
        parent = registry.generator(registry.style(style).parent)
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
