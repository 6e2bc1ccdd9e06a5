"""The data sets and weight files that a run reads.

Every field is declared here once: the command line makes an option or argument of it, whose help is the field's
description, and the run's ``config.json`` keeps it. Only pydantic is imported, so help is quick.
"""

import inspect
import re
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict


class Method(StrEnum):
    """What can be trained on packed pictures: Nigaoe's own generator, or a method that it is compared with."""

    STYLEGAN2 = "stylegan2"
    GANS_N_ROSES = "gans-n-roses"
    SWAPPING_AUTOENCODER = "swapping-autoencoder"


class Section(BaseModel):
    """One table of a file; unknown keys are errors. What its docstring says of an attribute describes the field."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Give each field its description."""
        super().__pydantic_init_subclass__(**kwargs)
        _, _, attributes = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")
        for name, text in re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", attributes, flags=re.MULTILINE):
            if name in cls.model_fields:
                cls.model_fields[name].description = " ".join(text.split())


class Starts(Section):
    """Slim weight files that networks start from, until there is a saved state.

    None starts at random, and the average from the generator.

    Attributes:
        init: Slim checkpoint whose generator is trained on; in a fine-tune its last blocks are.
        grow: Slim checkpoint of half the resolution, grown by one block that does not yet show; the other --init files
            may be of half the resolution, too.
        init_average: Slim checkpoint of the moving average.
        init_discriminator: Slim checkpoint with a discriminator to start from.
        init_encoder: Encoder to train on, where ``reconstruction.weight`` is not 0.
    """

    init: Path | None = None
    grow: Path | None = None
    init_average: Path | None = None
    init_discriminator: Path | None = None
    init_encoder: Path | None = None


class GeneratorInputs(Starts):
    """What the run of a generator reads.

    Attributes:
        dataset: Folder written by ``nigaoe data prepare``.
        parent: Slim checkpoint of g_ori.
        photo_latents: Latents of photos, by ``nigaoe data latents``, that a part of each batch shows.
    """

    dataset: Path
    parent: Path | None = None
    photo_latents: Path | None = None


class EncoderInputs(Section):
    """What the run of an encoder reads; ``init`` only until there is a saved state.

    Attributes:
        generator: Slim checkpoint of g_ori.
        dataset: Photos, written by ``nigaoe data prepare``; without them only own faces teach.
        held_out: Photos for examinations; default: the last ones of --dataset.
        init: Encoder to train on, perhaps of an earlier g_ori.
    """

    generator: Path
    dataset: Path | None = None
    held_out: Path | None = None
    init: Path | None = None


class MethodInputs(Section):
    """What the run of a compared method reads.

    Attributes:
        dataset: Photos, written by ``nigaoe data prepare``.
        anime: Anime faces, written by ``nigaoe data prepare``: only for a --method that learns from both.
        held_out: Photos for scores and sheets; default: the last ones of DATASET. Only for such a --method.
    """

    dataset: Path
    anime: Path
    held_out: Path | None = None
