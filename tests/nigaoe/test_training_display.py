"""What a training run shows, in a terminal and in a file."""

import io

from rich.console import Console

from nigaoe.training_display import TrainingDisplay
from nigaoe_model.training.run_state import Progress


def test_a_file_hears_of_the_first_step_and_of_each_line() -> None:
    """No bar in a pipe: the first step, and the log's lines without clock times."""
    file = io.StringIO()
    with TrainingDisplay(Console(file=file, width=200), 64) as display:
        display.step(Progress(images_seen=8))
        display.step(Progress(images_seen=16))
        display.line(Progress(images_seen=16), {"images": 16, "time": 1.0, "g_loss": 0.5, "seconds": 3.0})
    first, line = file.getvalue().splitlines()
    assert "8 images  the first step" in first
    assert line.split() == ["16", "images", "g_loss=0.5"]


def test_a_terminal_has_a_bar_from_the_start() -> None:
    """It says that the run is being set up, then how many images of how many."""
    file = io.StringIO()
    with TrainingDisplay(Console(file=file, width=120, force_terminal=True), 64) as display:
        display._bar.refresh()
        display.step(Progress(images_seen=48))
        display._bar.refresh()
    assert "setting up" in file.getvalue()
    assert "48/64" in file.getvalue()


def test_other_processes_of_a_run_are_quiet() -> None:
    """Only the leading one speaks."""
    file = io.StringIO()
    with TrainingDisplay(Console(file=file), 64, quiet=True) as display:
        display.step(Progress(images_seen=8))
        display.line(Progress(images_seen=8), {"images": 8, "g_loss": 0.5})
    assert file.getvalue() == ""
