"""Measures of a pair, on pictures whose answer is known."""

import numpy as np
import pytest
import torch
from torch import Tensor

from nigaoe_model.portrait.palette import background_mask
from nigaoe_model.training.face_regions import face_mask, tint_background
from nigaoe_model.training.pair_metrics import colour_leak, correlation, correspond, identity_vectors, retrieve


@pytest.fixture
def faces() -> Tensor:
    """Twelve heads of 32 px: hair, face and a mouth that opens by different amounts, at different places."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[0:32, 0:32] / 32
    pictures = []
    for _ in range(12):
        middle, opening = 0.5 + random.uniform(-0.1, 0.1), random.uniform(0.01, 0.08)
        picture = np.ones((32, 32, 3)) * random.uniform(0.2, 0.9, 3)
        picture[(abs(x - 0.5) < 0.35) & (y < 0.5)] = random.uniform(0, 0.8, 3)
        picture[((x - middle) / 0.2) ** 2 + ((y - 0.65) / 0.28) ** 2 < 1] = (0.9, 0.7, 0.6)
        picture[(abs(x - middle) < 0.1) & (abs(y - 0.8) < opening)] = (0.4, 0.1, 0.1)
        pictures.append(picture)
    return torch.from_numpy((np.stack(pictures) * 255).astype(np.uint8)).permute(0, 3, 1, 2).contiguous()


def test_every_face_finds_itself_and_strangers_find_nobody(faces: Tensor) -> None:
    """Perfect drawings give top-1 of one; drawings of others give about chance."""
    vectors = identity_vectors(faces)
    perfect = retrieve(vectors, vectors)
    assert (perfect.top1, perfect.mrr, perfect.candidates) == (1.0, 1.0, 12)
    assert retrieve(np.roll(vectors, 1, axis=0), vectors).top1 == 0.0


def test_what_carries_over_correlates(faces: Tensor) -> None:
    """A lighter copy corresponds in everything; faces of others do not."""
    same = correspond(faces, (faces.float() * 0.9 + 25).round().to(torch.uint8))
    assert min(same.pose, same.mouth, same.hair_lightness, same.hair_hue) > 0.9
    other = correspond(faces, faces.roll(5, 0))
    assert max(abs(other.mouth), abs(other.hair_lightness)) < 0.8


def test_the_tint_changes_the_background_only(faces: Tensor) -> None:
    """Outside the mask every pixel keeps its value, and face and background do not overlap."""
    tinted = tint_background(faces)
    outside = ~background_mask(32)
    assert torch.equal(tinted[:, :, outside], faces[:, :, outside])
    assert (tinted != faces).any()
    assert not (background_mask(32) & face_mask(32)).any()


def test_leaking_colours_are_seen(faces: Tensor) -> None:
    """A drawing that ignores the background scores 0; one that takes its colour all over scores much."""
    tinted = tint_background(faces)
    assert colour_leak(faces, tinted, faces, faces) == 0.0
    mask = background_mask(32)

    def soaked(pictures: Tensor) -> Tensor:
        shade = pictures.float()[:, :, mask].mean(dim=2)[:, :, None, None]
        return (0.5 * pictures.float() + 0.5 * shade).round().to(torch.uint8)

    assert colour_leak(faces, tinted, soaked(faces), soaked(tinted)) == pytest.approx(0.5, abs=0.05)


def test_correlation_of_a_constant_is_zero() -> None:
    """No variation, no evidence."""
    assert correlation(np.ones(5), np.arange(5.0)) == 0.0
    assert correlation(np.arange(5.0), -np.arange(5.0)) == pytest.approx(-1)
