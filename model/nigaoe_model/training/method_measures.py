"""What drawings owe to the photo, to the seed, and to the style's data: measures that tell methods apart.

The thesis says of GANs N' Roses that it "reflects almost no facial appearance", and of the Swapping Autoencoder that
its drawings are too close to the input and show few artefacts of anime. Both are questions of variance and distance:
how much of what differs between drawings comes with the photo, and where drawings lie on the way from photos to the
style's data.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from nigaoe_model.portrait.palette import SIDE, colour_grid
from nigaoe_model.training.dataset import to_bytes, to_unit_range
from nigaoe_model.training.face_regions import Pictures, Vectors
from nigaoe_model.training.pair_metrics import picture_distances

SHRINKAGE: Final = 0.1
"""Share of the mean variance in the pooled covariance: a few hundred pictures do not determine 320 features."""

_BATCH: Final = 64


@dataclass(frozen=True, slots=True)
class Dependence:
    """Where the variance of drawings comes from, as shares of the whole.

    Attributes:
        photo: What all drawings of one photo have in common; 0..1.
        style: What all drawings of one seed or reference have in common; 0..1.
        both: What only one photo with one seed or reference has; 0..1.
    """

    photo: float
    style: float
    both: float


def dependence(drawings: NDArray[np.float64]) -> Dependence:
    """Split the variance of drawings, each photo drawn with each seed or reference once.

    Components of variance of the two-way random-effects layout (Searle, Casella and McCulloch, "Variance Components",
    1992, chapter 4), summed over all numbers of a drawing; estimates below zero are zero. Unlike sums of squares they
    do not depend on how many photos and seeds there are.

    Args:
        drawings: Numbers that describe each drawing. # [P, K, F], P and K at least two.

    Returns:
        Shares that sum to one; all are 0 where the drawings do not differ.

    Raises:
        ValueError: There are fewer than two photos, or fewer than two seeds.
    """
    photos, styles = drawings.shape[:2]
    if min(photos, styles) < 2:
        raise ValueError(f"{photos} photos with {styles} seeds each do not tell where differences come from")
    mean = drawings.mean(axis=(0, 1), keepdims=True)
    by_photo = drawings.mean(axis=1, keepdims=True)  # [P, 1, F]
    by_style = drawings.mean(axis=0, keepdims=True)  # [1, K, F]
    of_photo = styles * ((by_photo - mean) ** 2).sum() / (photos - 1)
    of_style = photos * ((by_style - mean) ** 2).sum() / (styles - 1)
    of_both = ((drawings - by_photo - by_style + mean) ** 2).sum() / ((photos - 1) * (styles - 1))
    parts = np.array([(of_photo - of_both) / styles, (of_style - of_both) / photos, of_both]).clip(min=0)
    photo, style, both = (parts / max(float(parts.sum()), 1e-12)).tolist()
    return Dependence(photo, style, both)


@dataclass(frozen=True, slots=True, eq=False)
class StyleAxis:
    """The direction in which a style's data differ from photos, by Fisher's linear discriminant.

    Attributes:
        direction: # [F].
        origin: Where the direction's 0 lies.
    """

    direction: NDArray[np.float64]
    origin: float

    @classmethod
    def between(cls, photos: NDArray[np.float64], style: NDArray[np.float64]) -> Self:
        """Fit the axis to features of photos and of a style's data, as `picture_features` returns them; both # [N, F].

        Fisher, "The Use of Multiple Measurements in Taxonomic Problems", 1936: the inverse of the pooled covariance,
        here shrunk towards a multiple of the identity, times the difference of the means.
        """
        gap = style.mean(axis=0) - photos.mean(axis=0)
        pooled = (np.cov(photos, rowvar=False) + np.cov(style, rowvar=False)) / 2
        ridge = np.trace(pooled) / len(pooled) * np.eye(len(pooled))
        direction = np.linalg.solve((1 - SHRINKAGE) * pooled + SHRINKAGE * ridge, gap)
        direction /= float(gap @ direction)
        return cls(direction, float(photos.mean(axis=0) @ direction))

    def positions(self, features: NDArray[np.float64]) -> Vectors:
        """Return where pictures lie: photos at 0 in the mean, the style's data at 1. # [N, F] -> [N]."""
        positions: Vectors = features @ self.direction - self.origin
        return positions


def distances_from_photos(photos: Pictures, drawings: Pictures, style: Pictures) -> Vectors:
    """Return how far drawings are from their own photos, in units of how far the style's data are from photos.

    Feature distances at the photos' size: 0 is the photo itself, 1 as far as a picture of the style that nobody drew
    from a photo.

    Args:
        photos: # [N, 3, R, R].
        drawings: # [N, 3, S, S].
        style: As many pictures of the style's data. # [N, 3, T, T].

    Returns:
        # [N].
    """
    side = photos.shape[-1]
    own = picture_distances(photos, at_side(drawings, side)).double().numpy()
    unit = float(picture_distances(photos, at_side(style, side)).mean())
    distances: Vectors = own / max(unit, 1e-12)
    return distances


def colours(pictures: Pictures) -> Vectors:
    """Return the opponent colours of a coarse grid. # [N, 3, R, R] -> [N, 3 * SIDE * SIDE]."""
    rows = [colour_grid(to_unit_range(part), SIDE).flatten(1) for part in torch.split(pictures, _BATCH)]
    grid: Vectors = torch.cat(rows).double().numpy()
    return grid


def at_side(pictures: Pictures, side: int) -> Pictures:
    """Scale square pictures to ``side`` pixels. # [N, 3, R, R] -> [N, 3, side, side]."""
    if pictures.shape[-1] == side:
        return pictures
    parts = [_scaled(to_unit_range(part), side) for part in torch.split(pictures, _BATCH)]
    return torch.cat(parts)


def _scaled(image: Tensor, side: int) -> Tensor:
    scaled = F.interpolate(image, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
    return to_bytes(scaled)
