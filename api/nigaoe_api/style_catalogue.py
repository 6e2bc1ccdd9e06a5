"""The installed styles as the API shows them: names, framing, sample pictures. Read again when the files change.

Sample pictures lie beside the style's manifest: ``samples/STYLE/NAME.webp`` (or png, jpg), and, if there is
one, the face it was made from as ``NAME.before.webp``.
"""

import json
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from nigaoe_core.checkpoint_header import METADATA_KEY, read_facts, read_header
from nigaoe_core.errors import BrokenCheckpoint, UnknownAddress
from nigaoe_core.registry import Registry, Style
from nigaoe_core.settings import Settings
from nigaoe_faces.align import AlignmentTemplate

RELOAD_SECONDS: Final = 2.0
MIN_CROP: Final = 256
"""Side of a crop in pixels below which people would see the pixels."""

_SAMPLE_TYPES: Final = (".webp", ".png", ".jpg")
_SAMPLE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}(\.before)?\.(webp|png|jpg)")
_TEMPLATE = TypeAdapter(AlignmentTemplate)


@dataclass(frozen=True)
class Framing:
    """How a style's photos are cut.

    Attributes:
        template: Where the face stands in the crop.
        resolution: Side of the crop in pixels, a multiple of the generator's.
    """

    template: AlignmentTemplate
    resolution: int


@dataclass(frozen=True)
class Sample:
    """File names of a sample: the picture, and the face that it was made from."""

    name: str
    after: str
    before: str | None


class StyleCatalogue:
    """The installed styles. Safe to share between threads; every method may read files.

    Args:
        settings: Where the weights are.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._registry = Registry.from_settings(settings)
        self._fingerprint = self._registry.fingerprint()
        self._checked_at = time.monotonic()
        self._framings: dict[str, Framing] = {}

    def registry(self) -> Registry:
        """The registry as the files are now, give or take `RELOAD_SECONDS`."""
        with self._lock:
            if time.monotonic() - self._checked_at > RELOAD_SECONDS:
                self._checked_at = time.monotonic()
                if self._registry.fingerprint() != self._fingerprint:
                    self._reload()
            return self._registry

    def styles(self) -> list[Style]:
        """The styles that can be used: their files were readable."""
        return [style for style in self.registry().styles() if style.is_usable]

    def framing(self, style_name: str) -> Framing:
        """Tell how photos are cut for a style.

        Raises:
            UnknownStyle: There is no such style.
            CheckpointError: Its generator, or its own network, is missing or damaged.
        """
        path = self.registry().framed_by(style_name)
        with self._lock:
            if style_name not in self._framings:
                self._framings[style_name] = read_framing(path)
            return self._framings[style_name]

    def samples(self, style: Style) -> list[Sample]:
        """The sample pictures of a style, by name."""
        folder = _sample_folder(style)
        names = sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []
        known = {name for name in names if _SAMPLE_NAME.fullmatch(name)}
        return [Sample(Path(name).stem, name, _before(name, known)) for name in sorted(known) if ".before." not in name]

    def sample_path(self, style_name: str, file_name: str) -> Path:
        """The file of a sample picture.

        Raises:
            UnknownAddress: There is no such style or picture.
        """
        styles = {style.name: style for style in self.styles()}
        if style_name in styles and _SAMPLE_NAME.fullmatch(file_name):
            path = _sample_folder(styles[style_name]) / file_name
            if path.is_file():
                return path
        raise UnknownAddress("There is no such sample picture.")

    def _reload(self) -> None:
        self._registry = Registry.from_settings(self._settings)
        self._fingerprint = self._registry.fingerprint()
        self._framings.clear()


def read_framing(generator: Path) -> Framing:
    """Read from the header of a generator, or of a feed-forward network, how photos are cut for it.

    Raises:
        CheckpointError: It is missing or damaged.
    """
    metadata = read_header(generator).get("__metadata__", {})
    try:
        card = json.loads(metadata[METADATA_KEY])
        resolution = read_facts(generator).resolution
        return Framing(_TEMPLATE.validate_python(card["alignment"]), crop_resolution(resolution))
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        raise BrokenCheckpoint(f"The metadata of `{generator.name}` are damaged; import it again.") from error


def crop_resolution(resolution: int) -> int:
    """Side of the crop for a generator: the least multiple that looks good (`nigaoe_core.store.blob_store.CROP`)."""
    return resolution * max(1, -(-MIN_CROP // resolution))


def _sample_folder(style: Style) -> Path:
    return style.path.parent / "samples" / style.name


def _before(name: str, known: set[str]) -> str | None:
    stem = Path(name).stem
    return next((found for ending in _SAMPLE_TYPES if (found := f"{stem}.before{ending}") in known), None)
