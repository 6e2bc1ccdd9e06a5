"""Examination of a file: what it is, whether it can be imported, whether it would run code. Nothing is executed."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

from nigaoe_core.checkpoint_header import METADATA_KEY
from nigaoe_core.errors import CheckpointError, CheckpointMismatch, UnsafeCheckpoint
from nigaoe_core.style_methods import METHOD_TITLES, REVERSE_GENERATION, StyleMethod, feed_forward_method
from nigaoe_model.checkpoints.families import recognise
from nigaoe_model.checkpoints.families.feed_forward import PublishedMethod, published_method
from nigaoe_model.checkpoints.families.recognised import LayoutName, Recognised, Tensors
from nigaoe_model.checkpoints.formats import Content, read_content
from nigaoe_model.checkpoints.pickle_machine import Trace
from nigaoe_model.checkpoints.rebuilding import CARRIES_SOURCE, HARMLESS
from nigaoe_model.checkpoints.records import TensorRecord, tensors_in
from nigaoe_model.stylegan2.architecture import Architecture

MAX_LISTED = 200
NATIVE_TITLE = "Nigaoe's own format"


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
        unsafe_imports: Those that are on no list: unpickling the file may run them.
        carries_source: Whether Python source in the file would be executed by its usual loader.
        method: How the networks inside draw a photo. Feed-forward ones have neither a layout nor a StyleGAN2's
            architecture; `nigaoe_model.checkpoints.feed_forward_importing` imports them.
        card: Our own card as JSON, when the file was written by Nigaoe.
        notes: What was noticed.
    """

    model_config = ConfigDict(frozen=True)

    container: str = ""
    family: str = "unknown"
    title: Printable = "unknown"
    layout: LayoutName | None = None
    problem: Printable = ""
    problem_code: str = ""
    architecture: Architecture | None = None
    trainable_blocks: int | None = None
    networks: tuple[NetworkFacts, ...] = ()
    tensors: dict[Printable, tuple[int, ...]] = {}
    imports: tuple[Printable, ...] = ()
    unsafe_imports: tuple[Printable, ...] = ()
    carries_source: bool = False
    method: StyleMethod = REVERSE_GENERATION
    card: str = ""
    notes: tuple[Printable, ...] = ()

    @property
    def executes_code(self) -> bool:
        """Whether loading the file in the usual way would run code that its author chose."""
        return self.carries_source or bool(self.unsafe_imports)


@dataclass(slots=True)
class Examination:
    """Result of examining one file.

    Attributes:
        reading: The report.
        recognised: The networks, when they can be imported and are not in our own format already.
        content: All that the file holds; None when it cannot be read, or would run code.
        error: What importing the file ends in, when it cannot be imported.
    """

    reading: Reading
    recognised: Recognised | None = None
    content: Content | None = None
    error: CheckpointError | None = None


@dataclass(slots=True)
class _Findings:
    """What is known so far; kept when a later step fails."""

    trace: Trace = field(default_factory=Trace)
    content: Content | None = None
    recognised: Recognised | None = None
    published: PublishedMethod | None = None


def examine(path: Path, *, list_tensors: bool = False) -> Examination:
    """Read and recognise a file, and report rather than raise.

    Args:
        path: The file; its name means nothing.
        list_tensors: Put the name and shape of every tensor into the report.
    """
    findings = _Findings()
    error: CheckpointError | None = None
    try:
        findings.content = read_content(path, findings.trace)
        _refuse_code(path, findings.trace)
        if METADATA_KEY in findings.content.metadata:
            _refuse_other_kinds(path, findings.content.metadata[METADATA_KEY])
        else:
            findings.published = published_method(findings.content.value)
            if findings.published is None:
                findings.recognised = recognise(findings.content)
                _refuse_wide(findings.recognised)
    except CheckpointError as found:
        error = _worst(path, findings.trace, found)
    reading = _report(findings, error, list_tensors=list_tensors)
    recognised = findings.recognised if error is None else None
    return Examination(reading, recognised, None if isinstance(error, UnsafeCheckpoint) else findings.content, error)


def _refuse_code(path: Path, trace: Trace) -> None:
    unsafe = unsafe_names(trace)
    if unsafe:
        raise UnsafeCheckpoint(
            f"`{path.name}` would import and may run `{', '.join(unsafe[:3])}` when it is loaded in the usual way. "
            "Weights need nothing like that: do not load this file anywhere.",
            names=unsafe,
        )


def _refuse_other_kinds(path: Path, card: str) -> None:
    kind = str(_card_of(card).get("kind"))
    if kind == "encoder":
        raise CheckpointMismatch(
            f"`{path.name}` is an encoder, no generator; put it beside its generator with `nigaoe weights attach`.",
            family="Nigaoe's encoder",
        )


def _worst(path: Path, trace: Trace, error: CheckpointError) -> CheckpointError:
    """A file that names foreign code is dangerous first and damaged or unknown second."""
    try:
        _refuse_code(path, trace)
    except UnsafeCheckpoint as unsafe:
        return unsafe
    return error


def unsafe_names(trace: Trace) -> list[str]:
    """Return the names that unpickling would import and that are on no list, at most `MAX_LISTED`."""
    return sorted(str(name)[:120] for name in trace.names - HARMLESS - CARRIES_SOURCE)[:MAX_LISTED]


def _refuse_wide(recognised: Recognised) -> None:
    """Numbers of other types than floats are no weights."""
    for name, tensor in recognised.generator.items():
        if tensor.dtype not in ("float32", "float16", "bfloat16", "float64"):
            raise CheckpointMismatch(f"Tensor `{name[:100]}` is of type {tensor.dtype}; weights are floats.")


def _report(findings: _Findings, error: CheckpointError | None, *, list_tensors: bool) -> Reading:
    content, found, names = findings.content, findings.recognised, findings.trace.names
    fields: dict[str, Any] = {
        "imports": tuple(sorted(str(name)[:120] for name in names))[:MAX_LISTED],
        "unsafe_imports": tuple(unsafe_names(findings.trace)),
        "carries_source": bool(names & CARRIES_SOURCE),
    }
    if content is not None and not isinstance(error, UnsafeCheckpoint):
        groups = _groups(content.value)[:MAX_LISTED]
        fields |= {"container": content.format, "networks": tuple(network_facts(n, t) for n, t in groups)}
        if list_tensors:
            fields["tensors"] = _listed(groups)
        if METADATA_KEY in content.metadata and error is None:
            fields |= _native_fields(content)
    if findings.published is not None and error is None:
        method, title = findings.published
        fields |= {"family": method, "title": title, "method": method}
    if found is not None:
        fields |= {
            key: getattr(found, key)
            for key in ("family", "title", "layout", "architecture", "trainable_blocks", "card", "notes")
        }
    if error is not None:
        family = error.details.get("family")
        fields |= {"problem": error.message, "problem_code": error.code, "layout": None}
        fields |= {"family": "foreign", "title": family} if family else {}
    return Reading(**fields)


def _native_fields(content: Content) -> dict[str, Any]:
    networks: dict[str, dict[str, TensorRecord]] = {}
    for name, tensor in content.value.items():
        networks.setdefault(name.partition(".")[0], {})[name] = tensor
    card = content.metadata[METADATA_KEY]
    fields = {
        "family": "native",
        "card": card,
        "networks": tuple(network_facts(name, tensors) for name, tensors in networks.items()),
    }
    method = feed_forward_method(_card_of(card).get("kind"))
    if method is not None:
        return fields | {"title": f"{METHOD_TITLES[method]} in {NATIVE_TITLE}", "method": method}
    architecture, trainable_blocks = _card_facts(card)
    stylegan2 = {"architecture": architecture, "trainable_blocks": trainable_blocks}
    return fields | stylegan2 | {"title": NATIVE_TITLE, "layout": "native"}


def _card_facts(text: str) -> tuple[Architecture | None, int | None]:
    """Read what a report shows; whether the whole card is sound is for the loader to say."""
    card = _card_of(text)
    depth = card.get("trainable_blocks")
    try:
        return Architecture.model_validate(card["architecture"]), depth if type(depth) is int else None
    except (ValueError, KeyError):
        return None, None


def _card_of(text: str) -> dict[str, Any]:
    try:
        card = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return card if isinstance(card, dict) else {}


def _groups(value: Any) -> list[tuple[str, Tensors]]:
    """Sort the tensors of a file by the first name of the path to them."""
    groups: dict[str, dict[str, TensorRecord]] = {}
    for path, tensor in tensors_in(value).items():
        group = path[0] if len(path) > 1 else "tensors"
        groups.setdefault(group, {})[".".join(path[1:] or path)] = tensor
    return list(groups.items())


def _listed(groups: list[tuple[str, Tensors]]) -> dict[str, tuple[int, ...]]:
    return {f"{group}: {name}": t.shape for group, tensors in groups for name, t in tensors.items()}


def network_facts(name: str, tensors: Tensors) -> NetworkFacts:
    """Count the tensors of one group."""
    return NetworkFacts(
        name=name[:100],
        tensors=len(tensors),
        parameters=sum(t.count for t in tensors.values()),
        byte_count=sum(t.byte_count for t in tensors.values()),
        dtypes=tuple(sorted({t.dtype for t in tensors.values()})),
    )
