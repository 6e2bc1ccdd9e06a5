"""The official projector's schedule."""

import pytest

from nigaoe_model.inversion.schedule import learning_rate_at, w_noise_at
from nigaoe_model.inversion.settings import InversionSettings


def test_the_rate_rises_stays_and_falls() -> None:
    """Five warm-up steps, a plateau at the peak, a cosine over the last quarter that ends at zero."""
    settings = InversionSettings(steps=100, learning_rate=0.2, warm_up=0.05, ramp_down=0.25)
    rates = [learning_rate_at(settings, step) for step in range(100)]
    assert rates[:5] == pytest.approx([0.04, 0.08, 0.12, 0.16, 0.2])
    assert rates[5:75] == pytest.approx([0.2] * 70)
    assert rates[74:] == sorted(rates[74:], reverse=True)
    assert rates[99] == pytest.approx(0)


def test_a_constant_rate_is_possible() -> None:
    """Without warm-up and ramp-down the rate never changes."""
    settings = InversionSettings(steps=10, learning_rate=0.3, warm_up=0, ramp_down=0)
    assert {learning_rate_at(settings, step) for step in range(10)} == {0.3}


def test_noise_fades_with_the_square_of_the_time_left() -> None:
    """The start is drawn as it is; then the noise begins, and ends where it was told to."""
    settings = InversionSettings(steps=100, w_noise=0.05, w_noise_end=0.75)
    assert w_noise_at(settings, 0) == 0
    assert w_noise_at(settings, 30) == pytest.approx(0.05 * 0.6**2)
    assert [w_noise_at(settings, step) for step in (75, 99)] == [0, 0]
    assert w_noise_at(InversionSettings(), 1) == 0
