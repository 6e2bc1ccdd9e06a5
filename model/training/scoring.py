"""Score a generator against a data set while it trains; the processes of a run share the work."""

from dataclasses import dataclass

import numpy as np
import torch

from model.generator import Generator
from model.training.dataset import PackedDataset
from model.training.distributed import Team
from model.training.feature_statistics import Features, frechet_distance, picture_features, precision_recall
from model.training.sample_grid import draw_pictures, fixed_latents


@dataclass(frozen=True, slots=True)
class Score:
    """One examination.

    Attributes:
        fd_effnet: Frechet distance on EfficientNet-Lite0 features; smaller is better.
        precision: Share of drawn pictures within the data.
        recall: Share of the data within what is drawn.
    """

    fd_effnet: float
    precision: float
    recall: float


class Examiner:
    """Keeps the data's features and draws the same latents each time.

    Args:
        dataset: What the generator learns.
        samples: Pictures drawn, and taken from the data, for each score.
        team: Processes that draw and look at a share each; all of them must call.
    """

    def __init__(self, dataset: PackedDataset, samples: int, team: Team) -> None:
        self.dataset = dataset
        self.samples = samples
        self.team = team
        self._real: Features | None = None

    @property
    def real(self) -> Features:
        """Features of a fixed choice of the data. # [samples or fewer, 320]."""
        if self._real is None:
            count = min(self.samples, len(self.dataset))
            chosen = np.sort(np.random.default_rng(0).choice(len(self.dataset), count, replace=False))
            share = chosen[self.team.rank :: self.team.size]
            parts = np.array_split(share, max(1, len(share) // 64))
            pixels = (torch.from_numpy(np.ascontiguousarray(self.dataset.pixels[p])) for p in parts)
            self._real = self.team.gather(picture_features(pixels, self.team.device))
        return self._real

    def examine(self, generator: Generator) -> Score:
        """Score a generator on the team's device; every process gets the same score."""
        z = fixed_latents(self.samples, generator.architecture.z_dim, seed=1)[self.team.rank :: self.team.size]
        drawn = (draw_pictures(generator, part) for part in torch.split(z, 64))
        fake = self.team.gather(picture_features(drawn, self.team.device))
        coverage = precision_recall(self.real, fake)
        return Score(frechet_distance(self.real, fake), coverage.precision, coverage.recall)
