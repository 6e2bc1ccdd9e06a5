"""Bytes and planes."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from nigaoe_model.pixels import to_planes, to_rgb


@given(hn.arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 5), st.just(3))))
def test_there_and_back_is_the_identity(rgb: np.ndarray) -> None:
    """Every byte survives the way through the network's range."""
    planes = to_planes(rgb)
    assert planes.min() >= -1
    assert planes.max() <= 1
    assert np.array_equal(to_rgb(planes), rgb)


def test_raw_values_outside_the_range_are_clamped() -> None:
    """A generator overshoots; a picture cannot."""
    assert to_rgb(torch.tensor([-3.0, 0.0, 3.0]).reshape(3, 1, 1)).tolist() == [[[0, 128, 255]]]
