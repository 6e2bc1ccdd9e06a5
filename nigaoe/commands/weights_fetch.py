"""`nigaoe weights fetch`: the only command that opens a connection by itself, after the licence has been accepted."""

import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from nigaoe.commands.weights_import import bring_in, check_name
from nigaoe_core.errors import UsageError
from nigaoe_core.manifest import DownloadRow
from nigaoe_core.registry import Registry
from nigaoe_core.settings import load_settings


def fetch(
    what: Annotated[str, typer.Argument(help="A name from `nigaoe weights list`, or an https address.")],
    *,
    name: Annotated[str | None, typer.Option(help="What it shall be called; default its own name.")] = None,
    sha256: Annotated[str | None, typer.Option(help="Digest of the file; needed with an address.")] = None,
    licence: Annotated[str, typer.Option(help="Licence of the weights; needed with an address.")] = "",
    parent: Annotated[str | None, typer.Option(help="Generator that it was fine-tuned from.")] = None,
    accept_licence: Annotated[bool, typer.Option("--accept-licence", help="Do not ask for the licence.")] = False,
    only_download: Annotated[bool, typer.Option("--only-download", help="Do not import the file.")] = False,
    ca_bundle: Annotated[Path | None, typer.Option(help="Certificates to trust instead of the usual ones.")] = None,
) -> None:
    """Download weights over https, check their sha256, and import them. An interrupted download goes on."""
    from nigaoe.download import fetch_file
    from nigaoe_model.checkpoints.conversion import Description
    from nigaoe_model.checkpoints.importing import ImportRequest

    settings = load_settings()
    row = _row(what, sha256, licence, Registry.from_settings(settings))
    name = name or (what if "://" not in what else Path(urlsplit(what).path).stem.lower())
    check_name(name)
    _accept(row, accepted=accept_licence)
    target = settings.registry_path / "downloads" / f"{row.sha256[:16]}-{_file_name(row.url)}"
    with _bar() as bar:
        task = bar.add_task("", total=row.size)
        fetch_file(
            row.url,
            target,
            row.sha256,
            lambda done, total: bar.update(task, completed=done, total=total or row.size),
            ca_bundle=ca_bundle,
        )
    Console(stderr=True).print(f"[green]✓[/] {escape(str(target))}", highlight=False)
    if only_download:
        return
    described = Description(name, None if parent else row.domain, None, row.licence, row.source or row.url)
    bring_in(ImportRequest(target, described, parent=parent, title=row.title, text=row.description))


def _row(what: str, sha256: str | None, licence: str, registry: Registry) -> DownloadRow:
    """Find what shall be fetched in the manifests, or make it of the options."""
    if "://" not in what:
        known = registry.downloads()
        if what not in known:
            names = ", ".join(sorted(known)) or "none"
            raise UsageError(f"There is nothing to fetch by the name `{what}`; there are: {names}. Or give an address.")
        return known[what]
    if sha256 is None or not licence:
        raise UsageError("An address needs --sha256 (what the file must be) and --licence (what you accept).")
    try:
        return DownloadRow(url=what, sha256=sha256.lower(), licence=licence)
    except ValidationError:
        raise UsageError("The address must begin with https:// and the sha256 have 64 hexadecimal digits.") from None


def _accept(row: DownloadRow, *, accepted: bool) -> None:
    console = Console(stderr=True)
    console.print(f"{escape(row.url)}\n[bold]licence:[/] {escape(row.licence or 'unknown')}", highlight=False)
    if accepted:
        return
    if not sys.stdin.isatty():
        raise UsageError("Read the licence and say --accept-licence: there is nobody here to ask.")
    typer.confirm("Do you accept this licence?", abort=True)


def _bar() -> Progress:
    return Progress(
        BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(), console=Console(stderr=True)
    )


def _file_name(url: str) -> str:
    kept = [c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in Path(urlsplit(url).path).name]
    return "".join(kept)[-80:] or "weights"
