"""What a native checkpoint says about itself, read without torch: the API shows it, the worker trusts it.

A safetensors file begins with eight bytes (length of the header, little-endian) and the header, a JSON object whose
``__metadata__`` holds strings. Ours has one, ``nigaoe``: the checkpoint's card as JSON. Only what people are shown is
read here; `nigaoe_model.stylegan2.checkpoint` reads and checks all of it.
"""

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from nigaoe_core.errors import BrokenCheckpoint, ForeignCheckpoint
from nigaoe_core.manifest import Domain
from nigaoe_core.style_methods import GANS_N_ROSES, REVERSE_GENERATION, StyleMethod, feed_forward_method

MAX_HEADER_BYTES = 16 * 2**20
METADATA_KEY = "nigaoe"


STYLE_READER = "anime_to_photo."
"""Begins the tensors of the network in a file of GANs N' Roses that reads the style of an anime face."""
MEAN_TEXTURE = "mean_texture"
"""Tensor of a Swapping Autoencoder's file with which photos are drawn that come without a reference."""


class _Architecture(BaseModel):
    resolution: int = Field(validation_alias=AliasChoices("resolution", "size"))


class _Training(BaseModel):
    images_seen: Annotated[int, Field(ge=0)] = 0


class CheckpointFacts(BaseModel):
    """The facts of a checkpoint's card that are for display.

    Attributes:
        name: Short name that the file was written under.
        resolution: Side of the generator's pictures in pixels.
        domain: What the pictures show.
        trainable_blocks: Freeze depth, counted from the output; None for a base generator.
        parent_sha256: Digest of the parent's tensors (not of its file); None for a base generator.
        images_seen: Real images shown while training, the parent's not included.
        licence: SPDX expression or a sentence.
        source: Where the weights come from.
        method: How the networks draw a photo.
        reads_references: Whether a feed-forward network can take its style from an anime picture.
        has_own_style: Whether it draws without one.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    resolution: int
    domain: Domain
    trainable_blocks: int | None = None
    parent_sha256: str | None = None
    images_seen: int = 0
    licence: str = "unknown"
    source: str = ""
    method: StyleMethod = REVERSE_GENERATION
    reads_references: bool = False
    has_own_style: bool = True


def read_header(path: Path) -> dict[str, Any]:
    """Return the header of a safetensors file: tensor names to type, shape and place, and ``__metadata__``.

    Raises:
        BrokenCheckpoint: The file is missing, truncated, or no safetensors file at all.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= MAX_HEADER_BYTES:
                raise BrokenCheckpoint(f"`{path.name}` is no safetensors file.")
            header = json.loads(file.read(length))
    except FileNotFoundError as error:
        raise BrokenCheckpoint(f"There is no weight file `{path}`.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise BrokenCheckpoint(f"`{path.name}` is truncated or no safetensors file ({error}).") from error
    if not isinstance(header, dict):
        raise BrokenCheckpoint(f"`{path.name}` is no safetensors file.")
    return header


def read_facts(path: Path) -> CheckpointFacts:
    """Return what a native checkpoint says about itself.

    Raises:
        BrokenCheckpoint: The file is missing, truncated or damaged.
        ForeignCheckpoint: A safetensors file of another program.
    """
    header = read_header(path)
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or METADATA_KEY not in metadata:
        raise ForeignCheckpoint(
            f"`{path.name}` is a safetensors file of another program; bring it in with `nigaoe weights import`."
        )
    try:
        card = json.loads(metadata[METADATA_KEY])
        flat = {
            "resolution": _Architecture.model_validate(card["architecture"]).resolution,
            "images_seen": _Training.model_validate(card.get("training", {})).images_seen,
        }
        return CheckpointFacts.model_validate(card | flat | _method_facts(card.get("kind"), header))
    except (ValidationError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenCheckpoint(f"The metadata of `{path.name}` are damaged; import it again ({error}).") from error


def _method_facts(kind: object, header: dict[str, Any]) -> dict[str, Any]:
    """Return what tells a feed-forward network's file from a StyleGAN2's: its card has no domain, it draws anime."""
    method = feed_forward_method(kind)
    if method is None:
        return {"method": REVERSE_GENERATION}
    if method == GANS_N_ROSES:
        reads_references, has_own_style = any(name.startswith(STYLE_READER) for name in header), True
    else:
        reads_references, has_own_style = True, MEAN_TEXTURE in header
    return {
        "method": method,
        "domain": "anime",
        "reads_references": reads_references,
        "has_own_style": has_own_style,
    }
