"""Processes side by side: they end with the stage, one that fails takes nobody with it, none is left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nigaoe.pair_training.journal import RunRecord
from nigaoe.pair_training.pair_folder import PairPaths
from nigaoe.pair_training.stage import StageProcesses
from nigaoe.pair_training.training import locked

POLITE = """
import pathlib, signal, sys, threading
asked = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: asked.set())
pathlib.Path(sys.argv[1] + ".ready").touch()
while not asked.wait(0.05):
    pass
pathlib.Path(sys.argv[1]).write_text("saved")
"""
FAILING = "import sys; print('The training run cannot go on (training_failed): the data\\n  are gone.'); sys.exit(1)"


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[int]:
    """The folder is ours."""
    with locked(PairPaths(tmp_path)) as descriptor:
        yield descriptor


def stage(
    tmp_path: Path, lock: int, scripts: dict[str, str], *, allowance: float, until: float | None = None
) -> tuple[StageProcesses, dict[str, RunRecord]]:
    records = {name: RunRecord() for name in scripts}
    commands = {name: [sys.executable, "-c", script, str(tmp_path / name)] for name, script in scripts.items()}
    outputs = {name: tmp_path / f"{name}.log" for name in scripts}
    return StageProcesses(commands, records, outputs, allowance=allowance, lock=lock, until=until), records


def test_a_failing_run_is_named_and_its_neighbour_ends_cleanly(tmp_path: Path, lock: int) -> None:
    """The neighbour goes on to the end of the stage and saves; the reason is the error that the run printed."""
    processes, records = stage(tmp_path, lock, {"good": POLITE, "bad": FAILING}, allowance=3)
    processes.run(lambda: None)
    ((failure),) = processes.failures
    assert failure.run == "bad"
    assert failure.reason == "The training run cannot go on (training_failed): the data are gone."
    assert (tmp_path / "good").read_text() == "saved"
    assert (records["good"].done, records["bad"].done) == (True, False)
    assert records["good"].seconds >= 3 > records["bad"].seconds


def test_a_killed_run_is_told_from_a_failed_one(tmp_path: Path, lock: int) -> None:
    """SIGKILL hints at memory; the failure of a run that had no time to begin asks for more."""
    suicide = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    slow = "import time; time.sleep(60)"
    processes, records = stage(tmp_path, lock, {"killed": suicide, "slow": slow}, allowance=1)
    processes.run(lambda: None)
    reasons = {failure.run: failure.reason for failure in processes.failures}
    assert "SIGKILL; perhaps memory ran out" in reasons["killed"]
    assert "more minutes" in reasons["slow"]
    assert not any(record.done for record in records.values())


def test_nothing_is_left_behind_when_watching_fails(tmp_path: Path, lock: int) -> None:
    """An exception in the display ends the stage; the run is asked, saves, and is gone."""
    processes, _ = stage(tmp_path, lock, {"good": POLITE}, allowance=1000)

    def watch() -> None:
        if (tmp_path / "good.ready").exists():
            raise RuntimeError("no terminal")

    with pytest.raises(RuntimeError, match="no terminal"):
        processes.run(watch)
    assert (tmp_path / "good").read_text() == "saved"


def test_a_stop_is_no_failure_and_not_the_end(tmp_path: Path, lock: int) -> None:
    """SIGTERM to this process: the run saves, nothing failed, and the stage is not done."""
    processes, records = stage(tmp_path, lock, {"good": POLITE}, allowance=1000)

    def watch() -> None:
        if (tmp_path / "good.ready").exists():
            os.kill(os.getpid(), signal.SIGTERM)

    processes.run(watch)
    assert processes.was_asked_to_stop
    assert processes.failures == []
    assert (tmp_path / "good").read_text() == "saved"
    assert not records["good"].done


def test_a_call_may_have_less_time_than_its_stage(tmp_path: Path, lock: int) -> None:
    """A lease that ends in the middle is a stop: saved, not failed, not done."""
    processes, records = stage(tmp_path, lock, {"good": POLITE}, allowance=1000, until=time.monotonic() + 5)
    processes.run(lambda: None)
    assert (tmp_path / "good").read_text() == "saved"
    assert processes.failures == []
    assert not records["good"].done


@pytest.mark.faults
def test_a_vanished_process_leaves_runs_that_save(tmp_path: Path) -> None:
    """kill -9 of the one that looks after them: the kernel asks its runs, and the folder is free when they are gone."""
    script = tmp_path / "supervisor.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\n"
        "from nigaoe.pair_training.journal import RunRecord\n"
        "from nigaoe.pair_training.pair_folder import PairPaths\n"
        "from nigaoe.pair_training.stage import StageProcesses\n"
        "from nigaoe.pair_training.training import locked\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "with locked(PairPaths(folder)) as lock:\n"
        f"    command = [sys.executable, '-c', {POLITE!r}, str(folder / 'good')]\n"
        "    StageProcesses({'good': command}, {'good': RunRecord()}, {'good': folder / 'log'}, allowance=1000,\n"
        "                   lock=lock).run(lambda: None)\n"
    )
    supervisor = subprocess.Popen([sys.executable, str(script)], cwd=Path(__file__).parents[3])
    deadline = time.monotonic() + 60
    while not (tmp_path / "good.ready").exists():
        assert time.monotonic() < deadline
        assert supervisor.poll() is None
        time.sleep(0.05)
    supervisor.kill()
    supervisor.wait()
    with locked(PairPaths(tmp_path)):
        assert (tmp_path / "good").read_text() == "saved"
