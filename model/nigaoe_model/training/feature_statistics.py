"""EfficientNet-Lite0 features of many pictures, and the distances between two sets of them.

They are called ``FD-effnet`` and ``KD-effnet``, never FID: the numbers compare with each other, not with papers.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from nigaoe_model.features import shared_features
from nigaoe_model.training.dataset import to_unit_range
from nigaoe_model.training.sample_grid import pictures_at_once

INPUT_SIDE = 128
"""Pictures are scaled to this side, so that scores of all resolutions mean the same.

It differs from the 64 px at which feature moments are matched: a generator should not learn its own examination.
"""

FEATURE_WIDTH = 320
Features = NDArray[np.float64]


@torch.no_grad()
def picture_features(
    pictures: Iterable[Tensor], device: torch.device | str = "cpu", *, batch: int | None = None
) -> Features:
    """Return pooled features of pictures.

    Args:
        pictures: Batches of bytes. # [N, 3, R, R].
        device: Where to compute.
        batch: Pictures at a time; None: as many as keep the device busy.

    Returns:
        # [all N, 320].
    """
    network = shared_features((32,), str(device))
    batch = batch or pictures_at_once(torch.device(device), INPUT_SIDE)
    rows = []
    for group in pictures:
        for part in torch.split(group, batch):
            image = to_unit_range(part.to(device))
            if image.shape[-1] != INPUT_SIDE:
                image = F.interpolate(image, size=(INPUT_SIDE, INPUT_SIDE), mode="bilinear", antialias=True)
            rows.append(network(image)[0].mean(dim=(2, 3)).cpu())  # [n, 320]
    features: Features = torch.cat(rows).double().numpy()
    return features


def frechet_distance(first: Features, second: Features) -> float:
    """Return the Frechet distance of two normal fits (Heusel et al. 2017, equation 6). Both # [N, F].

    ``|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))``; the trace of the root is the sum of the roots of the eigenvalues of
    ``C1^(1/2) C2 C1^(1/2)``, which is symmetric, so that no complex root of a product is needed.
    """
    mean_gap = first.mean(axis=0) - second.mean(axis=0)
    c1, c2 = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    values, vectors = np.linalg.eigh(c1)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ c2 @ root), 0, None)).sum()
    return float(mean_gap @ mean_gap + np.trace(c1) + np.trace(c2) - 2 * cross)


def kernel_distance(first: Features, second: Features) -> float:
    """Return the unbiased squared MMD with the kernel ``(x.y / F + 1)^3`` (Binkowski et al. 2018). Both # [N, F]."""
    width, n, m = first.shape[1], len(first), len(second)
    within_first = (first @ first.T / width + 1) ** 3
    within_second = (second @ second.T / width + 1) ** 3
    across = (first @ second.T / width + 1) ** 3
    return float(
        (within_first.sum() - np.trace(within_first)) / (n * (n - 1))
        + (within_second.sum() - np.trace(within_second)) / (m * (m - 1))
        - 2 * across.mean()
    )


@dataclass(frozen=True, slots=True)
class Coverage:
    """Improved precision and recall.

    Attributes:
        precision: Share of the drawn pictures that lie within the data.
        recall: Share of the data that lies within what is drawn.
    """

    precision: float
    recall: float


def precision_recall(real: Features, fake: Features, *, neighbours: int = 3) -> Coverage:
    """Return precision and recall by k-nearest-neighbour balls (Kynkaanniemi et al. 2019). Both # [N, F]."""
    return Coverage(_covered(fake, real, neighbours), _covered(real, fake, neighbours))


def _covered(points: Features, manifold: Features, neighbours: int) -> float:
    inner = _distances(manifold, manifold)
    radius = np.partition(inner, neighbours, axis=1)[:, neighbours]  # The nearest is the point itself.
    return float((_distances(points, manifold) <= radius[None]).any(axis=1).mean())


def _distances(first: Features, second: Features) -> Features:
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)[None] - 2 * first @ second.T
    distances: Features = np.sqrt(np.clip(squares, 0, None))
    return distances
