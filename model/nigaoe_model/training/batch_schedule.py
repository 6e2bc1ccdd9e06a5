"""Which pictures a step shows: a function of the number of images seen, so that a resumed run goes on exactly."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

ORDERS_KEPT = 2
"""A batch may reach from one epoch into the next."""


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
