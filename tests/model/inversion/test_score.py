"""The ranking of candidates by the method `best`."""

import torch

from nigaoe_model.inversion.score import in_betweens, likeness_scores
from nigaoe_model.stylegan2.latent_statistics import LatentStatistics


def statistics() -> LatentStatistics:
    return LatentStatistics(mean=torch.zeros(6, 8), std=torch.ones(6, 8), covariance=torch.eye(8))


def picture(seed: int) -> torch.Tensor:
    """Soft random blobs: structure without noise."""
    coarse = torch.randn(1, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size=64, mode="bicubic")[0].clamp(-1, 1)


def test_the_same_structure_wins_over_another_picture() -> None:
    """Among equal latents the drawing that resembles the photo is ranked first, whatever its colours."""
    photo = picture(1)
    grey = photo.mean(dim=0, keepdim=True).expand(3, -1, -1)
    scores = likeness_scores(photo, torch.stack([picture(2), photo, grey]), torch.zeros(3, 6, 8), statistics())
    assert scores.argmax() == 1
    assert scores[2] > scores[0]


def test_latents_far_outside_lose() -> None:
    """Two equal drawings: a latent far outside of the training is ranked lower; typical ones are free."""
    photo = picture(1)
    latents = torch.stack([torch.full((6, 8), size) for size in (0.0, 1.0, 4.0)])
    scores = likeness_scores(photo, photo.expand(3, -1, -1, -1), latents, statistics())
    torch.testing.assert_close(scores[0], scores[1])
    assert scores[2] < scores[1]


def test_in_betweens_lie_on_the_line() -> None:
    """Both ends are candidates themselves."""
    candidates = in_betweens(torch.zeros(6, 8), torch.ones(6, 8), (0.25,))
    assert [float(candidate.w_plus.mean()) for candidate in candidates] == [0.0, 0.25, 1.0]
    assert [candidate.share for candidate in candidates] == [0.0, 0.25, 1.0]
