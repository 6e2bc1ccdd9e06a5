"""The `nigaoe` command: a table of sub-commands and one place where errors become messages."""

import sys

import typer
from rich.console import Console

from core.errors import NigaoeError

app = typer.Typer(
    name="nigaoe",
    help="Photos of people in, anime portraits of the same people out.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)


def main() -> None:
    """Run the command line; an error of the tree ends in one red sentence and exit code 2, never in a traceback."""
    try:
        app()
    except NigaoeError as error:
        Console(stderr=True).print(f"[bold red]{error.title}[/] ({error.code}): {error.message}", highlight=False)
        sys.exit(2)
