"""One look at a file: what it is, whether it can be imported, and whether it would run code. Nothing is executed."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nigaoe_core.checkpoint_header import METADATA_KEY
from nigaoe_core.errors import CheckpointError, CheckpointMismatch, UnsafeCheckpoint
from nigaoe_model.checkpoints.containers import Content, read_content
from nigaoe_model.checkpoints.families import recognise
from nigaoe_model.checkpoints.pickle_machine import Trace
from nigaoe_model.checkpoints.reading import Reading, Recognised, Tensors, network_facts
from nigaoe_model.checkpoints.rebuilding import CARRIES_SOURCE, HARMLESS
from nigaoe_model.checkpoints.records import TensorRecord
from nigaoe_model.checkpoints.walking import tensors_in
from nigaoe_model.stylegan2.architecture import Architecture

MAX_LISTED = 200
NATIVE_TITLE = "Nigaoe's own format"


@dataclass(slots=True)
class Examination:
    """What one look found.

    Attributes:
        reading: The report.
        recognised: The networks, when they can be imported and are not in our own format already.
        error: What importing the file ends in, when it cannot be imported.
    """

    reading: Reading
    recognised: Recognised | None = None
    error: CheckpointError | None = None


@dataclass(slots=True)
class _Findings:
    """What is known so far; kept when a later step fails."""

    trace: Trace = field(default_factory=Trace)
    content: Content | None = None
    recognised: Recognised | None = None


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
            _refuse_encoder(path, findings.content.metadata[METADATA_KEY])
        else:
            findings.recognised = recognise(findings.content)
            _refuse_wide(findings.recognised)
    except CheckpointError as found:
        error = _worst(path, findings.trace, found)
    reading = _report(findings, error, list_tensors=list_tensors)
    return Examination(reading, findings.recognised if error is None else None, error)


def _refuse_code(path: Path, trace: Trace) -> None:
    unsafe = unsafe_names(trace)
    if unsafe:
        raise UnsafeCheckpoint(
            f"`{path.name}` would import and may run `{', '.join(unsafe[:3])}` when it is loaded in the usual way. "
            "Weights need nothing like that: do not load this file anywhere.",
            names=unsafe,
        )


def _refuse_encoder(path: Path, card: str) -> None:
    if _card_of(card).get("kind") == "encoder":
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
        fields |= {"container": content.container, "networks": tuple(network_facts(n, t) for n, t in groups)}
        if list_tensors:
            fields["tensors"] = _listed(groups)
        if METADATA_KEY in content.metadata and error is None:
            fields |= _native_fields(content)
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
    architecture, trainable_blocks = _card_facts(content.metadata[METADATA_KEY])
    networks: dict[str, dict[str, TensorRecord]] = {}
    for name, tensor in content.value.items():
        networks.setdefault(name.partition(".")[0], {})[name] = tensor
    return {
        "family": "native",
        "title": NATIVE_TITLE,
        "layout": "native",
        "card": content.metadata[METADATA_KEY],
        "architecture": architecture,
        "trainable_blocks": trainable_blocks,
        "networks": tuple(network_facts(name, tensors) for name, tensors in networks.items()),
    }


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
    """Sort the tensors of a file by the first name on the way to them."""
    groups: dict[str, dict[str, TensorRecord]] = {}
    for way, tensor in tensors_in(value).items():
        group = way[0] if len(way) > 1 else "tensors"
        groups.setdefault(group, {})[".".join(way[1:] or way)] = tensor
    return list(groups.items())


def _listed(groups: list[tuple[str, Tensors]]) -> dict[str, tuple[int, ...]]:
    return {f"{group}: {name}": t.shape for group, tensors in groups for name, t in tensors.items()}
