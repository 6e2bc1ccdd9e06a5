"""Score a generator against a data set while it trains; the processes of a run share the work."""

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.training.dataset import PackedDataset
from nigaoe_model.training.distributed import Team
from nigaoe_model.training.feature_statistics import Features, frechet_distance, picture_features, precision_recall
from nigaoe_model.training.photo_latents import PhotoLatents
from nigaoe_model.training.sample_grid import draw_pictures, draw_styles, fixed_latents
from nigaoe_model.training.session import Score

CHUNK = 256
"""Pictures that are handed from the generator to the feature network at a time."""


def data_floor(dataset: PackedDataset, samples: int, device: torch.device) -> float:
    """Return the FD-effnet of one half of the data to the other: no generator can be expected to come nearer.

    Args:
        dataset: What is learned; at least 2 pictures.
        samples: Pictures of each half, at most half of all: a distance of few samples is larger than one of many, so a
            score that is to be compared with it must be of as many.
        device: Where features are computed.
    """
    count = min(samples, len(dataset) // 2)
    chosen = np.random.default_rng(1).choice(len(dataset), 2 * count, replace=False)
    first, second = (
        picture_features(
            (torch.from_numpy(np.ascontiguousarray(dataset.pixels[part])) for part in _parts(np.sort(half))), device
        )
        for half in (chosen[:count], chosen[count:])
    )
    return frechet_distance(first, second)


def _parts(indices: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return np.array_split(indices, max(1, len(indices) // CHUNK))


class Examiner:
    """Keeps the data's features and draws the same latents each time.

    Args:
        dataset: What the generator learns.
        samples: Pictures drawn, and taken from the data, for each score.
        team: Processes that draw and evaluate a share each; all of them must call.
        photo_latents: What a conversion would ask the generator to draw; on the team's device.
        least_psi: Those are truncated by a psi between this and 1.
    """

    def __init__(
        self,
        dataset: PackedDataset,
        samples: int,
        team: Team,
        photo_latents: PhotoLatents | None = None,
        *,
        least_psi: float = 1.0,
    ) -> None:
        self.dataset = dataset
        self.samples = samples
        self.team = team
        self._photo_styles = photo_latents.fixed(samples, least_psi=least_psi) if photo_latents else None
        self._real: Features | None = None

    @property
    def real(self) -> Features:
        """Features of a fixed choice of the data. # [samples or fewer, 320]."""
        if self._real is None:
            count = min(self.samples, len(self.dataset))
            chosen = np.sort(np.random.default_rng(0).choice(len(self.dataset), count, replace=False))
            parts = _parts(chosen[self._share])
            self._real = self._features(torch.from_numpy(np.ascontiguousarray(self.dataset.pixels[p])) for p in parts)
        return self._real

    def examine(self, generator: Generator) -> Score:
        """Score a generator on the team's device; every process gets the same score.

        Its numbers are ``fd_effnet``, the Frechet distance on EfficientNet-Lite0 features; ``precision``, the share of
        drawn pictures within the data; ``recall``, the share of the data within what is drawn; and where there are
        latents of photos ``fd_photos``, the same distance for drawings of those. Drawings of photos are what a style
        is for, so where there are some they decide.
        """
        z = fixed_latents(self.samples, generator.architecture.z_dim, seed=1)[self._share]
        numbers = self.compare(draw_pictures(generator, part) for part in torch.split(z, CHUNK))
        photos = self._photo_distance(generator)
        if photos is None:
            return Score(numbers, numbers["fd_effnet"])
        return Score(numbers | {"fd_photos": photos}, photos, by_photos=True)

    def compare(self, pictures: Iterable[Tensor]) -> dict[str, float]:
        """Return ``fd_effnet``, ``precision`` and ``recall`` of pictures to the data.

        Args:
            pictures: This process's share, in batches of bytes # [N, 3, R, R].
        """
        fake = self._features(pictures)
        coverage = precision_recall(self.real, fake)
        distance = frechet_distance(self.real, fake)
        return {"fd_effnet": distance, "precision": coverage.precision, "recall": coverage.recall}

    def _photo_distance(self, generator: Generator) -> float | None:
        if self._photo_styles is None:
            return None
        parts = torch.split(self._photo_styles[self._share], CHUNK)
        return frechet_distance(self.real, self._features(draw_styles(generator, part) for part in parts))

    @property
    def _share(self) -> slice:
        """This process's part of a list that all share."""
        return slice(self.team.rank, None, self.team.size)

    def _features(self, pictures: Iterable[Tensor]) -> Features:
        return self.team.gather(picture_features(pictures, self.team.device))
