"""Which pictures a step shows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nigaoe_model.training.batch_schedule import BatchSchedule


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 40), batch=st.integers(1, 16), seed=st.integers(0, 5))
def test_every_picture_comes_once_an_epoch(count: int, batch: int, seed: int) -> None:
    """However batches fall, an epoch is a permutation."""
    schedule = BatchSchedule(count, seed)
    stream = [int(i) for start in range(0, 2 * count + batch, batch) for i in schedule.indices(start, batch)]
    assert sorted(stream[:count]) == list(range(count))
    assert sorted(stream[count : 2 * count]) == list(range(count))


def test_a_resumed_run_sees_the_same_pictures() -> None:
    """Batches are a function of the images seen, not of how one came there."""
    assert (BatchSchedule(30, 1).indices(50, 8) == BatchSchedule(30, 1).indices(48, 10)[2:]).all()


def test_an_epoch_is_shuffled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its order stays while its batches are shown, the border between two epochs included."""
    shuffled: list[int] = []
    draw = BatchSchedule._shuffled

    def counted(self: BatchSchedule, epoch: int) -> NDArray[np.int64]:
        shuffled.append(epoch)
        return draw(self, epoch)

    monkeypatch.setattr(BatchSchedule, "_shuffled", counted)
    schedule = BatchSchedule(30, 1)
    for seen in range(0, 90, 4):
        schedule.indices(seen, 4)
    assert shuffled == [0, 1, 2, 3]
