"""Which pictures a step shows, and how they come to the device: as a whole, or read ahead."""

import gc
import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nigaoe_model.training.dataset import PackedDataset
from nigaoe_model.training.image_source import (
    BLOCK_STEPS,
    BatchSchedule,
    ResidentImages,
    Shares,
    StreamedImages,
    image_source,
)

CPU = torch.device("cpu")
Make = Callable[[PackedDataset, Shares, torch.device], ResidentImages | StreamedImages]


@pytest.mark.parametrize("make", [ResidentImages, StreamedImages])
@pytest.mark.parametrize("rank", [0, 1])
def test_batches_come_as_scheduled(tiny_dataset: PackedDataset, make: Make, rank: int) -> None:
    """Over some epochs and past a block's end, each of two processes gets its half of every batch."""
    shares = Shares(BatchSchedule(len(tiny_dataset), 3), batch=6, rank=rank, size=2)
    source = make(tiny_dataset, shares, CPU)
    for step in range(BLOCK_STEPS + 3):
        source.prepare(step * 6)
        chosen = shares.schedule.indices(step * 6, 6)[rank::2]
        assert torch.equal(source.batch(), torch.from_numpy(tiny_dataset.pixels[chosen])), step


@pytest.mark.parametrize("make", [ResidentImages, StreamedImages])
def test_a_run_may_go_on_from_anywhere(tiny_dataset: PackedDataset, make: Make) -> None:
    """Back, far ahead, and to a number that is no multiple of the batch: the pictures are those of that number."""
    shares = Shares(BatchSchedule(len(tiny_dataset), 0), batch=4)
    source = make(tiny_dataset, shares, CPU)
    for seen in (0, 4, 8, 0, 4, 10_000, 10_004, 7, 11, 15):
        source.prepare(seen)
        expected = tiny_dataset.pixels[shares.schedule.indices(seen, 4)]
        assert torch.equal(source.batch(), torch.from_numpy(expected)), seen


def test_a_failed_reading_ends_in_the_step_that_needs_it(tiny_dataset: PackedDataset) -> None:
    """What broke in the thread is raised where the batch is asked for, and reading goes on from there."""
    broken = PackedDataset(tiny_dataset.folder)
    broken.pixels = np.array(tiny_dataset.pixels)
    source = StreamedImages(broken, Shares(_Failing(len(broken), 0, at=8), batch=4), CPU)
    for seen in (0, 4):
        source.prepare(seen)
    with pytest.raises(OSError, match="the disk is gone"):
        source.prepare(8)
    source.prepare(12)
    expected = tiny_dataset.pixels[BatchSchedule(len(broken), 0).indices(12, 4)]
    assert torch.equal(source.batch(), torch.from_numpy(expected))


class _Failing(BatchSchedule):
    """A disk that fails once."""

    def __init__(self, count: int, seed: int, *, at: int) -> None:
        super().__init__(count, seed)
        self._at = at

    def indices(self, images_seen: int, batch: int) -> np.ndarray:
        if images_seen == self._at:
            raise OSError("the disk is gone")
        return super().indices(images_seen, batch)


def test_the_thread_ends_with_its_source(tiny_dataset: PackedDataset) -> None:
    """Nobody closes a source: dropping it leaves no thread behind."""

    def readers() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name.startswith("image-reader")]

    gc.collect()
    before = readers()
    source = StreamedImages(tiny_dataset, Shares(BatchSchedule(len(tiny_dataset), 0), batch=4), CPU)
    source.prepare(0)
    (mine,) = [thread for thread in readers() if thread not in before]
    del source
    gc.collect()
    mine.join(timeout=30)
    assert not mine.is_alive()


def test_a_cpu_reads_ahead(tiny_dataset: PackedDataset) -> None:
    """The mapped file is the host's memory already; only a GPU gets a copy of the whole."""
    assert isinstance(
        image_source(tiny_dataset, Shares(BatchSchedule(len(tiny_dataset), 0), batch=4), CPU), StreamedImages
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="data sets are copied to NVIDIA GPUs only")
@pytest.mark.parametrize("make", [ResidentImages, StreamedImages, image_source])
def test_a_gpu_gets_the_same_bytes(tiny_dataset: PackedDataset, make: Make) -> None:
    """Resident or through pinned slots, a hundred steps that nobody waits for show what the schedule says."""
    shares = Shares(BatchSchedule(len(tiny_dataset), 0), batch=8)
    source = make(tiny_dataset, shares, torch.device("cuda", 0))
    shown = []
    for step in range(100):
        source.prepare(step * 8)
        shown.append(source.batch().clone())
    for step, batch in enumerate(shown):
        expected = tiny_dataset.pixels[shares.schedule.indices(step * 8, 8)]
        assert torch.equal(batch.cpu(), torch.from_numpy(expected)), step


# ---- which pictures a step shows ------------------------------------------------------------------------------------


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
    """Its order stays while its batches are shown, the boundary between two epochs included."""
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
