"""The `nigaoe` command: a table of sub-commands and one place where errors become messages."""

import importlib.metadata
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from core.errors import NigaoeError
from nigaoe.commands.api import api
from nigaoe.commands.convert import convert
from nigaoe.commands.data import app as data
from nigaoe.commands.demo import demo
from nigaoe.commands.doctor import doctor
from nigaoe.commands.keys import app as keys
from nigaoe.commands.metrics import metrics
from nigaoe.commands.sample import sample
from nigaoe.commands.serve import serve
from nigaoe.commands.styles import styles
from nigaoe.commands.train import app as train
from nigaoe.commands.train import finetune
from nigaoe.commands.weights import app as weights
from nigaoe.commands.worker import worker
from nigaoe.exit_codes import exit_code
from nigaoe.extras import brings, missing_extra

app = typer.Typer(
    name="nigaoe",
    help="Photos of people in, anime portraits of the same people out.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)


def _show_version(asked: bool) -> None:  # noqa: FBT001 - Typer hands over the option's value
    if asked:
        typer.echo(f"nigaoe {importlib.metadata.version('nigaoe')}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and stop.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Photos of people in, anime portraits of the same people out."""


app.command()(convert)
app.command()(demo)
app.command()(sample)
app.command()(finetune)
app.command()(metrics)
app.command()(doctor)
app.command()(styles)
app.command()(serve)
app.command()(api)
app.command()(worker)
app.add_typer(train)
app.add_typer(weights)
app.add_typer(data)
app.add_typer(keys)


def main() -> None:
    """Run the command line; an error of the tree ends in one red sentence and its exit code, never in a traceback.

    So does a package that belongs to an extra which is not installed.
    """
    try:
        app()
    except NigaoeError as error:
        _fail(error)
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if not brings(module):
            raise
        _fail(missing_extra(module, *sys.argv[1:]))


def _fail(error: NigaoeError) -> None:
    Console(stderr=True).print(f"[bold red]{error.title}[/] ({error.code}): {escape(error.message)}")
    sys.exit(exit_code([error]))
