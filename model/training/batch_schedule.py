"""Which pictures a step shows: a function of the number of images seen, so that a resumed run goes on exactly."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class BatchSchedule:
    """Every picture once an epoch, in an order of its own each epoch.

    Attributes:
        count: Pictures in the data set.
        seed: Seed of the orders.
    """

    count: int
    seed: int

    def indices(self, images_seen: int, batch: int) -> NDArray[np.int64]:
        """Return the pictures number ``images_seen`` to ``images_seen + batch`` of the endless stream. # [batch]."""
        positions = np.arange(images_seen, images_seen + batch)
        epochs = positions // self.count
        orders = {int(epoch): self._order(int(epoch)) for epoch in np.unique(epochs)}
        return np.array([orders[int(e)][p % self.count] for e, p in zip(epochs, positions, strict=True)], np.int64)

    def _order(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng((self.seed, epoch)).permutation(self.count)
