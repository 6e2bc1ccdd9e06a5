"""The score by which the method *best* ranks what it found.

    score = -structure - DOMAIN_WEIGHT * max(0, mahalanobis - 1)

``structure`` is the EfficientNet-Lite0 feature distance (0..4) between photo and drawing in grey, at strides 8 to 32:
pose, hair outline and expression, with colour and stroke left out, since those are what a style changes.
``mahalanobis`` is 1 for a typical latent; what lies further out than the generator was trained for decodes badly.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nigaoe_model.features import feature_distance, shared_features
from nigaoe_model.inversion.regularisers import LatentPrior
from nigaoe_model.stylegan2.latent_statistics import LatentStatistics

STRUCTURE_STRIDES = (8, 16, 32)
DOMAIN_WEIGHT = 0.05
LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601."""


@torch.no_grad()
def likeness_scores(
    photo: Tensor, drawings: Tensor, w_plus: Tensor, statistics: LatentStatistics, *, device: str = "cpu"
) -> Tensor:
    """Score drawings of one face; higher is better.

    Args:
        photo: The aligned photo in [-1, 1]. # [3, R, R].
        drawings: What the style draws for each candidate. # [N, 3, R, R].
        w_plus: The candidates. # [N, num_ws, w_dim].
        statistics: Of the generator's w.
        device: Where the feature network is.

    Returns:
        # [N], at most 0.
    """
    network = shared_features(STRUCTURE_STRIDES, device)
    of_photo = network(_grey(photo[None].to(device)))
    of_drawings = network(_grey(drawings.to(device)))
    structure = feature_distance([level.expand(len(drawings), -1, -1, -1) for level in of_photo], of_drawings)
    outside = LatentPrior(statistics).to(device).mahalanobis(w_plus.to(device)) - 1
    return -structure - DOMAIN_WEIGHT * outside.clamp_min(0)


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A latent that may become the result.

    Attributes:
        share: 0 is the cross latent, 1 the direct one.
        w_plus: # [num_ws, w_dim].
    """

    share: float
    w_plus: Tensor


def in_betweens(cross: Tensor, direct: Tensor, shares: Sequence[float]) -> list[Candidate]:
    """Return both latents and those on the straight line between them. Each # [num_ws, w_dim]."""
    return [Candidate(share, torch.lerp(cross, direct, share)) for share in (0.0, *shares, 1.0)]


def _grey(image: Tensor) -> Tensor:
    weights = torch.tensor(LUMA, device=image.device, dtype=image.dtype)[None, :, None, None]
    return (image.clamp(-1, 1) * weights).sum(dim=1, keepdim=True).expand(-1, 3, -1, -1)
