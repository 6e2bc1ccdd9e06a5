"""Pictures side by side."""

import numpy as np
import pytest

from nigaoe_core.errors import UsageError
from nigaoe_faces.sheet import TITLE_HEIGHT, cross_fade, grid, resized, side_by_side, titled


def flat(height: int, width: int, value: int) -> np.ndarray:
    return np.full((height, width, 3), value, dtype=np.uint8)


def test_a_row_has_one_height_and_keeps_proportions() -> None:
    """A wide photo stays wide beside a square crop."""
    sheet = side_by_side([flat(100, 200, 10), flat(64, 64, 20)], height=50, gap=4)
    assert sheet.shape == (50, 100 + 4 + 50, 3)
    assert (sheet[:, :100] == 10).all()
    assert (sheet[:, 100:104] == 255).all()


def test_a_title_stands_above_its_picture() -> None:
    """The picture stays as it is; a title that is too long ends early instead of being cut through."""
    short, long = (titled(flat(40, 60, 7), title) for title in ("Ink", "A very long title indeed"))
    for sheet in (short, long):
        assert sheet.shape == (40 + TITLE_HEIGHT, 60, 3)
        assert (sheet[TITLE_HEIGHT:] == 7).all()
        assert (sheet[:TITLE_HEIGHT] < 128).any()
        assert (sheet[:TITLE_HEIGHT, [0, -1]] == 255).all()
    assert not np.array_equal(short, long)


def test_a_grid_fills_rows_and_leaves_the_rest_white() -> None:
    """Three pictures in two columns leave one place empty."""
    sheet = grid([flat(4, 4, v) for v in (1, 2, 3)], columns=2, gap=1)
    assert sheet.shape == (9, 9, 3)
    assert sheet[0, 0, 0] == 1
    assert sheet[5, 0, 0] == 3
    assert (sheet[5:, 5:] == 255).all()


def test_impossible_sheets_are_refused() -> None:
    """Nothing to show, or sizes that make no grid."""
    with pytest.raises(UsageError):
        side_by_side([])
    with pytest.raises(UsageError):
        grid([flat(4, 4, 1), flat(5, 5, 1)], columns=2)


def test_fading_ends_at_the_second_picture() -> None:
    """The last frame is the goal itself, the ones before it move towards it."""
    frames = cross_fade(flat(2, 2, 0), flat(2, 2, 100), steps=4)
    assert [int(frame[0, 0, 0]) for frame in frames] == [25, 50, 75, 100]


def test_resizing_goes_to_the_asked_side() -> None:
    """Frames of an animation become as large as the final picture."""
    assert resized(flat(16, 16, 7), 64).shape == (64, 64, 3)
