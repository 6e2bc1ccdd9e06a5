"""The one-euro filter keeps still what rests, and stays near what moves."""

import math

import numpy as np
import pytest

from nigaoe_faces.one_euro import OneEuroFilter, OneEuroSettings

RATE = 25.0


def filtered(signal: np.ndarray, settings: OneEuroSettings) -> np.ndarray:
    """A signal of 25 values a second, each one row, through a new filter."""
    one_euro = OneEuroFilter(settings)
    return np.stack([one_euro(value, i / RATE) for i, value in enumerate(signal)])


def test_a_step_is_followed_as_the_paper_says() -> None:
    """Without beta it is exponential smoothing with alpha = 1 / (1 + tau / T), tau = 1 / (2 pi cutoff)."""
    signal = np.array([[0.0], [1.0], [1.0]])
    alpha = 1 / (1 + RATE / (2 * math.pi * 2.0))
    smooth = filtered(signal, OneEuroSettings(min_cutoff=2.0, beta=0.0))
    assert smooth[:, 0] == pytest.approx([0.0, alpha, 1 - (1 - alpha) ** 2])


def test_noise_on_what_rests_is_taken_out() -> None:
    """Jitter falls to less than half, and the mean stays."""
    signal = 5 + np.random.default_rng(0).normal(0, 0.01, (400, 10))
    smooth = filtered(signal, OneEuroSettings(min_cutoff=1.0, beta=1.0))[50:]
    assert np.abs(np.diff(smooth, axis=0)).mean() < 0.3 * np.abs(np.diff(signal, axis=0)).mean()
    assert smooth.mean() == pytest.approx(5, abs=0.005)


def test_beta_takes_the_lag_from_what_moves() -> None:
    """A quick move is followed more closely than by a filter of the same lowest cutoff alone."""
    signal = np.linspace(0, 10, 51)[:, None]  # Five units a second.
    lag, lag_without = (
        float(signal[-1, 0] - filtered(signal, OneEuroSettings(min_cutoff=1.0, beta=beta))[-1, 0])
        for beta in (2.0, 0.0)
    )
    assert lag_without == pytest.approx(5 / (2 * math.pi), rel=0.1)  # Speed times the time constant.
    assert 0 < lag < 0.2 * lag_without


def test_all_numbers_of_a_signal_share_a_cutoff() -> None:
    """One that rests is smoothed less where another moves: the face stays in one piece."""
    step = np.zeros((10, 2))
    step[5:, 0] = 1e-3
    moving = step.copy()
    moving[:, 1] = np.arange(10.0)
    settings = OneEuroSettings(min_cutoff=1.0, beta=1.0)
    assert filtered(moving, settings)[6, 0] > 2 * filtered(step, settings)[6, 0]


def test_the_spacing_of_times_counts() -> None:
    """After a long pause a value counts almost fully; at the same time once more, not at all."""
    one_euro = OneEuroFilter(OneEuroSettings(min_cutoff=1.0, beta=0.0))
    one_euro(np.array([0.0]), 0.0)
    assert one_euro(np.array([1.0]), 0.0)[0] == 0.0
    assert one_euro(np.array([1.0]), 60.0)[0] > 0.99


def test_after_a_reset_nothing_is_remembered() -> None:
    """The first value of a shot is taken as it is."""
    one_euro = OneEuroFilter(OneEuroSettings())
    one_euro(np.array([0.0]), 0.0)
    one_euro.reset()
    assert one_euro(np.array([7.0]), 0.04)[0] == 7.0
