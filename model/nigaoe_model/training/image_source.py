"""Which real pictures a step shows, and how they come to the device's memory.

The choice is a function of the number of images seen, so that a resumed run goes on exactly. A step reads its pictures
from one place, as bytes, and so can be recorded. They are brought there between steps: the whole data set is copied
once where it fits on a GPU, else a thread reads ahead.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nigaoe_model.training.dataset import PackedDataset

ORDERS_KEPT: Final = 2
"""A batch may reach from one epoch into the next."""

RESIDENT_SHARE: Final = 0.25
"""Of a GPU's free memory, which a data set may take."""

UPLOADED: Final = 4096
"""Pictures that are copied to a GPU at a time."""

BLOCK_STEPS: Final = 256
"""Steps whose choice of pictures is uploaded at once."""

RING: Final = 4
"""Batches that lie ready in host memory, or are being read or copied from there."""


class BatchSchedule:
    """Every picture once an epoch, in an order of its own each epoch.

    The orders of the last epochs are kept: shuffling 70,000 numbers takes a millisecond, too long for every step.

    Args:
        count: Pictures in the data set.
        seed: Seed of the orders.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.seed = seed
        self._order = lru_cache(maxsize=ORDERS_KEPT)(self._shuffled)

    def indices(self, images_seen: int, batch: int) -> NDArray[np.int64]:
        """Return the pictures number ``images_seen`` to ``images_seen + batch`` of the endless stream. # [batch]."""
        epochs, places = np.divmod(np.arange(images_seen, images_seen + batch), self.count)
        chosen = np.empty(batch, np.int64)
        for epoch in range(int(epochs[0]), int(epochs[-1]) + 1):
            present = epochs == epoch
            chosen[present] = self._order(epoch)[places[present]]
        return chosen

    def _shuffled(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng((self.seed, epoch)).permutation(self.count)


@dataclass(frozen=True, slots=True)
class Shares:
    """Which pictures one process shows in each step.

    Attributes:
        schedule: Of the whole run.
        batch: Images a step, over all processes.
        rank: This process.
        size: Number of processes.
    """

    schedule: BatchSchedule
    batch: int
    rank: int = 0
    size: int = 1

    @property
    def local(self) -> int:
        """Images of a step that this process shows."""
        return len(range(self.rank, self.batch, self.size))

    def indices(self, images_seen: int, steps: int = 1) -> NDArray[np.int64]:
        """Return the pictures of the steps that follow ``images_seen``. # [steps, local]."""
        chosen = self.schedule.indices(images_seen, steps * self.batch).reshape(steps, self.batch)
        return np.ascontiguousarray(chosen[:, self.rank :: self.size])


class ResidentImages:
    """A data set that lies on the device as a whole.

    Args:
        dataset: Copied at once.
        shares: Of this process.
        device: Where steps are computed.
    """

    def __init__(self, dataset: PackedDataset, shares: Shares, device: torch.device) -> None:
        self._shares = shares
        self._pixels = _uploaded(dataset, device)
        self._block = torch.zeros(BLOCK_STEPS, shares.local, dtype=torch.int64, device=device)
        self._row = torch.zeros(1, dtype=torch.int64, device=device)
        self._first: int | None = None

    def prepare(self, images_seen: int) -> None:
        """Say which row of the block of indices comes next, and upload another block where this one is used up."""
        row, rest = divmod(images_seen - (self._first or 0), self._shares.batch)
        if self._first is None or rest or not 0 <= row < BLOCK_STEPS:
            self._block.copy_(torch.from_numpy(self._shares.indices(images_seen, BLOCK_STEPS)))
            self._first, row = images_seen, 0
        self._row.fill_(row)

    def batch(self) -> Tensor:
        """Gather the row's pictures. # [local, 3, R, R] bytes."""
        return self._pixels.index_select(0, self._block.index_select(0, self._row)[0])


class StreamedImages:
    """A data set that stays on disk; a thread reads the next batches while the device computes.

    Args:
        dataset: Mapped into memory.
        shares: Of this process.
        device: Where steps are computed.
    """

    def __init__(self, dataset: PackedDataset, shares: Shares, device: torch.device) -> None:
        self._dataset, self._shares = dataset, shares
        shape = (shares.local, *dataset.pixels.shape[1:])
        self._place = torch.zeros(shape, dtype=torch.uint8, device=device)
        self._slots = [_Slot(shape, device) for _ in range(RING)]
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="image-reader")
        self._coming: deque[tuple[int, Future[_Slot]]] = deque()
        self._requested = 0

    def prepare(self, images_seen: int) -> None:
        """Take the batch that was read ahead, and have another one read.

        Raises:
            Exception: Whatever stopped the reading.
        """
        if not self._coming or self._coming[0][0] != images_seen:
            self._begin_at(images_seen)
        _, read = self._coming.popleft()
        read.result().copy_to(self._place)
        self._request(images_seen + (RING - 1) * self._shares.batch)

    def batch(self) -> Tensor:
        """Return the place itself. # [local, 3, R, R] bytes."""
        return self._place

    def _begin_at(self, images_seen: int) -> None:
        wait([read for _, read in self._coming])
        self._coming.clear()
        for step in range(RING - 1):
            self._request(images_seen + step * self._shares.batch)

    def _request(self, images_seen: int) -> None:
        slot = self._slots[self._requested % RING]
        self._requested += 1
        # The thread knows the slot and the data, not this object, so that it ends when nobody needs its pictures.
        reading = self._reader.submit(slot.read, self._dataset.pixels, self._shares.indices, images_seen)
        self._coming.append((images_seen, reading))


class _Slot:
    """Host memory for one batch, on its way to the device."""

    def __init__(self, shape: tuple[int, ...], device: torch.device) -> None:
        on_gpu = device.type == "cuda"
        self._bytes = torch.zeros(shape, dtype=torch.uint8, pin_memory=on_gpu)
        self._copied = torch.cuda.Event() if on_gpu else None  # type: ignore[no-untyped-call]  # torch annotates it not

    def read(self, pixels: NDArray[np.uint8], indices: Callable[[int], NDArray[np.int64]], images_seen: int) -> "_Slot":
        """Fill the slot, once the device has what it held before."""
        if self._copied is not None:
            self._copied.synchronize()
        rows = self._bytes.numpy()
        for row, index in zip(rows, indices(images_seen)[0], strict=True):
            row[...] = pixels[index]
        return self

    def copy_to(self, place: Tensor) -> None:
        """Ask the device to copy; the host does not wait for it."""
        place.copy_(self._bytes, non_blocking=True)
        if self._copied is not None:
            self._copied.record()


def image_source(dataset: PackedDataset, shares: Shares, device: torch.device) -> ResidentImages | StreamedImages:
    """Return what brings pictures to ``device``: all at once where they take a quarter of its free memory or less."""
    if device.type == "cuda" and dataset.pixels.nbytes <= RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]:
        return ResidentImages(dataset, shares, device)
    return StreamedImages(dataset, shares, device)


def _uploaded(dataset: PackedDataset, device: torch.device) -> Tensor:
    pixels = torch.empty(dataset.pixels.shape, dtype=torch.uint8, device=device)
    for first in range(0, len(dataset), UPLOADED):
        part = np.array(dataset.pixels[first : first + UPLOADED])
        pixels[first : first + len(part)] = torch.from_numpy(part)
    return pixels
