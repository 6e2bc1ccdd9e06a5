import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from nigaoe_core.guarded_loop import UnexpectedErrors
from nigaoe_worker.health_page import HealthPage


class State:
    alive = True
    ready = False


@pytest.fixture
def page() -> Iterator[HealthPage]:
    """A page on a free port."""
    made = HealthPage(0, lambda: State.alive, lambda: State.ready, lambda: b"nigaoe_step_seconds 1\n")
    made.start()
    yield made
    made.close()


def status(page: HealthPage, path: str, method: str = "GET") -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{page.port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert bool(answer.read()) is (method == "GET")
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_probes_tell_alive_from_ready(page: HealthPage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that warms up is alive and not ready; one whose device is gone is neither."""
    assert (status(page, "/livez"), status(page, "/readyz"), status(page, "/else")) == (200, 503, 404)
    monkeypatch.setattr(State, "ready", True)
    assert status(page, "/readyz?verbose") == status(page, "/readyz", "HEAD") == 200
    monkeypatch.setattr(State, "alive", False)
    assert status(page, "/livez") == status(page, "/livez", "HEAD") == 503


def test_prometheus_gets_its_text(page: HealthPage) -> None:
    """The page is what the metrics say."""
    with urllib.request.urlopen(f"http://127.0.0.1:{page.port}/metrics", timeout=60) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert answer.read() == b"nigaoe_step_seconds 1\n"


def test_a_figure_that_cannot_be_had_costs_no_other_page() -> None:
    """Asking a dead device for its memory raises: that page says so, the probes answer, and it is counted."""
    errors = UnexpectedErrors()
    page = HealthPage(0, lambda: True, lambda: True, lambda: bytes(1 // 0), errors)
    page.start()
    assert (status(page, "/metrics"), status(page, "/readyz")) == (500, 200)
    assert errors.counts == {"health_page": 1}
    page.close()
