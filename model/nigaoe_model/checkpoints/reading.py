"""What is known about a foreign file after reading it: the report for people, and the tensors for the conversion."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

from nigaoe_model.checkpoints.records import TensorRecord
from nigaoe_model.stylegan2.architecture import Architecture

Layout = Literal["native", "rosinality", "nvidia", "tensorflow"]
Tensors = Mapping[str, TensorRecord]


def printable(text: str) -> str:
    """Replace what would command a terminal instead of being shown: the names in a file are its author's choice."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


Printable = Annotated[str, AfterValidator(printable)]


class NetworkFacts(BaseModel):
    """One group of tensors in a file.

    Attributes:
        name: Where it lies in the file, such as ``g_ema``.
        tensors: Number of tensors.
        parameters: Number of numbers.
        byte_count: Their size.
        dtypes: Their types.
    """

    model_config = ConfigDict(frozen=True)

    name: Printable
    tensors: int
    parameters: int
    byte_count: int
    dtypes: tuple[str, ...]


class Reading(BaseModel):
    """The report about one file; plain JSON, so that it crosses from the limited process to this one.

    Attributes:
        container: ``torch-zip``, ``torch-legacy``, ``pickle``, ``safetensors``, or empty when that is unknown.
        family: Short name such as ``rosinality``; ``unknown`` for the rest.
        title: The family in words.
        layout: The table that leads to our names; None when the file cannot be imported.
        problem: Why it cannot be imported, as a sentence; empty when it can.
        problem_code: Code of the error that importing ends in; empty when it can.
        architecture: Of the generator.
        trainable_blocks: Freeze depth that the file claims (FreezeG's ``finetune_loc``).
        networks: Groups of tensors.
        tensors: Name and shape of every tensor, when asked for.
        imports: What unpickling would import from other programs, harmless or not.
        unsafe_imports: Those that are on no list: whoever unpickles the file runs them.
        carries_source: Whether Python source in the file would be executed by its usual loader.
        card: Our own card as JSON, when the file was written by Nigaoe.
        notes: What was noticed.
    """

    model_config = ConfigDict(frozen=True)

    container: str = ""
    family: str = "unknown"
    title: Printable = "unknown"
    layout: Layout | None = None
    problem: Printable = ""
    problem_code: str = ""
    architecture: Architecture | None = None
    trainable_blocks: int | None = None
    networks: tuple[NetworkFacts, ...] = ()
    tensors: dict[Printable, tuple[int, ...]] = {}
    imports: tuple[Printable, ...] = ()
    unsafe_imports: tuple[Printable, ...] = ()
    carries_source: bool = False
    card: str = ""
    notes: tuple[Printable, ...] = ()

    @property
    def executes_code(self) -> bool:
        """Whether loading the file in the usual way would run code that its author chose."""
        return self.carries_source or bool(self.unsafe_imports)


@dataclass(frozen=True, slots=True)
class Recognised:
    """A file whose family is known and can be imported.

    Attributes:
        family: Short name.
        title: The family in words.
        layout: Which table leads to our names.
        architecture: Of both networks.
        generator: Tensors of the generator (the moving average, where there is one), in foreign names.
        discriminator: Tensors of the discriminator; empty when there is none.
        latent_avg: Mean style, where it stands apart from the generator.
        trainable_blocks: Freeze depth that the file claims.
        card: Our own card as JSON, in files that Nigaoe exported.
        notes: What people should know.
    """

    family: str
    title: str
    layout: Layout
    architecture: Architecture
    generator: Tensors
    discriminator: Tensors = field(default_factory=dict)
    latent_avg: TensorRecord | None = None
    trainable_blocks: int | None = None
    card: str = ""
    notes: tuple[str, ...] = ()


def tensors_of(value: object) -> dict[str, TensorRecord]:
    """Return the tensors of a state dict by name; anything else in it is left out."""
    if not isinstance(value, dict):
        return {}
    return {key: item for key, item in value.items() if isinstance(key, str) and isinstance(item, TensorRecord)}


def network_facts(name: str, tensors: Tensors) -> NetworkFacts:
    """Count the tensors of one group."""
    return NetworkFacts(
        name=name[:100],
        tensors=len(tensors),
        parameters=sum(t.count for t in tensors.values()),
        byte_count=sum(t.byte_count for t in tensors.values()),
        dtypes=tuple(sorted({t.dtype for t in tensors.values()})),
    )
