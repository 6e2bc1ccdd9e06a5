"""Import of a foreign file into the user registry: read, convert, compare, try out, write, register."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from nigaoe_core.errors import CheckpointMismatch, ParentMismatch, StorageError, UsageError
from nigaoe_core.manifest import DEFAULT_UPSCALER, GeneratorRow, Manifest, StyleRow, UpscalerName, edit_manifest
from nigaoe_core.registry import Registry
from nigaoe_faces.encoding import encode_png, encode_webp
from nigaoe_model.checkpoints.conversion import Description, converted_checkpoint, native_checkpoint
from nigaoe_model.checkpoints.examination import Reading
from nigaoe_model.checkpoints.parentage import Parentage, adopt, compare
from nigaoe_model.checkpoints.registry import file_sha256
from nigaoe_model.checkpoints.sandbox import raise_problem, read_in_sandbox
from nigaoe_model.checkpoints.self_test import SelfTest, run_self_test
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
        upscaler: How a style's drawings are enlarged.
    """

    path: Path
    description: Description
    parent: str | None = None
    title: str = ""
    text: str = ""
    keep_discriminator: bool = True
    overwrite: bool = False
    upscaler: UpscalerName = DEFAULT_UPSCALER


@dataclass(frozen=True, slots=True)
class Imported:
    """Result of an import.

    Attributes:
        card: The new checkpoint's card.
        path: The new checkpoint.
        is_style: Whether photos can be converted with it; else it is a generator to invert in, or to fine-tune.
        discriminator: Checkpoint of its discriminator, when there is one.
        sheet: Picture of samples.
        reading: What the file was.
        self_test: How the first drawings look.
        parentage: The relation to its parent, for a style.
        warnings: Sentences for the user.
    """

    card: CheckpointCard
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
    reading, checkpoint = _read(request, parent)
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
    warnings = _warnings(checkpoint.card, parentage, self_test)
    try:
        keep = request.keep_discriminator and parent is None
        path, discriminator = _write(checkpoint, folder, keep_discriminator=keep)
        sheet = _write_pictures(self_test, request.description.name, folder, is_style=parent is not None)
    except OSError as error:
        raise StorageError(f"`{folder}` cannot be written ({error}); check its owner and space.") from error
    _register(request, checkpoint.card, folder, path, discriminator)
    return Imported(
        checkpoint.card, path, parent is not None, discriminator, sheet, reading, self_test, parentage, warnings
    )


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


def _read(request: ImportRequest, parent: Checkpoint | None) -> tuple[Reading, Checkpoint]:
    description = request.description
    if parent is not None:
        description = replace(
            description,
            domain=description.domain or "anime",
            alignment=description.alignment or parent.card.alignment,
        )
    with tempfile.TemporaryDirectory(prefix="nigaoe-import-") as folder:
        tensors = Path(folder) / "tensors.safetensors"
        reading = read_in_sandbox(request.path, output=tensors)
        raise_problem(reading)
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
    return reading, checkpoint


def _warnings(card: CheckpointCard, parentage: Parentage | None, self_test: SelfTest) -> tuple[str, ...]:
    found = list(self_test.warnings)
    if parentage is not None and not parentage.is_frozen:
        found.append(parentage.sentence())
    if parentage is None and card.trainable_blocks is not None:
        found.append(
            f"The file says that it was fine-tuned in its last {card.trainable_blocks} blocks: import the generator "
            "that it was made from too, and name it with --parent, to convert photos with it."
        )
    if card.licence == "unknown":
        found.append("The licence of the weights is unknown; say --licence if you know it.")
    return tuple(found)


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


def _register(
    request: ImportRequest, card: CheckpointCard, folder: Path, path: Path, discriminator: Path | None
) -> None:
    said = {
        "file": path.name,
        "title": request.title,
        "description": request.text,
        "sha256": file_sha256(path),
        "licence": card.licence,
        "source": card.source,
    }

    def add(manifest: Manifest) -> Manifest:
        generators = {name: row for name, row in manifest.generators.items() if name != card.name}
        styles = {name: row for name, row in manifest.styles.items() if name != card.name}
        if request.parent:
            styles[card.name] = StyleRow(**said, parent=request.parent, upscaler=request.upscaler)
        else:
            beside = discriminator.name if discriminator else None
            generators[card.name] = GeneratorRow(**said, discriminator=beside, domain=card.domain)
        return manifest.model_copy(update={"generators": generators, "styles": styles})

    edit_manifest(folder, add)
