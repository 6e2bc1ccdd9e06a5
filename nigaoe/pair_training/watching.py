"""How far runs are, read from their logs and shown in a terminal, or as lines of a file."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from nigaoe.pair_training.journal import Journal
from nigaoe.pair_training.pair_folder import PairPaths
from nigaoe_model.training.run_log import read_log

READ_SECONDS: Final = 1.0
LINE_SECONDS: Final = 10.0
_SCORES: Final = ("fd_photos", "fd_effnet", "photo_start", "own_start")


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands.

    Attributes:
        images: That were shown.
        pace: Images a second, as it said last; None: it has not said.
        score: Name and value of its last score.
    """

    images: int
    pace: float | None
    score: tuple[str, float] | None

    def __str__(self) -> str:
        pace = f", {self.pace:,.0f}/s" if self.pace is not None else ""
        score = f", {self.score[0]} {self.score[1]:.4g}" if self.score is not None else ""
        return f"{self.images:,} images{pace}{score}"


def standing(folder: Path) -> Standing | None:
    """Return where the run in a folder stands; None: it has said nothing yet."""
    lines = read_log(folder)
    if not lines:
        return None
    pace = next((line["images_per_second"] for line in reversed(lines) if "images_per_second" in line), None)
    scores = ((name, line[name]) for line in reversed(lines) for name in _SCORES if name in line)
    return Standing(int(max(line["images"] for line in lines)), pace, next(scores, None))


class Watcher:
    """Shows a pair's training: bars in a terminal, a line now and then elsewhere.

    Args:
        console: Where.
        journal: Of the pair; its seconds are read while they are counted.
        paths: Of the pair.
    """

    def __init__(self, console: Console, journal: Journal, paths: PairPaths) -> None:
        self._console, self._journal, self._paths = console, journal, paths
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._whole = self._bars.add_task("pair", total=journal.minutes * 60, left="")
        self._tasks: dict[str, TaskID] = {}
        self._stage = 0
        self._read_at = self._reported_at = 0.0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def begin(self, stage: int, runs: Sequence[str]) -> Callable[[], None]:
        """Say which stage begins, and return what is to be called while it lasts."""
        self._stage = stage
        name, allowance = self._journal.config.stages[stage].name, self._journal.allowance(stage)
        number = f"{stage + 1} of {len(self._journal.stages)}"
        self.say(f"Stage {number}, [bold]{name}[/]: {', '.join(runs)}, {_clock(allowance)} min")
        self._tasks = {run: self._bars.add_task(run, total=allowance, left="") for run in runs}
        self._reported_at = time.monotonic()
        return self._refresh

    def end(self) -> None:
        """Say what a stage's runs came to."""
        for run, task in self._tasks.items():
            self._bars.remove_task(task)
            where = standing(self._paths.run(run))
            record = self._journal.stages[self._stage][run]
            came_to = f"{where}" if where is not None else "done" if record.done else "nothing"
            self.say(f"  {run}: {came_to} after {_clock(record.seconds)} min{'' if record.done else ', not finished'}")
        self._tasks = {}

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, highlight=False, soft_wrap=True)

    def _refresh(self) -> None:
        now = time.monotonic()
        if now - self._read_at < READ_SECONDS:
            return
        self._read_at = now
        left = max(0.0, self._journal.minutes * 60 - self.seconds)
        self._bars.update(self._whole, completed=self.seconds, left=f"{_clock(left)} left")
        report = not self._console.is_terminal and now - self._reported_at >= LINE_SECONDS
        for run, task in self._tasks.items():
            where = standing(self._paths.run(run))
            spent = self._journal.stages[self._stage][run].seconds
            self._bars.update(task, completed=spent, left=f"{where or 'starting'}")
            if report:
                self._reported_at = now
                self.say(f"  {run}: {where or 'starting'}; {_clock(left)} min left in all")

    @property
    def seconds(self) -> float:
        """Seconds that all stages have taken so far."""
        return sum(self._journal.seconds(stage) for stage in range(len(self._journal.stages)))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"
