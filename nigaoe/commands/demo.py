"""`nigaoe demo`: the whole service for the length of one conversion, used as an app's backend would use it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from nigaoe.extras import require

if TYPE_CHECKING:
    from nigaoe.demo import DemoReport


def demo(
    photo: Annotated[Path, typer.Argument(help="A photo with a face.", metavar="PHOTO")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path("out/demo"),
    style: Annotated[
        str | None, typer.Option(help="Style to draw in; by default the first of `nigaoe styles`.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds until the service must have answered.")] = 300,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Start the embedded service, convert a photo through its REST API, fetch the pictures, stop."""
    require("demo")
    from nigaoe.demo import run_demo

    console = Console(highlight=False, stderr=as_json)
    report = run_demo(photo, output, style, timeout, console.print)
    if as_json:
        typer.echo(json.dumps(asdict(report), default=str, indent=2))
    else:
        _tell(console, report)


def _tell(console: Console, report: "DemoReport") -> None:
    console.print(
        f"[green]✓[/] Found a likeness in {report.steps} steps: distance {report.distance_start:.3f} -> "
        f"{report.distance_end:.3f}, {report.seconds:.1f} s from upload to result."
    )
    for file in report.files:
        console.print(f"  [bold]{file}[/]", soft_wrap=True)
    console.print("Next: `make serve`, then open http://127.0.0.1:8000")
