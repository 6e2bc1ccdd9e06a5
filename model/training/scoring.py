"""Score a generator against a data set while it trains."""

from dataclasses import dataclass

import numpy as np
import torch

from model.generator import Generator
from model.training.dataset import PackedDataset
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
        device: Where to compute.
    """

    def __init__(self, dataset: PackedDataset, samples: int, device: torch.device) -> None:
        self.dataset = dataset
        self.samples = samples
        self.device = device
        self._real: Features | None = None

    @property
    def real(self) -> Features:
        """Features of a fixed choice of the data. # [samples or fewer, 320]."""
        if self._real is None:
            count = min(self.samples, len(self.dataset))
            chosen = np.sort(np.random.default_rng(0).choice(len(self.dataset), count, replace=False))
            parts = np.array_split(chosen, max(1, count // 64))
            pixels = (torch.from_numpy(np.ascontiguousarray(self.dataset.pixels[p])) for p in parts)
            self._real = picture_features(pixels, self.device)
        return self._real

    def examine(self, generator: Generator) -> Score:
        """Score a generator on the examiner's device."""
        z = fixed_latents(self.samples, generator.architecture.z_dim, seed=1)
        fake = picture_features((draw_pictures(generator, part) for part in torch.split(z, 64)), self.device)
        coverage = precision_recall(self.real, fake)
        return Score(frechet_distance(self.real, fake), coverage.precision, coverage.recall)
