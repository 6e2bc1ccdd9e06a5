"""Distances between sets of features, where the answer is known."""

import numpy as np
import pytest

from nigaoe_model.training.feature_statistics import frechet_distance, kernel_distance, precision_recall


def cloud(count: int, width: int, *, mean: float = 0.0, scale: float = 1.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, scale, (count, width))


def test_frechet_distance_of_equal_sets_is_zero() -> None:
    """A set is no distance from itself."""
    points = cloud(300, 6)
    assert frechet_distance(points, points) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_of_a_moved_and_stretched_set() -> None:
    """Moved by m and stretched by s the distance is |m|^2 + (s - 1)^2 tr C, exactly."""
    points = cloud(300, 4)
    moved = points * 3 + np.array([1.0, 2.0, 0.0, 0.0])
    centred = points - points.mean(axis=0)
    gap = 2 * points.mean(axis=0) + np.array([1.0, 2.0, 0.0, 0.0])
    expected = gap @ gap + 4 * np.trace(centred.T @ centred) / 299
    assert frechet_distance(points, moved) == pytest.approx(expected, rel=1e-9)


def test_kernel_distance_against_its_double_sum() -> None:
    """The unbiased estimate, written out pair by pair."""
    first, second = cloud(7, 3), cloud(5, 3, mean=1.0, seed=1)

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / 3 + 1) ** 3)

    within_first = sum(kernel(a, b) for i, a in enumerate(first) for j, b in enumerate(first) if i != j) / (7 * 6)
    within_second = sum(kernel(a, b) for i, a in enumerate(second) for j, b in enumerate(second) if i != j) / (5 * 4)
    across = sum(kernel(a, b) for a in first for b in second) / 35
    assert kernel_distance(first, second) == pytest.approx(within_first + within_second - 2 * across, rel=1e-9)


def test_precision_and_recall_tell_collapse_from_noise() -> None:
    """One spot within the data is precise and recalls little; far points are neither."""
    data = cloud(400, 2)
    collapsed = precision_recall(data, cloud(400, 2, scale=0.05, seed=2))
    assert collapsed.precision > 0.95
    assert collapsed.recall < 0.1
    far = precision_recall(data, cloud(400, 2, mean=50.0, seed=3))
    assert (far.precision, far.recall) == (0.0, 0.0)
    same = precision_recall(data, cloud(400, 2, seed=4))
    assert min(same.precision, same.recall) > 0.8
