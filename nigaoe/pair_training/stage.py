"""One stage: its runs side by side, each a process, each asked to end when its seconds are over.

A run that fails does not end the others: they train on to the end of the stage, then the pair ends with an error
that names the run. Should this process vanish, the kernel asks the runs to end; they save what they have.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nigaoe.pair_training.journal import RunRecord
from nigaoe.parent_watchdog import with_watchdog
from nigaoe_core.bundled import import_path
from nigaoe_model.training.schedule import stop_signals

POLL_SECONDS: Final = 0.2
GRACE_SECONDS: Final = 120.0
"""A run that was asked to end examines, saves and exports; longer than this it does not take."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_ERROR = re.compile(r"(.+ \([a-z_]+\)|[A-Z]\w*(\.\w+)*(Error|Exception|Exit|Interrupt)): ")


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that ended badly.

    Attributes:
        run: Its name.
        reason: The last that it said, in a sentence.
        output: Everything that it said.
    """

    run: str
    reason: str
    output: Path


@dataclass(slots=True)
class _Process:
    """A run that lives.

    Attributes:
        popen: The process.
        record: Where its seconds are counted.
        seen_at: Monotonic time until which they are counted.
        asked_at: When it was asked to end.
    """

    popen: "subprocess.Popen[bytes]"
    record: RunRecord
    seen_at: float = field(default_factory=time.monotonic)
    asked_at: float | None = None

    def count(self) -> None:
        """Count the seconds since the last time."""
        now = time.monotonic()
        self.record.seconds += now - self.seen_at
        self.seen_at = now

    def ask_to_end(self) -> None:
        """Ask once; after the grace it is ended by force."""
        if self.asked_at is None:
            self.asked_at = time.monotonic()
            self.popen.send_signal(signal.SIGTERM)
        elif time.monotonic() - self.asked_at > GRACE_SECONDS:
            self.popen.kill()


class StageProcesses:
    """The processes of one stage.

    Args:
        commands: Run to command; only of those that are not done.
        records: Run to record; seconds are counted there.
        outputs: Run to file that gets what it prints.
        allowance: Seconds that each run may take in all.
        lock: Descriptor of the folder's lock, which every process keeps open.
        until: Monotonic time at which to stop as if by a signal; None: never.
    """

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        records: Mapping[str, RunRecord],
        outputs: Mapping[str, Path],
        *,
        allowance: float,
        lock: int,
        until: float | None = None,
    ) -> None:
        self._commands, self._records, self._outputs = commands, records, outputs
        self._allowance, self._lock, self._until = allowance, lock, until
        self._living: dict[str, _Process] = {}
        self.failures: list[Failure] = []
        self.was_asked_to_stop = False

    def run(self, watch: Callable[[], None]) -> None:
        """Let all of them run to their ends, or to the stage's.

        Args:
            watch: Called several times a second.
        """
        with stop_signals(self._ask_to_stop), self._ended_whatever_happens():
            for name in self._commands:
                self._start(name)
            while self._living:
                if self._until is not None and time.monotonic() >= self._until:
                    self._ask_to_stop()
                for name, process in list(self._living.items()):
                    self._check(name, process)
                watch()
                time.sleep(POLL_SECONDS)

    def _start(self, name: str) -> None:
        output = self._outputs[name]
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("ab") as file:
            popen = subprocess.Popen(
                with_watchdog(self._commands[name], end=signal.SIGTERM),
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                pass_fds=(self._lock,),
                start_new_session=True,  # Ctrl-C is for this process, which asks its runs to end.
            )
        self._living[name] = _Process(popen, self._records[name])

    def _check(self, name: str, process: _Process) -> None:
        status = process.popen.poll()
        process.count()
        if status is not None:
            del self._living[name]
            self._conclude(name, process, status)
        elif self.was_asked_to_stop or process.record.seconds >= self._allowance:
            process.ask_to_end()

    def _conclude(self, name: str, process: _Process, status: int) -> None:
        if status == 0:
            # A run that was stopped early, because the pair was, goes on when the pair does.
            process.record.done = not self.was_asked_to_stop or process.record.seconds >= self._allowance
        elif status == -signal.SIGTERM and process.asked_at is not None:
            if not self.was_asked_to_stop:
                reason = f"its {self._allowance:.0f} seconds were over before its first step; give it more minutes"
                self.failures.append(Failure(name, reason, self._outputs[name]))
        else:
            self.failures.append(Failure(name, _reason(status, self._outputs[name]), self._outputs[name]))

    def _ask_to_stop(self) -> None:
        self.was_asked_to_stop = True

    @contextmanager
    def _ended_whatever_happens(self) -> Iterator[None]:
        """Leave no process behind, also when watching fails: they are asked, and waited for."""
        try:
            yield
        finally:
            for process in self._living.values():
                process.ask_to_end()
            for process in self._living.values():
                try:
                    process.popen.wait(GRACE_SECONDS)
                except subprocess.TimeoutExpired:
                    process.popen.kill()
                    process.popen.wait()
                process.count()
            self._living.clear()


def _environment() -> dict[str, str]:
    """Let a run import this very package, and nothing from the folder in which it is started."""
    paths = [import_path(), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


def _reason(status: int, output: Path) -> str:
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        hint = "; perhaps memory ran out" if status == -signal.SIGKILL else ""
        return f"it was killed by {name}{hint}"
    text = _COLOURS.sub("", output.read_text(encoding="utf-8", errors="replace"))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return _last_sentence(lines) if lines else f"it ended with status {status} and said nothing"


def _last_sentence(lines: list[str]) -> str:
    """Return the error that ended a command, which may have been broken into lines: ours, or a traceback's end."""
    plain = [line.strip("│╭╮╰╯─ ") for line in lines]
    start = next((number for number in range(len(plain) - 1, -1, -1) if _ERROR.match(plain[number])), len(plain) - 1)
    return " ".join(filter(None, plain[start : start + 6]))
