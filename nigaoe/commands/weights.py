"""`nigaoe weights`: list, inspect, import, fetch, verify, attach, export and remove weights."""

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nigaoe.commands.weights_fetch import fetch
from nigaoe.commands.weights_import import import_file, inspect
from nigaoe.exit_codes import exit_code
from nigaoe_core.errors import NigaoeError, UsageError
from nigaoe_core.manifest import Manifest, edit_manifest
from nigaoe_core.registry import GeneratorEntry, Registry, Style, WeightEntry
from nigaoe_core.settings import load_settings

app = typer.Typer(name="weights", help="Inspect, import and export weights.", no_args_is_help=True)
app.command()(inspect)
app.command("import")(import_file)
app.command()(fetch)

FAMILIES = ("rosinality", "nvidia-state")

_Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
_Name = Annotated[str, typer.Argument(help="Generator or style; see `nigaoe weights list`.")]


@app.command("list")
def list_weights(*, as_json: _Json = False) -> None:
    """Show every generator and style that is installed, and what can be fetched."""
    registry = Registry.from_settings(load_settings())
    entries: list[WeightEntry] = [*registry.generators(), *registry.styles()]
    rows = [_row(entry) for entry in entries]
    if as_json:
        fetchable = {name: row.model_dump() for name, row in registry.downloads().items()}
        typer.echo(json.dumps({"weights": rows, "downloads": fetchable}, indent=2, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("name", "kind", "method", "pixels", "parent", "licence", "from"):
        table.add_column(column, overflow="fold")
    for row in rows:
        origin = "with Nigaoe" if row["bundled"] else row["source"]
        cells = (row["name"], row["kind"], row["method"] or "", row["parent"] or "", row["licence"], origin)
        name, kind, method, parent, licence, origin = map(escape, cells)
        pixels = "[red]missing or damaged[/]" if row["resolution"] is None else str(row["resolution"])
        table.add_row(f"[bold]{name}[/]", kind, method, pixels, parent, licence, origin)
    for name, download in registry.downloads().items():
        table.add_row(name, "to fetch", "", "", "", escape(download.licence), "[dim]nigaoe weights fetch[/]")
    Console().print(table)


@app.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(help="What to check; nothing: everything.")] = None,
    *,
    as_json: _Json = False,
) -> None:
    """Check digests of files, tensors against architectures, and styles against the generators they came from."""
    from nigaoe_model.checkpoints.registry import verify_entry

    registry = Registry.from_settings(load_settings())
    everything: list[WeightEntry] = [*registry.generators(), *registry.styles()]
    faults: dict[str, NigaoeError | None] = {}
    for entry in [registry.entry(name) for name in names] if names else everything:
        try:
            verify_entry(registry, entry)
        except NigaoeError as error:
            faults[entry.name] = error
        else:
            faults[entry.name] = None
        if not as_json:
            _print_verdict(entry.name, faults[entry.name])
    if as_json:
        verdicts = [
            {"name": name, "error": {"code": error.code, "message": error.message} if error else None}
            for name, error in faults.items()
        ]
        typer.echo(json.dumps(verdicts, indent=2, ensure_ascii=False))
    if errors := [error for error in faults.values() if error]:
        raise typer.Exit(exit_code(errors))


def _print_verdict(name: str, error: NigaoeError | None) -> None:
    verdict = f"[red]✗[/] [bold]{escape(name)}[/]: {escape(error.message)}" if error else f"[green]✓[/] {escape(name)}"
    Console().print(verdict, highlight=False)


@app.command()
def attach(
    name: Annotated[str, typer.Argument(help="An imported generator.")],
    encoder: Annotated[Path, typer.Argument(help="Its encoder, made by `nigaoe train encoder`.", metavar="ENCODER")],
) -> None:
    """Put an encoder beside a generator: searches then start from its guess."""
    from nigaoe_model.checkpoints.registry import attach_encoder

    settings = load_settings()
    copy = attach_encoder(Registry.from_settings(settings), name, encoder, settings.registry_path)
    Console(stderr=True).print(f"[green]✓[/] {escape(str(copy))} belongs to [bold]{escape(name)}[/].", highlight=False)


@app.command()
def remove(
    name: _Name,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Forget an imported generator or style and delete its files."""
    settings = load_settings()
    registry = Registry.from_settings(settings)
    entry = registry.entry(name)
    _refuse_removal(registry, entry)
    if not yes:
        typer.confirm(f"Delete {entry.path}?", abort=True)
    # First the entry, then the files: a reader in between sees a registry that is whole.
    edit_manifest(settings.registry_path, lambda manifest: _without(manifest, name))
    _delete_files(entry)
    Console(stderr=True).print(f"[green]✓[/] [bold]{escape(name)}[/] is removed.", highlight=False)


@app.command()
def export(
    name: _Name,
    *,
    layout: Annotated[str, typer.Option(help="rosinality or nvidia-state.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; default NAME-LAYOUT.pt.")
    ] = None,
) -> None:
    """Write a generator, and its discriminator where there is one, as other programs read it."""
    from nigaoe_model.checkpoints.exporting import export_weights
    from nigaoe_model.stylegan2.checkpoint import load_checkpoint

    if layout not in FAMILIES:
        raise UsageError(f"There is no layout `{layout}`; there are: {', '.join(FAMILIES)}.")
    entry = Registry.from_settings(load_settings()).entry(name)
    path = output or Path(f"{name}-{layout}.pt")
    checkpoint = load_checkpoint(entry.path)
    beside = entry.discriminator if isinstance(entry, GeneratorEntry) else None
    export_weights(checkpoint, layout, path, load_checkpoint(beside) if beside else None)  # type: ignore[arg-type] # a checked text
    console = Console(stderr=True)
    console.print(f"[green]✓[/] [bold]{escape(str(path))}[/], licence: {escape(entry.licence)}", highlight=False)
    if layout == "rosinality" and checkpoint.card.architecture.conv_clamp is not None:
        console.print("[yellow]![/] rosinality's code does not clamp activations; very bright spots may differ.")


def _row(entry: WeightEntry) -> dict[str, Any]:
    facts = entry.facts
    return {
        "name": entry.name,
        "kind": "style" if isinstance(entry, Style) else "generator",
        "method": entry.method if isinstance(entry, Style) else None,
        "title": entry.title,
        "resolution": facts.resolution if facts else None,
        "domain": facts.domain if facts else None,
        "trainable_blocks": facts.trainable_blocks if facts else None,
        "images_seen": facts.images_seen if facts else None,
        "parent": entry.parent if isinstance(entry, Style) else None,
        "encoder": str(entry.encoder) if isinstance(entry, GeneratorEntry) and entry.encoder else None,
        "licence": entry.licence,
        "source": entry.source,
        "bundled": entry.bundled,
        "sha256": entry.sha256,
        "file": str(entry.path),
    }


def _refuse_removal(registry: Registry, entry: WeightEntry) -> None:
    if entry.bundled:
        raise UsageError(f"`{entry.name}` came with Nigaoe and cannot be removed.")
    children = [style.name for style in registry.styles() if style.parent == entry.name and style.name != entry.name]
    if children:
        raise UsageError(f"`{entry.name}` is the generator of {', '.join(children)}: remove these styles first.")


def _without(manifest: Manifest, name: str) -> Manifest:
    update = {
        "generators": {key: row for key, row in manifest.generators.items() if key != name},
        "styles": {key: row for key, row in manifest.styles.items() if key != name},
    }
    return manifest.model_copy(update=update)


def _delete_files(entry: WeightEntry) -> None:
    folder = entry.path.parent
    beside = (entry.discriminator, entry.encoder) if isinstance(entry, GeneratorEntry) else ()
    for path in (entry.path, *beside, folder / f"{entry.name}-samples.png"):
        if path is not None:
            path.unlink(missing_ok=True)
    shutil.rmtree(folder / "samples" / entry.name, ignore_errors=True)
