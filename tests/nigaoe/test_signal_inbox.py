import os
import signal
import threading

from nigaoe.signal_inbox import SignalInbox


def test_a_signal_ends_the_wait() -> None:
    """The supervisor sleeps for an hour, and a child dies."""
    with SignalInbox() as inbox:
        threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGCHLD]).start()
        assert signal.SIGCHLD in inbox.wait(3600)


def test_signals_that_came_together_are_all_told() -> None:
    """None is swallowed by another."""
    with SignalInbox() as inbox:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        assert {signal.SIGHUP, signal.SIGTERM} <= inbox.wait(60)
        assert inbox.wait(0.0) - {signal.SIGCHLD} == set()


def test_everything_is_as_before_afterwards() -> None:
    """Handlers and the wake-up file belong to whoever had them."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)}
    with SignalInbox():
        assert signal.getsignal(signal.SIGTERM) is not before[signal.SIGTERM]
    assert {number: signal.getsignal(number) for number in before} == before
