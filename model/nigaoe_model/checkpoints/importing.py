"""Import of a foreign file into the user registry: read, convert, compare, try out, write, register."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nigaoe_core.errors import CheckpointMismatch, ParentMismatch, StorageError, UnknownGenerator, UsageError
from nigaoe_core.manifest import DEFAULT_UPSCALER, GeneratorRow, Manifest, StyleRow, UpscalerName, edit_manifest
from nigaoe_core.registry import GeneratorEntry, Registry
from nigaoe_core.style_methods import REVERSE_GENERATION
from nigaoe_faces.encoding import encode_png, encode_webp
from nigaoe_model.checkpoints.conversion import Description, converted_checkpoint, native_checkpoint
from nigaoe_model.checkpoints.examination import Reading
from nigaoe_model.checkpoints.feed_forward_importing import read_feed_forward, save_feed_forward
from nigaoe_model.checkpoints.parentage import Parentage, adopt, compare
from nigaoe_model.checkpoints.registry import file_sha256
from nigaoe_model.checkpoints.sandbox import raise_problem, read_in_sandbox
from nigaoe_model.checkpoints.self_test import SelfTest, run_feed_forward_self_test, run_self_test
from nigaoe_model.compared.method_card import MethodCard
from nigaoe_model.portrait.feed_forward import feed_forward_style
from nigaoe_model.portrait.pair import load_generator
from nigaoe_model.portrait.palette import measure_palette
from nigaoe_model.stylegan2.checkpoint import Checkpoint, CheckpointCard, load_checkpoint, save_checkpoint
from nigaoe_model.stylegan2.latent_statistics import measure_latents


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """Request to import one file.

    Attributes:
        path: The foreign file.
        description: Name and what else the user says about it.
        parent: Name of the generator that it was fine-tuned from: the result is a style of it.
        title: What people are shown; empty: the name.
        text: One sentence for people.
        keep_discriminator: Store the discriminator too, when the file has one that fits.
        overwrite: Replace an entry of the same name.
        upscaler: How a style's drawings are enlarged; None: as most are.
        resolution: Side in pixels of a published Swapping Autoencoder, whose file does not tell it.
    """

    path: Path
    description: Description
    parent: str | None = None
    title: str = ""
    text: str = ""
    keep_discriminator: bool = True
    overwrite: bool = False
    upscaler: UpscalerName | None = None
    resolution: int | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """Result of an import.

    Attributes:
        card: The new checkpoint's card.
        resolution: Side of its pictures in pixels.
        path: The new checkpoint.
        is_style: Whether photos can be converted with it; else it is a generator to invert in, or to fine-tune.
        discriminator: Checkpoint of its discriminator, when there is one.
        sheet: Picture of samples.
        reading: What the file was.
        self_test: How the first drawings look.
        parentage: The relation to its parent, for a style of reverse generation.
        warnings: Sentences for the user.
    """

    card: CheckpointCard | MethodCard
    resolution: int
    path: Path
    is_style: bool
    discriminator: Path | None
    sheet: Path
    reading: Reading
    self_test: SelfTest
    parentage: Parentage | None
    warnings: tuple[str, ...]


def import_weights(request: ImportRequest, registry: Registry, folder: Path) -> Imported:
    """Bring a foreign file into the registry in ``folder``; nothing is registered unless everything succeeds.

    Raises:
        UsageError: The name is taken, or needed by styles.
        UnknownGenerator: There is no such parent.
        CheckpointError: The file cannot be imported; the message says why.
        ParentMismatch: It was not fine-tuned from ``parent``.
        StorageError: The folder cannot be written to.
    """
    _refuse_taken(request, registry)
    parent = load_checkpoint(registry.generator(request.parent).path) if request.parent else None
    with tempfile.TemporaryDirectory(prefix="nigaoe-import-") as scratch:
        tensors = Path(scratch) / "tensors.safetensors"
        reading = read_in_sandbox(request.path, output=tensors)
        raise_problem(reading)
        if reading.method != REVERSE_GENERATION:
            return _import_feed_forward(request, reading, registry, folder)
        checkpoint = _checkpoint(request, reading, tensors, parent)
    parentage = None
    if parent is not None:
        parentage = compare(checkpoint, parent)
        checkpoint = adopt(checkpoint, parent, parentage)
    generator = checkpoint.build_generator()
    checkpoint = replace(checkpoint, statistics=checkpoint.statistics or measure_latents(generator))
    person = parent.build_generator() if parent else None
    if person is not None:
        checkpoint = replace(checkpoint, palette=measure_palette(person, generator))
    self_test = run_self_test(generator, person)
    card = checkpoint.card
    try:
        keep = request.keep_discriminator and parent is None
        path, discriminator = _write(checkpoint, folder, keep_discriminator=keep)
        sheet = _write_pictures(self_test, request.description.name, folder, is_style=parent is not None)
    except OSError as error:
        raise _unwritable(folder, error) from error
    if parent is not None:
        _register_style(request, card, folder, path)
    else:
        _register_generator(request, card, folder, path, discriminator)
    return Imported(
        card=card,
        resolution=card.architecture.resolution,
        path=path,
        is_style=parent is not None,
        discriminator=discriminator,
        sheet=sheet,
        reading=reading,
        self_test=self_test,
        parentage=parentage,
        warnings=_warnings(card, parentage, self_test),
    )


def _import_feed_forward(request: ImportRequest, reading: Reading, registry: Registry, folder: Path) -> Imported:
    checkpoint = read_feed_forward(
        request.path, reading, request.description, parent=request.parent, resolution=request.resolution
    )
    name, card = request.description.name, checkpoint.card
    style = feed_forward_style(name, checkpoint)
    self_test = run_feed_forward_self_test(style, load_generator(_persons(registry).path).generator)
    path = folder / f"{name}.safetensors"
    try:
        save_feed_forward(checkpoint, path)
        sheet = _write_pictures(self_test, name, folder, is_style=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    _register_style(request, card, folder, path)
    warnings = [*self_test.warnings, *_licence_warnings(card)]
    if not style.has_own_style:
        warnings.append("The file holds no mean texture, so every photo needs a reference: an anime face.")
    return Imported(
        card=card,
        resolution=style.resolution,
        path=path,
        is_style=True,
        discriminator=None,
        sheet=sheet,
        reading=reading,
        self_test=self_test,
        parentage=None,
        warnings=tuple(warnings),
    )


def _persons(registry: Registry) -> GeneratorEntry:
    """Return a generator of people, whose drawings stand for photos in the self-test."""
    for entry in registry.generators():
        if entry.domain == "human" and entry.facts is not None:
            return entry
    raise UnknownGenerator("No generator of people is installed, which the self-test draws photos with; import one.")


def _unwritable(folder: Path, error: OSError) -> StorageError:
    return StorageError(f"`{folder}` cannot be written ({error}); check its owner and space.")


def _refuse_taken(request: ImportRequest, registry: Registry) -> None:
    name = request.description.name
    taken = {entry.name: entry for entry in (*registry.generators(), *registry.styles())}.get(name)
    if taken is None:
        return
    if request.overwrite and not taken.bundled:
        _refuse_orphans(registry, name)
        return
    hint = "choose another name" if taken.bundled else "choose another one, or say --overwrite"
    raise UsageError(f"The name `{name}` is taken; {hint}.")


def _refuse_orphans(registry: Registry, name: str) -> None:
    children = [style.name for style in registry.styles() if style.parent == name and style.name != name]
    if children:
        raise UsageError(
            f"`{name}` is the generator of {', '.join(children)}, which would fit no more; remove them first."
        )


def _checkpoint(request: ImportRequest, reading: Reading, tensors: Path, parent: Checkpoint | None) -> Checkpoint:
    _refuse_options_of_others(request)
    description = request.description
    if parent is not None:
        description = replace(
            description,
            domain=description.domain or "anime",
            alignment=description.alignment or parent.card.alignment,
        )
    if reading.layout == "native":
        checkpoint = native_checkpoint(request.path, description)
    else:
        checkpoint = converted_checkpoint(request.path, reading, tensors, description)
    if not checkpoint.generator:
        raise CheckpointMismatch(f"`{request.path.name}` holds only a discriminator; a generator is needed.")
    if parent is None and checkpoint.card.parent_sha256 is not None:
        raise ParentMismatch(
            f"`{request.path.name}` is a style: import the generator that it was fine-tuned from first, and name it "
            "with --parent."
        )
    return checkpoint


def _refuse_options_of_others(request: ImportRequest) -> None:
    if request.upscaler is not None and request.parent is None:
        raise UsageError("--upscaler says how drawings of a style are enlarged; name its generator with --parent.")
    if request.resolution is not None:
        raise UsageError(f"`{request.path.name}` tells its size by itself; leave --resolution out.")


def _warnings(card: CheckpointCard, parentage: Parentage | None, self_test: SelfTest) -> tuple[str, ...]:
    found = list(self_test.warnings)
    if parentage is not None and not parentage.is_frozen:
        found.append(parentage.sentence())
    if parentage is None and card.trainable_blocks is not None:
        found.append(
            f"The file says that it was fine-tuned in its last {card.trainable_blocks} blocks: import the generator "
            "that it was made from too, and name it with --parent, to convert photos with it."
        )
    return (*found, *_licence_warnings(card))


def _licence_warnings(card: CheckpointCard | MethodCard) -> list[str]:
    if card.licence != "unknown":
        return []
    return ["The licence of the weights is unknown; say --licence if you know it."]


def _write(checkpoint: Checkpoint, folder: Path, *, keep_discriminator: bool) -> tuple[Path, Path | None]:
    name = checkpoint.card.name
    path = folder / f"{name}.safetensors"
    save_checkpoint(replace(checkpoint, discriminator={}), path)
    if not checkpoint.discriminator or not keep_discriminator:
        return path, None
    beside = folder / f"{name}-discriminator.safetensors"
    card = checkpoint.card.model_copy(update={"name": f"{name[:50]}-discriminator"})
    save_checkpoint(Checkpoint(card=card, discriminator=checkpoint.discriminator), beside)
    return path, beside


def _write_pictures(self_test: SelfTest, name: str, folder: Path, *, is_style: bool) -> Path:
    """Write the sheet, and for a style the samples that the API shows beside its name."""
    sheet = folder / f"{name}-samples.png"
    sheet.write_bytes(encode_png(self_test.sheet))
    if is_style:
        samples = folder / "samples" / name
        samples.mkdir(parents=True, exist_ok=True)
        for number, (picture, before) in enumerate(zip(self_test.pictures, self_test.before, strict=True), start=1):
            (samples / f"{number}.webp").write_bytes(encode_webp(picture))
            (samples / f"{number}.before.webp").write_bytes(encode_webp(before))
    return sheet


def _register_style(request: ImportRequest, card: CheckpointCard | MethodCard, folder: Path, path: Path) -> None:
    method = card.kind if isinstance(card, MethodCard) else REVERSE_GENERATION
    said = _said(request, card, path) | {"method": method, "parent": request.parent}
    row = StyleRow.model_validate(said | {"upscaler": request.upscaler or DEFAULT_UPSCALER})

    def add(manifest: Manifest) -> Manifest:
        bare = _without(manifest, card.name)
        return bare.model_copy(update={"styles": bare.styles | {card.name: row}})

    edit_manifest(folder, add)


def _register_generator(
    request: ImportRequest, card: CheckpointCard, folder: Path, path: Path, discriminator: Path | None
) -> None:
    beside = discriminator.name if discriminator else None
    said = _said(request, card, path) | {"discriminator": beside, "domain": card.domain}
    row = GeneratorRow.model_validate(said)

    def add(manifest: Manifest) -> Manifest:
        bare = _without(manifest, card.name)
        return bare.model_copy(update={"generators": bare.generators | {card.name: row}})

    edit_manifest(folder, add)


def _said(request: ImportRequest, card: CheckpointCard | MethodCard, path: Path) -> dict[str, Any]:
    return {
        "file": path.name,
        "title": request.title,
        "description": request.text,
        "sha256": file_sha256(path),
        "licence": card.licence,
        "source": card.source,
    }


def _without(manifest: Manifest, name: str) -> Manifest:
    update = {
        "generators": {key: row for key, row in manifest.generators.items() if key != name},
        "styles": {key: row for key, row in manifest.styles.items() if key != name},
    }
    return manifest.model_copy(update=update)
