"""The `nigaoe` command: a table of sub-commands and one place where errors become messages."""

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from nigaoe.command_groups import LazyCommand, LazyGroup
from nigaoe.exit_codes import exit_code
from nigaoe.extras import brings, missing_extra
from nigaoe_core.errors import NigaoeError

_COMMANDS = "nigaoe.commands"


class _Commands(LazyGroup):
    lazy = (
        LazyCommand(
            "convert",
            f"{_COMMANDS}.convert:convert",
            "Turn photos of people into anime portraits of the same people.",
        ),
        LazyCommand(
            "compare",
            f"{_COMMANDS}.compare:compare",
            "Set photos beside what every method draws of them: the thesis's figure, for the largest face of each "
            "photo.",
        ),
        LazyCommand(
            "video",
            f"{_COMMANDS}.video:video",
            "Draw one person through a video.",
        ),
        LazyCommand(
            "demo",
            f"{_COMMANDS}.demo:demo",
            "Start the embedded service, convert a photo through its REST API, fetch the pictures, stop.",
        ),
        LazyCommand(
            "sample",
            f"{_COMMANDS}.sample:sample",
            "Draw people and, from the same latents, the same people in a style, or in all of them: rows in turns.",
        ),
        LazyCommand(
            "finetune",
            f"{_COMMANDS}.train:finetune",
            "Fine-tune the last blocks of `g_ori` on drawings (`g_fin`); everything else stays as it is, bit by bit.",
        ),
        LazyCommand(
            "metrics",
            f"{_COMMANDS}.metrics:metrics",
            "Distances to a data set (FD-effnet, KD-effnet), precision, recall, path length; with --parent also the "
            "pair's.",
        ),
        LazyCommand(
            "doctor",
            f"{_COMMANDS}.doctor:doctor",
            "Look at this installation and say what would be missing or slow. Exit code 1 when something is wrong.",
        ),
        LazyCommand(
            "styles",
            f"{_COMMANDS}.styles:styles",
            "Show the installed styles, the best of those that came with Nigaoe first: generator, freeze depth, "
            "licence.",
        ),
        LazyCommand(
            "serve",
            f"{_COMMANDS}.service:serve",
            "Start the upload page, the REST API and a worker, with a store of their own; Ctrl-C ends them all.",
        ),
        LazyCommand(
            "api",
            f"{_COMMANDS}.service:api",
            "Serve the REST API and the page for the Redis in NIGAOE_REDIS_URL; workers run elsewhere.",
        ),
        LazyCommand(
            "worker",
            f"{_COMMANDS}.service:worker",
            "Run a worker for the Redis in NIGAOE_REDIS_URL, until SIGTERM. "
            "It is `celery -A nigaoe_worker.app worker -P threads`.",
        ),
        LazyCommand(
            "train",
            f"{_COMMANDS}.train:app",
            "Train a generator (`nigaoe train DATASET`), its encoder (`nigaoe train encoder G_ORI`), or a whole pair "
            "(`nigaoe train pair CONFIG`).",
        ),
        LazyCommand("weights", f"{_COMMANDS}.weights:app", "Inspect, import and export weights."),
        LazyCommand("data", f"{_COMMANDS}.data:app", "Data sets to train on."),
        LazyCommand("keys", f"{_COMMANDS}.keys:app", "API keys: give out, list, revoke."),
    )


app = typer.Typer(
    name="nigaoe",
    cls=_Commands,
    help="Photos of people in, anime portraits of the same people out.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)


def _show_version(asked: bool) -> None:  # noqa: FBT001 - Typer hands over the option's value
    if asked:
        import importlib.metadata

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
