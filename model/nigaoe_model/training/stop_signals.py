"""SIGTERM and SIGINT as a polite request: the present step is finished and everything saved."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_signals(ask: Callable[[], None]) -> Iterator[None]:
    """Turn SIGTERM and SIGINT into a request to stop after the present step."""

    def handler(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a signal handler
        ask()

    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
