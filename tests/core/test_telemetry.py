import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from nigaoe_core.settings import Telemetry
from nigaoe_core.telemetry import configure_logging, configure_tracing, job_context, span


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_every_line_carries_the_job_it_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    """A line of our own and a line of a library look alike and name the job and the component."""
    configure_logging(Telemetry(log_format="json"), "worker")
    with structlog.contextvars.bound_contextvars(job_id="7"):
        structlog.get_logger("nigaoe_worker.tasks").info("claimed", attempt=2)
        logging.getLogger("celery").warning("lost %s", "it")
    ours, theirs = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (ours["event"], ours["attempt"], ours["job_id"], ours["component"]) == ("claimed", 2, "7", "worker")
    assert (theirs["event"], theirs["job_id"], theirs["level"]) == ("lost it", "7", "warning")


def test_nothing_of_a_person_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    """A careless line loses what it should not say, and bytes become a number."""
    configure_logging(Telemetry(log_format="json"), "api")
    with job_context("7", attempt=1):
        structlog.get_logger("api").info("received", filename="me.jpg", Photo="...", size=3, content=b"abc")
    line = json.loads(capsys.readouterr().err)
    assert (line["filename"], line["Photo"], line["content"]) == ("[not logged]", "[not logged]", "[3 bytes]")
    assert (line["size"], line["job_id"], line["attempt"]) == (3, "7", 1)


def test_the_level_is_a_floor(capsys: pytest.CaptureFixture[str]) -> None:
    """What is below the chosen level is not written."""
    configure_logging(Telemetry(log_level="warning", log_format="json"), "api")
    structlog.get_logger("api").info("quiet")
    structlog.get_logger("api").warning("loud")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["loud"]


def test_an_exception_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    """A traceback does not tear a line apart, so that collectors keep it whole."""
    configure_logging(Telemetry(log_format="json"), "worker")
    try:
        raise RuntimeError("no")  # noqa: TRY301 - a traceback is what this test is about.
    except RuntimeError:
        structlog.get_logger("worker").exception("broke")
    (line,) = capsys.readouterr().err.splitlines()
    assert "RuntimeError: no" in json.loads(line)["exception"]


def test_spans_cost_nothing_without_a_collector() -> None:
    """Without an address nothing is exported, and a span is a plain block."""
    configure_tracing(Telemetry(), "worker")
    with span("decode", job_id="7"):
        pass
