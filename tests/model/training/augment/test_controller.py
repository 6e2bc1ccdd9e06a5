"""ADA's feedback against the paper's rule."""

import pytest
import torch

from nigaoe_model.training.augment.controller import updated_p


@pytest.mark.parametrize(
    ("p", "statistic", "expected"),
    [
        (0.2, 0.9, 0.2 + 64 / 500_000),  # Overfits: more.
        (0.2, 0.1, 0.2 - 64 / 500_000),  # Does not: less.
        (0.2, 0.6, 0.2),  # On target.
        (0.0, -1.0, 0.0),  # Never below nothing.
        (1.0, 1.0, 1.0),  # Never above always.
    ],
)
def test_p_moves_by_the_images_since_the_last_update(p: float, statistic: float, expected: float) -> None:
    """p goes from 0 to 1 in `speed_images` at most, by the sign of r_t - target."""
    before, seen, images = (torch.tensor(value, dtype=torch.float64) for value in (p, statistic, 64.0))
    after = updated_p(before, seen, target=0.6, images=images, speed_images=500_000)
    assert float(after) == pytest.approx(expected, abs=1e-15)
