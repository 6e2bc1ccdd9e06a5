"""Everything that one generator says about itself, as numbers."""

from dataclasses import asdict, dataclass

import numpy as np
import torch

from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.training.dataset import PackedDataset
from nigaoe_model.training.feature_statistics import (
    frechet_distance,
    kernel_distance,
    picture_features,
    precision_recall,
)
from nigaoe_model.training.losses import path_lengths
from nigaoe_model.training.sample_grid import draw_pictures, fixed_latents


@dataclass(frozen=True, slots=True)
class GeneratorReport:
    """A generator against a data set.

    Attributes:
        fd_effnet: Frechet distance on EfficientNet-Lite0 features; smaller is better.
        kd_effnet: Kernel distance on the same features; smaller is better.
        precision: Share of drawn pictures within the data.
        recall: Share of the data within what is drawn.
        path_length: Mean length of a picture's path for a unit step in w.
        path_length_spread: Its standard deviation over styles, as a share of the mean: 0 is a perfectly even space.
        samples: Pictures drawn.
        pictures: Pictures of the data set.
    """

    fd_effnet: float
    kd_effnet: float
    precision: float
    recall: float
    path_length: float
    path_length_spread: float
    samples: int
    pictures: int

    def flat(self) -> dict[str, float]:
        """Return name to value."""
        return {name: float(value) for name, value in asdict(self).items()}


def evaluate_generator(generator: Generator, dataset: PackedDataset, *, samples: int, seed: int = 1) -> GeneratorReport:
    """Draw ``samples`` pictures at truncation 1 and compare them with as many of the data set.

    Args:
        generator: In evaluation mode.
        dataset: Of the generator's resolution.
        samples: At least 8.
        seed: Seed of the latents and of the choice of data.
    """
    device = generator.mapping.w_avg.device
    z = fixed_latents(samples, generator.architecture.z_dim, seed=seed)
    fake = picture_features((draw_pictures(generator, part) for part in torch.split(z, 64)), device)
    count = min(samples, len(dataset))
    chosen = np.sort(np.random.default_rng(seed).choice(len(dataset), count, replace=False))
    parts = np.array_split(chosen, max(1, count // 64))
    real = picture_features((torch.from_numpy(np.ascontiguousarray(dataset.pixels[p])) for p in parts), device)
    coverage = precision_recall(real, fake)
    lengths = sample_path_lengths(generator, min(samples, 64), seed=seed)
    return GeneratorReport(
        fd_effnet=frechet_distance(real, fake),
        kd_effnet=kernel_distance(real, fake),
        precision=coverage.precision,
        recall=coverage.recall,
        path_length=float(lengths.mean()),
        path_length_spread=float(lengths.std() / lengths.mean().clamp_min(1e-12)),
        samples=samples,
        pictures=count,
    )


def sample_path_lengths(generator: Generator, count: int, *, seed: int) -> torch.Tensor:
    """Return the path length at ``count`` styles, as in training. # [count]."""
    device = generator.mapping.w_avg.device
    random = torch.Generator().manual_seed(seed)
    lengths = []
    for part in torch.split(fixed_latents(count, generator.architecture.z_dim, seed=seed), 8):
        with torch.no_grad():
            ws = generator.mapping.broadcast(generator.mapping(part.to(device)))
        ws = ws.clone().requires_grad_(True)  # noqa: FBT003 - PyTorch takes it by position
        image = generator.draw_image(ws)
        direction = torch.randn(image.shape, generator=random).to(device)
        lengths.append(path_lengths(image, ws, direction).detach().cpu())
    return torch.cat(lengths)
