"""Several processes train one network: they share what must be the same, and when one fails, all stop and say why."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nigaoe_core.errors import TrainingError
from nigaoe_model.training.dataset import PackedDataset
from nigaoe_model.training.distributed import FailureWatch, Team, joined_team
from nigaoe_model.training.run_state import load_state

DRIVER = Path(__file__).with_name("failing_process.py")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.timeout(
    900
)  # The two processes of a busy machine take minutes to import; a timeout of gloo is half an hour.
@pytest.mark.parametrize("way", ["raise", "kill", "early"])
def test_nobody_waits_for_a_failed_process(way: str, tiny_dataset: PackedDataset, tmp_path: Path) -> None:
    """One of two processes raises, is killed, or never comes to train: the other ends by itself, long before a timeout.

    They are started by hand, since `torchrun` would end the other one: what is tested is that it need not.
    """
    port = str(free_port())
    processes = []
    for rank in ("0", "1"):
        environment = os.environ | {"RANK": rank, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        command = [sys.executable, str(DRIVER), way, str(tiny_dataset.folder), str(tmp_path / "run")]
        processes.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    try:
        said = [process.communicate(timeout=800)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert processes[0].returncode not in (0, None), said
    assert processes[1].returncode != 0, said
    expected = {
        "raise": "Process 1 of this run failed, so this one stops, too (TrainingError: the disk is full)",
        "kill": "Another process of this run is gone",
        "early": "Process 1 of this run failed",
    }
    assert expected[way] in said[0]
    assert "--resume-from" in said[0]
    if way != "early":
        saved = load_state(tmp_path / "run")
        assert saved is not None
        assert 0 < saved[0].steps <= 3


def test_one_process_is_its_own_team(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is exchanged, and an error passes as it is."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined_team("cpu") as team:
        value = torch.ones(3)
        assert team.mean(value) is value
        assert team.agree(True)
        assert not team.agree(False)
    with pytest.raises(TrainingError, match="as it is"), joined_team("cpu"):
        raise TrainingError("as it is")


def test_the_first_failure_is_the_one_that_is_told() -> None:
    """A process that fails later, because the first one did, does not write over its reason."""
    store = torch.distributed.TCPStore("127.0.0.1", free_port(), 1, is_master=True)
    first, second = (FailureWatch(store.clone(), rank) for rank in (0, 1))
    try:
        assert second.failure_of_another() is None
        first.post(OSError("no space left"))
        second.post(RuntimeError("connection reset"))
        assert first.failure_of_another() is None
        reason = second.failure_of_another()
        assert reason is not None
        assert "Process 0" in reason
        assert "OSError: no space left" in reason
    finally:
        for watch in (first, second):
            watch.stop()


def test_means_of_several_tensors_keep_their_shapes() -> None:
    """Alone they are the tensors themselves."""
    team = Team(0, 1, torch.device("cpu"))
    values = [torch.ones(2, 3), torch.zeros(())]
    assert all(map(torch.equal, team.means(values), values))
