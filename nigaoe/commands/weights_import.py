"""`nigaoe weights inspect` and `nigaoe weights import`: report what a foreign file is, bring it into the registry."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nigaoe_core.errors import UsageError
from nigaoe_core.manifest import DEFAULT_UPSCALER, UpscalerName
from nigaoe_core.registry import Registry
from nigaoe_core.settings import load_settings
from nigaoe_core.style_methods import METHOD_TITLES, REVERSE_GENERATION

if TYPE_CHECKING:
    from nigaoe_faces.align import AlignmentTemplate
    from nigaoe_model.checkpoints.examination import Reading
    from nigaoe_model.checkpoints.importing import Imported, ImportRequest

_File = Annotated[Path, typer.Argument(help="A weight file; what it is called does not matter.")]

MAX_SHOWN_IMPORTS = 12


def inspect(
    file: _File,
    *,
    tensors: Annotated[bool, typer.Option("--tensors", help="List every tensor with its shape.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a report.")] = False,
) -> None:
    """Tell what a file is, by its content and without executing anything in it."""
    from nigaoe_model.checkpoints.sandbox import read_in_sandbox

    reading = read_in_sandbox(file, list_tensors=tensors)
    if as_json:
        typer.echo(reading.model_dump_json(indent=2))
        return
    console = Console()
    table = Table(box=None, show_header=False, pad_edge=False)
    for label, text in _report(file, reading):
        table.add_row(f"[bold]{label}[/]", text)
    console.print(table)
    for name, shape in reading.tensors.items():
        console.print(f"  {escape(name)}  [dim]{list(shape)}[/]", highlight=False)


def import_file(
    file: _File,
    *,
    name: Annotated[str, typer.Option(help="What it shall be called: a-z, 0-9, dots, dashes, underscores.")],
    domain: Annotated[
        str | None, typer.Option(help="human, anime or other; default human, with --parent anime.")
    ] = None,
    alignment: Annotated[
        str | None,
        typer.Option(help="How photos are framed: ffhq, demo, or ZOOM,SHIFT_Y; default the parent's, else ffhq."),
    ] = None,
    parent: Annotated[
        str | None, typer.Option(help="Generator that it was fine-tuned from: it becomes a style.")
    ] = None,
    title: Annotated[str, typer.Option(help="What people are shown.")] = "",
    description: Annotated[str, typer.Option(help="One sentence for people.")] = "",
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "",
    source: Annotated[str, typer.Option(help="Where they come from; default the file's name.")] = "",
    upscaler: Annotated[
        UpscalerName | None,
        typer.Option(help=f"How drawings of a style are enlarged; default {DEFAULT_UPSCALER}. See docs/weights.md."),
    ] = None,
    resolution: Annotated[
        int | None,
        typer.Option(min=16, help="Side in pixels of a published Swapping Autoencoder, which does not tell it; 256."),
    ] = None,
    discriminator: Annotated[bool, typer.Option(help="Keep the discriminator for fine-tuning.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an entry of the same name.")] = False,
) -> None:
    """Bring weights in: read without executing, converted, tried out, registered. Workers notice by themselves."""
    from nigaoe_model.checkpoints.conversion import Description
    from nigaoe_model.checkpoints.importing import ImportRequest

    check_name(name)
    described = Description(name, _domain(domain), _alignment(alignment), licence, source)
    request = ImportRequest(
        path=file,
        description=described,
        parent=parent,
        title=title,
        text=description,
        keep_discriminator=discriminator,
        overwrite=overwrite,
        upscaler=upscaler,
        resolution=resolution,
    )
    bring_in(request)


def bring_in(request: "ImportRequest") -> None:
    """Import and tell what came of it; shared with `fetch`."""
    from nigaoe_model.checkpoints.importing import import_weights
    from nigaoe_model.device import prepare_device

    settings = load_settings()
    prepare_device("cpu", settings.torch_threads)
    console = Console(stderr=True)
    with console.status(f"Importing {escape(request.path.name)} ..."):
        imported = import_weights(request, Registry.from_settings(settings), settings.registry_path)
    _print_imported(console, imported)


def check_name(name: str) -> None:
    """Refuse a name that no manifest can hold.

    Raises:
        UsageError: It has other characters, is too long, or has another meaning.
    """
    from pydantic import TypeAdapter, ValidationError

    from nigaoe_core.manifest import Name

    if name == "all":
        raise UsageError("`all` means every style, as in `--style all`; choose another name.")
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        raise UsageError(
            f"`{name}` is no name for weights: it has up to 64 of a-z, 0-9, dots, dashes and underscores, "
            "and begins with a letter or digit."
        ) from None


def _domain(domain: str | None) -> str | None:
    if domain not in (None, "human", "anime", "other"):
        raise UsageError(f"There is no domain `{domain}`; there are: human, anime, other.")
    return domain


def _alignment(text: str | None) -> "AlignmentTemplate | None":
    from pydantic import ValidationError

    from nigaoe_faces.align import DEMO, FFHQ

    if text is None:
        return None
    known = {"ffhq": FFHQ, "demo": DEMO}
    if text in known:
        return known[text]
    try:
        zoom, shift_y = (float(number) for number in text.split(","))
        return FFHQ.model_validate(FFHQ.model_dump() | {"name": "custom", "zoom": zoom, "shift_y": shift_y})
    except (ValueError, ValidationError):
        raise UsageError(f"`{text}` is no alignment: say ffhq, demo, or ZOOM,SHIFT_Y such as 1.2,0.04.") from None


def _report(file: Path, reading: "Reading") -> list[tuple[str, str]]:
    lines = [("file", f"{escape(str(file))} ({_size(file.stat().st_size)})"), ("family", escape(reading.title))]
    if reading.container:
        lines.append(("container", reading.container))
    lines.append(("runs code", _code(reading)))
    if reading.method != REVERSE_GENERATION:
        lines.append(("draws", f"in one pass, by the method {METHOD_TITLES[reading.method]} (`{reading.method}`)"))
    lines += _architecture(reading)
    for network in reading.networks:
        size = f"{network.parameters:,} numbers, {_size(network.byte_count)}, {', '.join(network.dtypes)}"
        lines.append(("network", f"{escape(network.name)}: {network.tensors} tensors, {size}"))
    lines += [("note", escape(note)) for note in reading.notes]
    if reading.problem:
        lines.append(("import", f"[red]no[/] ({reading.problem_code}): {escape(reading.problem)}"))
    else:
        lines.append(("import", "[green]yes[/]"))
    return lines


def _code(reading: "Reading") -> str:
    if reading.unsafe_imports:
        names = ", ".join(reading.unsafe_imports[:MAX_SHOWN_IMPORTS])
        return f"[bold red]YES[/], when loaded in the usual way: {escape(names)}"
    if reading.carries_source:
        return "[yellow]its usual loader executes Python source that lies in it[/]; Nigaoe does not read it"
    return "no"


def _architecture(reading: "Reading") -> list[tuple[str, str]]:
    architecture = reading.architecture
    if architecture is None:
        return []
    widths = ", ".join(f"{r}: {architecture.channels[r]}" for r in architecture.resolutions)
    lines = [
        ("resolution", f"{architecture.resolution} px"),
        ("channels", widths),
        ("latent", f"z {architecture.z_dim}, w {architecture.w_dim}, {architecture.mapping_layers} mapping layers"),
    ]
    if architecture.conv_clamp is not None:
        lines.append(("conv_clamp", f"{architecture.conv_clamp:g}"))
    if reading.trainable_blocks is not None:
        lines.append(("fine-tuned", f"the last {reading.trainable_blocks} blocks, as the file says"))
    return lines


def _print_imported(console: Console, imported: "Imported") -> None:
    kind = "style" if imported.is_style else "generator"
    name, family = escape(imported.card.name), escape(imported.reading.title)
    console.print(f"[green]✓[/] [bold]{name}[/], a {kind} of {imported.resolution} px: {family}", highlight=False)
    if imported.parentage is not None and imported.parentage.is_frozen:
        console.print(f"  {escape(imported.parentage.sentence())}", highlight=False)
    console.print(f"  samples: {escape(str(imported.sheet))}", highlight=False)
    for warning in imported.warnings:
        console.print(f"  [yellow]![/] {escape(warning)}", highlight=False)


def _size(count: int) -> str:
    if count < 1000:
        return f"{count} bytes"
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"
