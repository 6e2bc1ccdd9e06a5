"""`nigaoe api`: the REST API and the page, without a worker."""

import socket
from typing import Annotated

import typer

from nigaoe.extras import require
from nigaoe_core.errors import InvalidSettings


def api(
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [NIGAOE_HOST, else 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port; 0 takes a free one. [NIGAOE_PORT, else 8000]")] = None,
    fd: Annotated[int | None, typer.Option(help="Serve on this inherited listening socket instead.")] = None,
) -> None:
    """Serve the REST API and the page for the Redis in NIGAOE_REDIS_URL; workers run elsewhere."""
    require("api")
    from nigaoe.api_server import listen, serve_api
    from nigaoe_core.settings import load_settings

    given = {"host": host, "port": port}
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    try:
        bound = socket.socket(fileno=fd) if fd is not None else listen(settings.host, settings.port)
    except OSError as error:
        raise InvalidSettings(f"The address cannot be listened on ({error.strerror}): choose another.") from None
    with bound:
        serve_api(settings, bound)
