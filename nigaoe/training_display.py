"""How training is shown: a bar that moves with every step, lines of the log, and a word before the first of them.

In a file or a pipe there is no bar; lines tell how far it is, often at first and then every ten seconds.
"""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from nigaoe_model.training.run_state import Progress as Standing

LINE_SECONDS: Final = 10.0
_UNSHOWN: Final = ("images", "time", "seconds")


class TrainingDisplay:
    """Shows one run.

    Args:
        console: Where.
        total: Images after which the run ends.
        quiet: Show nothing: another process of the run does.
    """

    def __init__(self, console: Console, total: int, *, quiet: bool = False) -> None:
        self._console, self._total, self._quiet = console, total, quiet
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("images"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._task = self._bar.add_task("setting up", total=total)
        self._began = self._said_at = time.monotonic()
        self._first: int | None = None
        self._patience = 1.0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def step(self, standing: "Standing") -> None:
        """Take note of a step."""
        now = time.monotonic()
        if self._first is None:
            self._first = standing.images_seen
            self._say(f"{standing.images_seen:>9,} images  the first step, after {now - self._began:.1f} s", now)
            self._began = now
        self._bar.update(self._task, description="training", completed=standing.images_seen, total=self._total)
        if not self._console.is_terminal and now - self._said_at >= self._patience:
            self._patience = min(2 * self._patience, LINE_SECONDS)
            self._say(f"{standing.images_seen:>9,} images  {self._pace(standing.images_seen, now)}", now)

    def line(self, standing: "Standing", line: dict[str, float]) -> None:
        """Show a line of the log."""
        shown = " ".join(f"{name}={value:.4g}" for name, value in line.items() if name not in _UNSHOWN)
        self._say(f"{standing.images_seen:>9,} images  {shown}", time.monotonic())

    def _pace(self, images: int, now: float) -> str:
        pace = (images - (self._first or 0)) / max(now - self._began, 1e-9)
        left = (self._total - images) / pace if pace else 0.0
        return f"images_per_second={pace:.4g}, {left / 60:,.1f} min left"

    def _say(self, text: str, now: float) -> None:
        self._said_at = now
        if not self._quiet:
            self._console.print(text, highlight=False, soft_wrap=True)


def picture_progress() -> Progress:
    """Return the bar of a command that goes through many pictures."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
