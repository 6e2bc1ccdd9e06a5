"""The supervisor of the embedded process tree, with children that are small programs."""

import http.client
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nigaoe.child_process import ChildProcess
from nigaoe.serve import ProcessTree, SignalInbox
from nigaoe_core.errors import InvalidSettings
from nigaoe_core.settings import Settings

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]


def until(holds: Callable[[], object]) -> None:
    give_up = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.02)


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[ProcessTree]:
    """A tree over somebody's Redis, whose worker and API only sleep."""
    settings = Settings(data_dir=tmp_path, redis_url="redis://127.0.0.1:1", _env_file=None)  # type: ignore[call-arg, arg-type]  # pydantic's own.
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        made = ProcessTree(settings, listening, lambda _words: None)
        made._worker, made._api = (ChildProcess(name, SLEEP, os.environ) for name in ("worker", "api"))
        made._start()
        yield made
        for child in (made._worker, made._api):
            child.kill()


def dies(child: ChildProcess) -> None:
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    until(child.has_ended)


def raises(*_: Any) -> Any:
    raise http.client.BadStatusLine("gibberish")


def test_an_answer_that_is_none_ends_nobody(tree: ProcessTree, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever listens there speaks no HTTP: children are looked after all the same."""
    monkeypatch.setattr("nigaoe.serve.is_ready", raises)
    dies(tree._worker)
    until(lambda: tree._supervise() or tree._worker.pid)
    assert tree._errors.counts["readiness"] >= 1


def test_a_child_that_cannot_be_started_for_now_is_one_child(
    tree: ProcessTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine has no process to spare: the other one runs, and this one is tried again at every look."""
    start = tree._worker.start
    faults = [OSError("no process to spare"), OSError("still none")]

    def start_or_fail() -> None:
        if faults:
            raise faults.pop()
        start()

    monkeypatch.setattr(tree._worker, "start", start_or_fail)
    for child in (tree._worker, tree._api):
        dies(child)
    until(lambda: tree._supervise() or (tree._worker.pid and tree._api.pid))
    assert tree._errors.counts["worker"] == 2


def test_wrong_settings_end_the_tree(tree: ProcessTree) -> None:
    """That is expected: another start would not help."""
    tree._api.kill()
    tree._api = ChildProcess("api", [sys.executable, "-S", "-c", "raise SystemExit(78)"], os.environ, fatal={78})
    tree._api.start()
    until(tree._api.has_ended)
    with pytest.raises(InvalidSettings, match="api cannot run"):
        tree._supervise()


def test_a_signal_ends_the_wait() -> None:
    """The supervisor sleeps for an hour, and a child dies."""
    with SignalInbox() as inbox:
        threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGCHLD]).start()
        assert signal.SIGCHLD in inbox.wait(3600)


def test_signals_that_came_together_are_all_returned() -> None:
    """None is swallowed by another."""
    with SignalInbox() as inbox:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        assert {signal.SIGHUP, signal.SIGTERM} <= inbox.wait(60)
        assert inbox.wait(0.0) - {signal.SIGCHLD} == set()


def test_everything_is_as_before_afterwards() -> None:
    """Handlers and the wake-up file are restored."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)}
    with SignalInbox():
        assert signal.getsignal(signal.SIGTERM) is not before[signal.SIGTERM]
    assert {number: signal.getsignal(number) for number in before} == before
