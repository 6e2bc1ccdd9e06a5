"""Feature-moment matching: the generator's batch should have the data's feature statistics.

The idea of Santos et al., "Learning Implicit Generative Models by Matching Perceptual Features", 2019 (GFMN): match
mean and variance of frozen features, with a moving average that makes a small batch's estimate useful. Here the
features are EfficientNet-Lite0's, a position and a channel at a time, and the loss joins the adversarial one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

TeamMean = Callable[[Sequence[Tensor]], list[Tensor]]
LEVELS = (4, 8, 16, 32)
SIGMA_FLOOR = 0.01


class MomentMatching(nn.Module):
    """Distance between the moments of a batch and those of the data.

    Args:
        features: Frozen network that returns the levels ``LEVELS``, such as
            :class:`nigaoe_model.features.FrozenFeatures`.
        momentum: Decay of the moving average of the difference.

    The buffers hold, for each level, mean and standard deviation of the data's moments and the average difference.
    """

    def __init__(self, features: Callable[[Tensor], Sequence[Tensor]], *, momentum: float = 0.95) -> None:
        super().__init__()
        self.features = features
        self.momentum = momentum

    @property
    def is_measured(self) -> bool:
        """Whether the data's moments are known."""
        return "mean0" in self._buffers

    @torch.no_grad()
    def measure(self, batches: Iterable[Tensor]) -> None:
        """Take the data's moments from pictures # [N, 3, R, R] in [-1, 1]."""
        totals: list[tuple[Tensor, Tensor]] = []
        count = 0
        for batch in batches:
            moments = self._moments(batch)
            sums = [(m.double().sum(dim=0), m.double().square().sum(dim=0)) for m in moments]
            totals = [(a + c, b + d) for (a, b), (c, d) in zip(totals, sums, strict=True)] if totals else sums
            count += batch.shape[0]
        for level, (total, squares) in enumerate(totals):
            mean = total / count
            sigma = (squares / count - mean.square()).clamp_min(0).sqrt()
            self.register_buffer(f"mean{level}", mean.float())
            self.register_buffer(f"sigma{level}", sigma.float())
            self.register_buffer(f"average{level}", torch.zeros_like(mean, dtype=torch.float32))

    def forward(self, fake: Tensor, mean_over_team: TeamMean | None = None) -> Tensor:
        """Return the loss # [] for pictures # [N, 3, R, R], and move the average on.

        Args:
            fake: What this process drew.
            mean_over_team: Returns the means of tensors over all processes, so that all keep the same moving average;
                None: there is one process.

        With ``delta = (mean of data - mean of batch) / (sigma + 0.01)`` and ``v`` its moving average (a constant), the
        loss ``2 v delta`` has the gradient of ``delta^2`` with a less noisy factor.
        """
        deltas = []
        for level, moments in enumerate(self._moments(fake)):
            mean, sigma = self.get_buffer(f"mean{level}"), self.get_buffer(f"sigma{level}")
            deltas.append((mean - moments.mean(dim=0)) / (sigma + SIGMA_FLOOR))
        shared = [delta.detach() for delta in deltas]
        if mean_over_team is not None:
            shared = mean_over_team(shared)
        levels = []
        for level, (delta, present) in enumerate(zip(deltas, shared, strict=True)):
            average = self.get_buffer(f"average{level}")
            average.lerp_(present, 1.0 - self.momentum)
            levels.append((2.0 * average.detach().clone() * delta).mean())
        return torch.stack(levels).mean()

    def moment_buffers(self) -> dict[str, Tensor]:
        """Return the measured moments and the moving average, without the feature network."""
        return {n: b for n, b in self.named_buffers() if "." not in n}

    def restore_moments(self, tensors: Mapping[str, Tensor], device: torch.device) -> None:
        """Take over what :meth:`moment_buffers` returned, onto ``device``; buffers of the same shape stay in place."""
        for name, tensor in tensors.items():
            present = self._buffers.get(name)
            if present is not None and present.shape == tensor.shape:
                present.copy_(tensor)
            else:
                self.register_buffer(name, tensor.to(device))

    def _moments(self, image: Tensor) -> list[Tensor]:
        """Return, a level, features and their squares. # [N, 2, C, h, w]."""
        return [torch.stack([f, f.square()], dim=1) for f in map(Tensor.float, self.features(image))]


def faded_weight(weight: float, images_seen: int, fade_from: int | None, fade_images: int, fade_to: float) -> float:
    """Return ``weight`` after a linear fade that begins at ``fade_from`` and ends at ``fade_to * weight``."""
    if fade_from is None or images_seen <= fade_from:
        return weight
    progress = min(1.0, (images_seen - fade_from) / fade_images)
    return weight * (1.0 + (fade_to - 1.0) * progress)
