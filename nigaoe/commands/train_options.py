"""What the commands around training share: options, their overrides, bars of progress."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from nigaoe_core.errors import UsageError

Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Change one setting: `optimiser.beta2=0.9`. Repeatable.")
]
ResumeFrom = Annotated[Path | None, typer.Option(help="Go on with the run in this folder.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the resolved config and stop.")]
TensorBoard = Annotated[bool, typer.Option("--tensorboard", help="Also write TensorBoard events.")]


def parse_overrides(pairs: list[str]) -> dict[str, Any]:
    """Turn ``name=value`` into a dictionary; values are JSON where they can be, else text.

    Raises:
        UsageError: There is no ``=``.
    """
    changes: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator:
            raise UsageError(f"`--set {pair}` has no `=`; write `--set name=value`.")
        try:
            changes[name] = json.loads(text)
        except json.JSONDecodeError:
            changes[name] = text
    return changes


def picture_progress() -> ProgressBar:
    """Return the bar of a command that goes through many pictures."""
    return ProgressBar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
