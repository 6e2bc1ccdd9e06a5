"""The registry: every generator and style that this installation knows, bundled and imported, by name.

It reads manifests and the headers of the files, never a tensor, so that the API can show styles without torch.
A long-lived process compares :meth:`Registry.fingerprint` now and then and loads again when it changed.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from nigaoe_core.bundled import BUNDLED_WEIGHTS
from nigaoe_core.checkpoint_header import CheckpointFacts, read_facts
from nigaoe_core.errors import (
    BrokenCheckpoint,
    CheckpointError,
    InvalidManifest,
    MethodMismatch,
    NoEncoder,
    UnknownGenerator,
    UnknownStyle,
)
from nigaoe_core.jobs import DEFAULT_TRUNCATION
from nigaoe_core.manifest import (
    DEFAULT_UPSCALER,
    MANIFEST_NAME,
    Domain,
    DownloadRow,
    GeneratorRow,
    StyleRow,
    UpscalerName,
    read_manifest,
)
from nigaoe_core.settings import Settings
from nigaoe_core.style_methods import (
    GANS_N_ROSES,
    METHOD_TITLES,
    REFERENCE,
    REVERSE_GENERATION,
    SEARCH_OPTIONS,
    SEED,
    StyleMethod,
    refuse_options,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightEntry:
    """One weight file that a manifest names.

    Attributes:
        name: As in ``--style``, or as ``parent`` of a style says.
        title: What people are shown.
        description: One sentence, may be empty.
        path: The native checkpoint; it may be missing or damaged, then ``facts`` is None.
        sha256: Digest of the file, when the manifest gives one.
        licence: Of the weights: what the manifest says, else the file.
        source: Where they come from.
        bundled: Whether it came with the distribution.
        facts: What the file says about itself.
    """

    name: str
    title: str
    description: str
    path: Path
    sha256: str | None
    licence: str
    source: str
    bundled: bool
    facts: CheckpointFacts | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorEntry(WeightEntry):
    """A base generator: photos are found in its latent space.

    Attributes:
        discriminator: Checkpoint of its discriminator, where there is one.
        encoder: File of the encoder that guesses where searches start, where there is one.
        encoder_sha256: Digest of that file, when the manifest gives one.
        domain: ``human``, ``anime`` or ``other``.
    """

    discriminator: Path | None
    encoder: Path | None
    encoder_sha256: str | None
    domain: Domain


@dataclass(frozen=True, slots=True, kw_only=True)
class Style(WeightEntry):
    """A way to draw a photo: a fine-tuned generator that draws its parent's latents, or a feed-forward network.

    Attributes:
        method: How it draws; see `nigaoe_core.style_methods`.
        parent: Name of the generator that it was fine-tuned from; None for a feed-forward network.
        upscaler: How its drawings are enlarged.
        truncation: truncation_psi of photos for which nobody asks for another: 1 keeps the latent, 0 is the mean face.
    """

    method: StyleMethod = REVERSE_GENERATION
    parent: str | None = None
    upscaler: UpscalerName = DEFAULT_UPSCALER
    truncation: float = DEFAULT_TRUNCATION

    @property
    def is_feed_forward(self) -> bool:
        """Whether photos are drawn in one pass, without a search and without a latent."""
        return self.method != REVERSE_GENERATION

    @property
    def is_usable(self) -> bool:
        """Whether its file was readable, and is of its method."""
        return self.facts is not None and self.facts.method == self.method

    @property
    def options(self) -> tuple[str, ...]:
        """Options of a conversion that it takes, of those that not every method takes."""
        if not self.is_feed_forward:
            return SEARCH_OPTIONS
        seed = (SEED,) if self.method == GANS_N_ROSES else ()
        return (*seed, REFERENCE) if self.facts is not None and self.facts.reads_references else seed

    @property
    def needs_reference(self) -> bool:
        """Whether it draws nothing without a reference."""
        return self.is_feed_forward and self.facts is not None and not self.facts.has_own_style

    def check_options(self, given: Mapping[str, Any]) -> None:
        """Refuse options that it has no use for; see `nigaoe_core.style_methods.refuse_options`.

        Args:
            given: Options by name; ``reference`` is anything but None where there is one.

        Raises:
            OptionNotTaken: It does not take one of them.
            ReferenceNeeded: It needs a reference.
        """
        refuse_options(self.name, self.options, given, needs_reference=self.needs_reference)


@dataclass(frozen=True, slots=True)
class Registry:
    """All generators and styles of one or two folders; where both use a name, the user's entry holds.

    Attributes:
        folders: The folders that were read, bundled first.
    """

    folders: tuple[Path, ...]
    _generators: Mapping[str, GeneratorEntry]
    _styles: Mapping[str, Style]
    _downloads: Mapping[str, DownloadRow]

    @classmethod
    def load(cls, bundled: Path = BUNDLED_WEIGHTS, user: Path | None = None) -> Self:
        """Read the manifests and the headers of all files.

        Args:
            bundled: Folder of the weights that came with the distribution.
            user: Folder of imported weights; it need not exist.

        Raises:
            InvalidManifest: A manifest cannot be used.
        """
        generators: dict[str, GeneratorEntry] = {}
        styles: dict[str, Style] = {}
        downloads: dict[str, DownloadRow] = {}
        folders = (bundled,) if user is None else (bundled, user)
        for folder in folders:
            manifest = read_manifest(folder)
            is_bundled = folder == bundled
            for name, row in manifest.generators.items():
                generators[name] = _generator(row, folder, _described(name, row, folder, bundled=is_bundled))
            for name, style in manifest.styles.items():
                described = _described(name, style, folder, bundled=is_bundled)
                styles[name] = Style(
                    **described,
                    method=style.method,
                    parent=style.parent,
                    upscaler=style.upscaler,
                    truncation=style.truncation,
                )
            downloads |= manifest.downloads
        return cls(folders, generators, styles, downloads)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Read the folders that the settings name.

        Raises:
            InvalidManifest: A manifest cannot be used.
        """
        return cls.load(settings.weights_dir, settings.registry_path)

    def styles(self) -> list[Style]:
        """Return all styles, bundled ones first, each in the order of its manifest."""
        return list(self._styles.values())

    def usable_styles(self) -> dict[str, list[Style]]:
        """Return the styles whose files were readable, by the name of their generator, each in the order of `styles`.

        Styles of one generator draw what one search has found; feed-forward styles have none and are not among them.
        """
        families: dict[str, list[Style]] = {}
        for style in self.styles():
            if style.is_usable and style.parent is not None and style.parent in self._generators:
                families.setdefault(style.parent, []).append(style)
        return families

    def generators(self) -> list[GeneratorEntry]:
        """Return all base generators, bundled ones first."""
        return list(self._generators.values())

    def downloads(self) -> dict[str, DownloadRow]:
        """Return what `nigaoe weights fetch` knows by name."""
        return dict(self._downloads)

    def default_style(self) -> Style:
        """Return the style of those who name none: the first of `styles` whose files were readable.

        Raises:
            UnknownStyle: There is none.
        """
        for style in self.styles():
            if style.is_usable:
                return style
        raise UnknownStyle("No style can be drawn; see `nigaoe weights list`.")

    def style(self, name: str) -> Style:
        """Return one style.

        Raises:
            UnknownStyle: There is none of this name; the message lists those that there are.
        """
        try:
            return self._styles[name]
        except KeyError:
            raise UnknownStyle(f"There is no style `{name}`; {_choice(self._styles)}", name=name) from None

    def generator(self, name: str) -> GeneratorEntry:
        """Return one base generator.

        Raises:
            UnknownGenerator: There is none of this name; the message lists those that there are.
            MethodMismatch: It is a feed-forward style, which has no latent space to search in or to fine-tune.
        """
        if name in self._generators:
            return self._generators[name]
        if name in self._styles and self._styles[name].is_feed_forward:
            title = METHOD_TITLES[self._styles[name].method]
            raise MethodMismatch(
                f"`{name}` is a style of the method {title}, which has no latent space, so it is no generator; "
                f"{_choice(self._generators)}",
                name=name,
            )
        raise UnknownGenerator(f"There is no generator `{name}`; {_choice(self._generators)}", name=name)

    def entry(self, name: str) -> GeneratorEntry | Style:
        """Return a generator or a style: no name is both.

        Raises:
            UnknownGenerator: There is nothing of this name; the message lists what there is.
        """
        return self._styles[name] if name in self._styles else self.generator(name)

    def parent_of(self, style_name: str) -> GeneratorEntry:
        """Return the generator that a style was fine-tuned from.

        Raises:
            UnknownStyle: There is no such style.
            MethodMismatch: It is a feed-forward style and has none.
            InvalidManifest: It is not installed.
        """
        style = self.style(style_name)
        if style.parent is None:
            raise MethodMismatch(
                f"`{style_name}` is a style of the method {METHOD_TITLES[style.method]}: it draws photos in one pass "
                "and has neither latents nor a generator that they are found in. Choose a style of reverse generation.",
                name=style_name,
            )
        if style.parent not in self._generators:
            raise InvalidManifest(
                f"Style `{style_name}` was made from `{style.parent}`, which is not installed: import that one too."
            )
        return self._generators[style.parent]

    def check_encoder(self, style_name: str) -> None:
        """Make sure that an encoder guesses latents for a style.

        Raises:
            UnknownStyle: There is no such style.
            MethodMismatch: It is a feed-forward style.
            InvalidManifest: Its parent is not installed.
            NoEncoder: Its parent has no encoder.
        """
        if self.parent_of(style_name).encoder is None:
            raise NoEncoder(
                f"No encoder guesses latents for the style `{style_name}`: choose another preset than instant, or "
                "train one with `nigaoe train encoder`."
            )

    def pair(self, style_name: str) -> tuple[Path, Path]:
        """Return the files of ``g_ori`` and ``g_fin`` for a style.

        Raises:
            UnknownStyle: There is no such style.
            MethodMismatch: It is a feed-forward style, or one of the files is of such a method.
            InvalidManifest: The style's parent is not installed.
            BrokenCheckpoint: One of the two files is missing.
        """
        parent, style = self.parent_of(style_name), self.style(style_name)
        for entry in (parent, style):
            _check_file(entry, REVERSE_GENERATION)
        return parent.path, style.path

    def feed_forward(self, style_name: str) -> Style:
        """Return a style that draws in one pass.

        Raises:
            UnknownStyle: There is no such style.
            MethodMismatch: It is a style of reverse generation, or its file is of another method.
            BrokenCheckpoint: Its file is missing.
        """
        style = self.style(style_name)
        if not style.is_feed_forward:
            raise MethodMismatch(f"`{style_name}` is a style of reverse generation: photos are searched for it.")
        _check_file(style, style.method)
        return style

    def framed_by(self, style_name: str) -> Path:
        """Return the file whose card says how photos are framed for a style: its generator's, or its own.

        Raises:
            UnknownStyle: There is no such style.
            MethodMismatch: One of its files is of another method.
            InvalidManifest: The style's parent is not installed.
            BrokenCheckpoint: A file of the style is missing.
        """
        if self.style(style_name).is_feed_forward:
            return self.feed_forward(style_name).path
        return self.pair(style_name)[0]

    def fingerprint(self) -> str:
        """Return a short text that changes with the manifests and weight files on the disk; it is never cached."""
        digest = hashlib.sha256()
        for path in [folder / MANIFEST_NAME for folder in self.folders] + self._files():
            digest.update(f"{path}\0{_stamp(path)}\0".encode())
        return digest.hexdigest()[:32]

    def _files(self) -> list[Path]:
        encoders = [generator.encoder for generator in self.generators() if generator.encoder is not None]
        return [*(entry.path for entry in (*self.generators(), *self.styles())), *encoders]


def _generator(row: GeneratorRow, folder: Path, described: Mapping[str, Any]) -> GeneratorEntry:
    return GeneratorEntry(
        **described,
        discriminator=folder / row.discriminator if row.discriminator else None,
        encoder=folder / row.encoder if row.encoder else None,
        encoder_sha256=row.encoder_sha256,
        domain=row.domain,
    )


def _described(name: str, row: GeneratorRow | StyleRow, folder: Path, *, bundled: bool) -> dict[str, Any]:
    facts = _facts(folder / row.file)
    return {
        "name": name,
        "title": row.title or name,
        "description": row.description,
        "path": folder / row.file,
        "sha256": row.sha256,
        "licence": row.licence or (facts.licence if facts else "unknown"),
        "source": row.source or (facts.source if facts else ""),
        "bundled": bundled,
        "facts": facts,
    }


def _facts(path: Path) -> CheckpointFacts | None:
    try:
        return read_facts(path)
    except CheckpointError:
        return None  # One damaged file must not hide all other styles; `pair` and the loader say what is wrong.


def _check_file(entry: WeightEntry, method: StyleMethod) -> None:
    if not entry.path.is_file():
        raise BrokenCheckpoint(f"The weight file `{entry.path}` is missing; import it again, or remove its entry.")
    if entry.facts is not None and entry.facts.method != method:
        raise MethodMismatch(
            f"The file `{entry.path.name}` is of the method {METHOD_TITLES[entry.facts.method]}, and `{entry.name}` is "
            f"registered as {METHOD_TITLES[method]}: import the file again, or correct the manifest.",
            name=entry.name,
        )


def _choice(names: Mapping[str, object]) -> str:
    if not names:
        return "none is installed: see `nigaoe weights import`."
    return f"there are: {', '.join(sorted(names))}."


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return "missing"
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"
