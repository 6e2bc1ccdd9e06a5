"""The worker's own small page for orchestrators and Prometheus: ``/livez``, ``/readyz``, ``/metrics``."""

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from typing_extensions import override

from nigaoe_core.guarded_loop import GuardedThread, UnexpectedErrors

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
PLAIN: Final = "text/plain; charset=utf-8"
WHERE: Final = "health_page"


class HealthPage:
    """Serves the page from a thread.

    Args:
        port: TCP port on all addresses (a container's probes come from outside).
        is_alive: Whether the process works at all.
        is_ready: Whether it takes jobs.
        metrics: Prometheus's text.
        errors: Where unexpected errors are recorded; None: nobody asks for them.
    """

    def __init__(
        self,
        port: int,
        is_alive: Callable[[], bool],
        is_ready: Callable[[], bool],
        metrics: Callable[[], bytes],
        errors: UnexpectedErrors | None = None,
    ) -> None:
        page = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.wfile.write(self.begin())

            def do_HEAD(self) -> None:
                self.begin()

            def begin(self) -> bytes:
                status, kind, body = page.answer(self.path.partition("?")[0])
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                return body

            @override
            def log_message(self, format: str, *args: object) -> None:
                """Say nothing: probes come every few seconds."""

        self._is_alive = is_alive
        self._is_ready = is_ready
        self._metrics = metrics
        self._server = ThreadingHTTPServer(("", port), Handler)
        self._server.daemon_threads = True
        self._errors = errors or UnexpectedErrors()
        self._thread = GuardedThread(WHERE, self._server.serve_forever, self._errors)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Return status, media type and body for a path; what nobody expected is a 500 that says so."""
        try:
            return self._answer(path)
        except Exception as error:  # noqa: BLE001 - recorded whole; the other pages are there all the same.
            self._errors.record(WHERE, error)
            return 500, PLAIN, b"an unexpected fault, see the log\n"

    def _answer(self, path: str) -> tuple[int, str, bytes]:
        if path == "/metrics":
            return 200, METRICS_TYPE, self._metrics()
        if path in ("/livez", "/readyz"):
            is_well = self._is_alive() if path == "/livez" else self._is_ready()
            return (200, PLAIN, b"ok\n") if is_well else (503, PLAIN, b"not now\n")
        return 404, PLAIN, b"/livez /readyz /metrics\n"
