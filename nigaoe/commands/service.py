"""`nigaoe serve`, `nigaoe api` and `nigaoe worker`: the whole service on this machine, or one of its processes."""

import socket
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from nigaoe.extras import require
from nigaoe_core.errors import InvalidSettings
from nigaoe_core.settings import load_settings, unknown_variables

CELERY_ARGUMENTS: Final = (
    "--app=nigaoe_worker.app",
    "--quiet",  # No banner; our log says what is worth saying.
    "worker",
    "--pool=threads",
    # Gossip, mingling and events talk to other workers through Redis, one more thing to break when it comes back.
    "--without-gossip",
    "--without-mingle",
    "--without-heartbeat",
)

_Host = Annotated[str | None, typer.Option(help="Address to listen on. [NIGAOE_HOST, else 127.0.0.1]")]
_Port = Annotated[int | None, typer.Option(help="TCP port; 0 takes a free one. [NIGAOE_PORT, else 8000]")]


def serve(
    *,
    host: _Host = None,
    port: _Port = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder for jobs and pictures. [NIGAOE_DATA_DIR]")] = None,
) -> None:
    """Start the upload page, the REST API and a worker, with a store of their own; Ctrl-C ends them all."""
    require("serve")
    from nigaoe.api_server import listen
    from nigaoe.serve import ProcessTree
    from nigaoe_api.authentication import announcement
    from nigaoe_core.telemetry import configure_logging

    given = {"host": host, "port": port, "data_dir": data_dir}
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    configure_logging(settings, "serve")
    console = Console(stderr=True, highlight=False)
    if unknown := unknown_variables():
        console.print(f"[yellow]There are no such settings: {', '.join(unknown)}.[/]")
    if notice := announcement(settings):
        console.print(f"[yellow]{notice}[/]", soft_wrap=True)
    try:
        listening = listen(settings.host, settings.port)
    except OSError as error:
        raise InvalidSettings(
            f"{settings.host}:{settings.port} cannot be listened on ({error.strerror}): choose another with --port."
        ) from None
    with listening:
        tree = ProcessTree(settings, listening, console.print)
        shown = f"[{settings.host}]" if ":" in settings.host else settings.host
        # On standard output, so that a script that starts us can read where we are.
        Console(highlight=False).print(f"Nigaoe: http://{shown}:{listening.getsockname()[1]}/", soft_wrap=True)
        console.print(f"Data in {settings.data_dir}; Ctrl-C ends it.", soft_wrap=True)
        tree.run()


def api(
    *,
    host: _Host = None,
    port: _Port = None,
    fd: Annotated[int | None, typer.Option(help="Serve on this inherited listening socket instead.")] = None,
) -> None:
    """Serve the REST API and the page for the Redis in NIGAOE_REDIS_URL; workers run elsewhere."""
    require("api")
    from nigaoe.api_server import listen, serve_api

    given = {"host": host, "port": port}
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    try:
        bound = socket.socket(fileno=fd) if fd is not None else listen(settings.host, settings.port)
    except OSError as error:
        raise InvalidSettings(f"The address cannot be listened on ({error.strerror}): choose another.") from None
    with bound:
        serve_api(settings, bound)


def worker() -> None:
    """Run a worker for the Redis in NIGAOE_REDIS_URL, until SIGTERM.

    It is `celery -A nigaoe_worker.app worker -P threads`.
    """
    require("worker")
    from celery.bin.celery import celery

    from nigaoe_worker.app import celery_settings

    celery_settings(load_settings())  # Raises what is wrong with the settings before Celery wraps it in a traceback.
    celery.main(args=list(CELERY_ARGUMENTS), prog_name="celery")  # Ends the process with the worker's exit status.
