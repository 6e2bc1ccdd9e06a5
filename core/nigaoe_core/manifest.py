"""The manifest: which weight files a folder holds and what they are to each other.

``manifest.toml`` lies beside the files it names. The one in the distribution lists the bundled demo pair, the one in
the data folder (the user registry) what people imported. Styles are shown in the order of their entries, everywhere:
the best comes first. `edit_manifest` changes a manifest while others read it. Format 1, every key but ``file`` and
``parent`` optional (a style of another method than reverse generation has no ``parent``, but a ``method``)::

    format_version = 1

    [generators.g_ori]                 # draws faces; photos are found in it
    file = "g_ori.safetensors"         # beside the manifest, never outside its folder
    discriminator = "g_ori-discriminator.safetensors"
    encoder = "g_ori-encoder.safetensors"  # guesses where a search starts; `nigaoe train encoder` makes it
    encoder_sha256 = "..."
    domain = "human"                   # human, anime or other
    sha256 = "..."                     # of the file; `nigaoe weights verify` checks it
    licence = "..."                    # of the weights; absent: what the file itself says
    source = "..."                     # where the file came from

    [styles.anime]                     # draws the same latents in another domain
    file = "anime.safetensors"
    parent = "g_ori"                   # the generator that it was fine-tuned from
    title = "Anime"
    description = "Frontal anime portraits."
    upscaler = "realesr-animevideov3"  # how its drawings are enlarged
    truncation = 0.7                   # truncation_psi of photos that name none

    [styles.roses]                     # draws photos in one pass, without a search
    file = "roses.safetensors"
    method = "gans-n-roses"            # or "swapping-autoencoder"; absent: "reverse-generation"

    [downloads.some-name]              # known to `nigaoe weights fetch`, never fetched by itself
    url = "https://..."
    sha256 = "..."
    licence = "..."
"""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import tomli_w
from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nigaoe_core.atomic_write import atomic_write
from nigaoe_core.errors import InvalidManifest, StorageError
from nigaoe_core.jobs import DEFAULT_TRUNCATION, UnitInterval
from nigaoe_core.style_methods import REVERSE_GENERATION, StyleMethod

MANIFEST_NAME = "manifest.toml"
FORMAT_VERSION: Literal[1] = 1
HEADER: Final = "# Imported weights. Written by `nigaoe weights`; see docs/weights.md before editing it by hand.\n"

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}$")]
Domain = Literal["human", "anime", "other"]
UpscalerName = Literal[
    "realesr-animevideov3",
    "realesr-animevideov3-2x",
    "realesr-animevideov3-soft",
    "realesrgan-x4plus-anime",
    "realesrgan-x4plus-anime-soft",
    "lanczos",
]
"""How drawings of a style are enlarged, see `nigaoe_model.portrait.upscale`."""

DEFAULT_UPSCALER: Final = "realesr-animevideov3"


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = ""
    description: str = ""
    sha256: Sha256 | None = None
    licence: str = ""
    source: str = ""


class GeneratorRow(_Entry):
    """One base generator of a manifest."""

    file: FileName
    discriminator: FileName | None = None
    encoder: FileName | None = None
    encoder_sha256: Sha256 | None = None
    domain: Domain = "human"


class StyleRow(_Entry):
    """One style of a manifest: a fine-tuned generator with its parent, or a network of a feed-forward method."""

    file: FileName
    method: StyleMethod = REVERSE_GENERATION
    parent: Name | None = None
    upscaler: UpscalerName = DEFAULT_UPSCALER
    truncation: UnitInterval = DEFAULT_TRUNCATION

    @model_validator(mode="after")
    def _parent_of_a_latent_space(self) -> Self:
        if self.method == REVERSE_GENERATION and self.parent is None:
            raise ValueError("`parent` is missing: the generator that the style was fine-tuned from")
        if self.method != REVERSE_GENERATION and self.parent is not None:
            raise ValueError(f"a style of the method `{self.method}` has no `parent`: it draws in one pass")
        return self


class DownloadRow(_Entry):
    """One file that `nigaoe weights fetch` may bring, with the digest that makes it trustworthy."""

    url: Annotated[str, Field(pattern=r"^https://[^\s]+$")]
    sha256: Sha256
    domain: Domain = "human"
    size: Annotated[int, Field(gt=0)] | None = None


class Manifest(BaseModel):
    """The whole of one ``manifest.toml``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = FORMAT_VERSION
    generators: dict[Name, GeneratorRow] = Field(default_factory=dict)
    styles: dict[Name, StyleRow] = Field(default_factory=dict)
    downloads: dict[Name, DownloadRow] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_meaning_a_name(self) -> Self:
        if shared := self.generators.keys() & self.styles.keys():
            raise ValueError(f"`{min(shared)}` is both a generator and a style")
        return self


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a folder; a folder without one lists nothing.

    Raises:
        InvalidManifest: The file is no TOML, of a newer format, or an entry is wrong; the message names it.
    """
    path = folder / MANIFEST_NAME
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return Manifest()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidManifest(f"`{path}` cannot be read: {error}. Correct it, or restore a copy.") from error
    return parse_manifest(document, path)


def parse_manifest(document: dict[str, Any], path: Path) -> Manifest:
    """Check a parsed manifest; ``path`` is only for messages.

    Raises:
        InvalidManifest: It is of a newer format, or an entry is wrong; the message names it.
    """
    version = document.get("format_version", FORMAT_VERSION)
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise InvalidManifest(f"`{path}` has format {version}; this Nigaoe reads {FORMAT_VERSION}: upgrade Nigaoe.")
    try:
        return Manifest.model_validate(document)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False)
        )
        raise InvalidManifest(f"Correct `{path}`: {faults}.") from None


def edit_manifest(folder: Path, change: Callable[[Manifest], Manifest]) -> Manifest:
    """Read, change and atomically replace the manifest of ``folder``, which is created when it is missing.

    Args:
        folder: Where ``manifest.toml`` lies.
        change: Gets what is there now and returns what shall be; when it raises, nothing is written.

    Returns:
        What was written.

    Raises:
        InvalidManifest: The present manifest cannot be read.
        StorageError: The folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{MANIFEST_NAME}.lock"):
            manifest = change(read_manifest(folder))
            atomic_write(folder / MANIFEST_NAME, HEADER + _toml(manifest))
    except OSError as error:
        raise StorageError(f"The registry `{folder}` cannot be written: {error}. Check its owner and space.") from error
    return manifest


def _toml(manifest: Manifest) -> str:
    return tomli_w.dumps(manifest.model_dump(exclude_none=True, exclude_defaults=True) | {"format_version": 1})
