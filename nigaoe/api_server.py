"""API server process: uvicorn around `nigaoe_api.app`."""

import socket
from typing import Final

import uvicorn

from nigaoe_api.app import create_app
from nigaoe_core.services import open_services
from nigaoe_core.settings import Settings
from nigaoe_core.telemetry import configure_logging, configure_tracing

GOODBYE_SECONDS: Final = 10
"""Requests under way may finish within this; event streams are cut then, and clients resume elsewhere."""
KEEP_ALIVE_SECONDS: Final = 65
"""Longer than the idle time of common load balancers (60 s), so that they never reuse a connection we just closed."""


def listen(host: str, port: int) -> socket.socket:
    """Bind an address; port 0 takes a free one.

    Raises:
        OSError: The address is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(2048)
    except OSError:
        bound.close()
        raise
    return bound


def serve_api(settings: Settings, bound: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        NigaoeError: A setting or a manifest cannot be used.
    """
    configure_logging(settings, "api")
    configure_tracing(settings, "api")
    with open_services(settings) as services:
        config = uvicorn.Config(
            create_app(settings, services),
            log_config=None,
            access_log=False,  # Requests are counted in /metrics; a line each would hold addresses of people.
            server_header=False,
            forwarded_allow_ips=settings.trusted_proxies,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GOODBYE_SECONDS,
        )
        uvicorn.Server(config).run(sockets=[bound])
