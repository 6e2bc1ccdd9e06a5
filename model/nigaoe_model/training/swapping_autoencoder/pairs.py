"""Batches of pairs: two photos, or a photo and an anime face."""

import torch
from torch import Tensor

from nigaoe_model.training.dataset import to_unit_range
from nigaoe_model.training.methods.domains import Domains
from nigaoe_model.training.swapping_autoencoder.config import SwappingAutoencoderConfig


class PairedPictures:
    """Brings the pictures of each step to the device; neighbours are a pair.

    Args:
        config: Says which pairs have an anime face.
        domains: Photos and anime faces.
        device: Where steps are computed.
    """

    def __init__(self, config: SwappingAutoencoderConfig, domains: Domains, device: torch.device) -> None:
        self._x_flip = config.pairs.x_flip
        self._anime_count = sum(config.anime_pairs)
        self._photo_count = config.batch - self._anime_count
        self._photos = domains.photo_source(self._photo_count, config.compute.seed, device)
        self._anime = domains.anime_source(self._anime_count, config.compute.seed, device)
        photos, anime = iter(range(self._photo_count)), iter(range(self._photo_count, config.batch))
        places = [
            row for with_anime in config.anime_pairs for row in (next(photos), next(anime if with_anime else photos))
        ]
        self._places = torch.tensor(places, device=device)

    def prepare(self, steps: int) -> None:
        """Bring the pictures of the step after ``steps`` others to their places."""
        self._photos.prepare(steps * self._photo_count)
        self._anime.prepare(steps * self._anime_count)

    def batch(self) -> Tensor:
        """Return the prepared pictures, half of them mirrored. # [batch, 3, R, R] in [-1, 1]."""
        pixels = torch.cat([self._photos.batch(), self._anime.batch()]).index_select(0, self._places)
        if self._x_flip:
            flip = torch.rand(len(pixels), 1, 1, 1, device=pixels.device) < 0.5
            pixels = torch.where(flip, pixels.flip(3), pixels)
        return to_unit_range(pixels)
