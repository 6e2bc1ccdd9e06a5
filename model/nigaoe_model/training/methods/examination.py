"""How near a method's drawings of unseen photos come to the anime data."""

from collections.abc import Iterator

import torch
from torch import Tensor

from nigaoe_model.training.dataset import to_bytes
from nigaoe_model.training.distributed import Team
from nigaoe_model.training.methods.domains import Domains
from nigaoe_model.training.methods.step import MethodStep
from nigaoe_model.training.sample_grid import pictures_at_once
from nigaoe_model.training.scoring import Examiner
from nigaoe_model.training.session import Score


class MethodExaminer:
    """Draws the same photos with the same seeds and references each time.

    Args:
        domains: Held-out photos are drawn, and compared with the anime data.
        samples: Drawings of a score; photos are drawn several times where there are fewer.
        team: Of one process, on the device where steps are computed.
    """

    def __init__(self, domains: Domains, samples: int, team: Team) -> None:
        self.domains, self.samples, self._device = domains, samples, team.device
        self._data = Examiner(domains.anime, samples, team)

    def examine(self, step: MethodStep) -> Score:
        """Return FD-effnet, precision and recall of the drawings to the anime data; FD-effnet is the verdict."""
        numbers = self._data.compare(self._drawings(step))
        return Score(numbers, numbers["fd_effnet"])

    def _drawings(self, step: MethodStep) -> Iterator[Tensor]:
        batch = pictures_at_once(self._device, self.domains.resolution)
        for first in range(0, self.samples, batch):
            count = min(batch, self.samples - first)
            photos, anime = self.domains.held_out_photos(first, count), self.domains.references(first, count)
            with torch.no_grad():
                drawn = step.draw(photos.to(self._device), anime.to(self._device), range(first, first + count))
            yield to_bytes(drawn).cpu()
