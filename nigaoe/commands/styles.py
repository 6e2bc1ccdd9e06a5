"""`nigaoe styles`: in which styles a photo can be drawn."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nigaoe_core.registry import Registry, Style
from nigaoe_core.settings import load_settings


def styles(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show the installed styles, the best of those that came with Nigaoe first: generator, freeze depth, licence."""
    registry = Registry.from_settings(load_settings())
    if as_json:
        typer.echo(json.dumps([_document(style) for style in registry.styles()], indent=2, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("style", "title", "method", "generator", "pixels", "trained blocks", "images seen", "licence"):
        table.add_column(column, overflow="fold")
    for style in registry.styles():
        table.add_row(*_cells(style))
    console = Console()
    console.print(table)
    if not registry.styles():
        console.print("No style is installed; see `nigaoe weights import`.")


def _cells(style: Style) -> tuple[str, ...]:
    facts = style.facts
    names = (f"[bold]{escape(style.name)}[/]", escape(style.title), style.method, escape(style.parent or ""))
    if facts is None:
        return (*names, "[red]missing or damaged[/]", "", "", escape(style.licence))
    whole = "" if style.is_feed_forward else "all"
    depth = whole if facts.trainable_blocks is None else str(facts.trainable_blocks)
    return (*names, str(facts.resolution), depth, f"{facts.images_seen:,}", escape(style.licence))


def _document(style: Style) -> dict[str, object]:
    facts = style.facts
    return {
        "name": style.name,
        "title": style.title,
        "description": style.description,
        "method": style.method,
        "options": list(style.options),
        "parent": style.parent,
        "resolution": facts.resolution if facts else None,
        "trainable_blocks": facts.trainable_blocks if facts else None,
        "images_seen": facts.images_seen if facts else None,
        "upscaler": style.upscaler,
        "truncation": style.truncation,
        "licence": style.licence,
        "source": style.source,
        "bundled": style.bundled,
    }
