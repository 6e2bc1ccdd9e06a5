"""Threads and tasks that live as long as their process: an unexpected exception in one harms no other.

Whatever a loop raises is logged whole and counted, and the loop begins again after a pause that grows while it goes on
failing. A loop that the process cannot do without gives up after a few failures in a row, and tells its owner, who can
end the process. Threads pass through `GuardedThread`, tasks of an event loop through `guarded_task`, single pieces of
work (one job of many, one delivery) through `UnexpectedErrors.contained`; `tests/project/test_guarded_loops.py` finds
whatever is started in another way.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import structlog

from nigaoe_core.jobs import Seconds

FIRST_PAUSE: Final[Seconds] = 0.2
LONGEST_PAUSE: Final[Seconds] = 30.0
STEADY_SECONDS: Final[Seconds] = 60.0
"""A loop that ran for this long before it failed has nothing to do with its last failure."""
GIVE_UP_AFTER: Final = 5
"""Failures in a row, within three seconds when each is immediate, after which an indispensable loop gives up."""

_log = structlog.get_logger(__name__)


class UnexpectedErrors:
    """Logs and counts what nobody expected, by where it happened. Safe to share between threads.

    One for each process: `nigaoe_core.services.Services.errors`. Prometheus reads it through
    `nigaoe_core.collectors`.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def counts(self) -> Mapping[str, int]:
        """How often something unexpected happened in each place, also where it never did."""
        with self._lock:
            return dict(self._counts)

    def declare(self, where: str) -> None:
        """Make a place known before anything happens in it, so that its count begins at 0."""
        with self._lock:
            self._counts.setdefault(where, 0)

    def record(self, where: str, error: BaseException) -> None:
        """Log an error with its traceback, and count it."""
        with self._lock:
            self._counts[where] += 1
        _log.error("unexpected_error", where=where, exc_info=error)

    @contextmanager
    def contained(self, where: str) -> Iterator[None]:
        """Keep to this block what it raises: recorded, and not raised any further."""
        self.declare(where)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - that is the rule: logged whole, counted, and nobody else's.
            self.record(where, error)


class GuardedThread:
    """A daemon thread whose loop begins again whatever it raises.

    Args:
        where: Name of the thread, and the label under which its errors are counted.
        loop: Returns when it is over. It may be called again after it has raised.
        errors: Where errors are recorded.
        give_up_after: Failures in a row after which the thread ends; None: never.
        fatal: What the loop raises when another try is of no use.
        on_given_up: Called at the thread's end with what it gave up for.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        where: str,
        loop: Callable[[], object],
        errors: UnexpectedErrors,
        *,
        give_up_after: int | None = None,
        fatal: tuple[type[Exception], ...] = (),
        on_given_up: Callable[[BaseException], object] = lambda _error: None,
        clock: Callable[[], Seconds] = time.monotonic,
    ) -> None:
        self.where = where
        self._loop = loop
        self._errors = errors
        self._give_up_after = give_up_after
        self._fatal = fatal
        self._on_given_up = on_given_up
        self._clock = clock
        self._closing = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=where, daemon=True)
        errors.declare(where)

    @property
    def failure(self) -> BaseException | None:
        """What the thread gave up for; None: it has not."""
        return self._failure

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs, a pause after a failure included."""
        return self._thread.is_alive()

    @property
    def ident(self) -> int | None:
        """The thread's identifier; None before it was started."""
        return self._thread.ident

    def start(self) -> None:
        """Begin the loop."""
        self._thread.start()

    def join(self, seconds: Seconds | None = None) -> None:
        """Wait for the end of the loop, which was told to end; if it fails instead, it does not begin again."""
        self._closing.set()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(seconds)

    def _run(self) -> None:
        failures = 0
        while True:
            start = self._clock()
            try:
                self._loop()
            except Exception as error:  # noqa: BLE001 - see the module: recorded, and the loop begins again.
                failures = 1 if self._clock() - start >= STEADY_SECONDS else failures + 1
                self._errors.record(self.where, error)
                if isinstance(error, self._fatal) or failures == self._give_up_after:
                    return self._give_up(error)
            except BaseException as error:  # noqa: BLE001 - SystemExit would end the thread without a word.
                self._errors.record(self.where, error)
                return self._give_up(error)
            else:
                return None
            if self._closing.wait(pause_after(failures)):
                return None

    def _give_up(self, error: BaseException) -> None:
        self._failure = error
        with self._errors.contained(self.where):
            self._on_given_up(error)


def guarded_task(where: str, loop: Callable[[], Awaitable[object]], errors: UnexpectedErrors) -> "asyncio.Task[None]":
    """Start a loop as a task that begins it again whatever it raises, until it returns or is cancelled.

    Args:
        where: Name of the task, and the label under which its errors are counted.
        loop: May be called again after it has raised.
        errors: Where errors are recorded.
    """
    errors.declare(where)
    return asyncio.create_task(_guarded(where, loop, errors), name=where)


def contained_task(
    where: str, work: Coroutine[Any, Any, object], errors: UnexpectedErrors, *, name: str
) -> "asyncio.Task[None]":
    """Start work that is done once as a task that raises nothing but its cancellation.

    Args:
        where: The label under which its errors are counted.
        work: What to do.
        errors: Where errors are recorded.
        name: Of the task.
    """

    async def contained() -> None:
        with errors.contained(where):
            await work

    return asyncio.create_task(contained(), name=name)


def pause_after(failures: int) -> Seconds:
    """Return how long a loop rests after so many failures in a row, from 1."""
    pause: Seconds = FIRST_PAUSE * 2 ** min(failures - 1, 16)
    return min(LONGEST_PAUSE, pause)


async def _guarded(where: str, loop: Callable[[], Awaitable[object]], errors: UnexpectedErrors) -> None:
    clock, failures = asyncio.get_running_loop().time, 0
    while True:
        start = clock()
        try:
            await loop()
        except Exception as error:  # noqa: BLE001 - see the module: recorded, and the loop begins again.
            failures = 1 if clock() - start >= STEADY_SECONDS else failures + 1
            errors.record(where, error)
        else:
            return
        await asyncio.sleep(pause_after(failures))
