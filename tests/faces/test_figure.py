"""Figures: captioned columns of equal cells."""

import numpy as np
import pytest

from nigaoe_core.errors import UsageError
from nigaoe_faces.figure import EDGE, PAPER, Caption, figure

Picture = np.ndarray


def flat(side: int, *colour: int) -> Picture:
    return np.full((side, side, 3), colour, dtype=np.uint8)


def place(card: Picture, colour: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Top, left, height and width of what has this colour."""
    rows, columns = np.nonzero((card == colour).all(axis=2))
    return int(rows.min()), int(columns.min()), int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


RED, GREEN, BLUE = (200, 10, 10), (10, 200, 10), (10, 10, 200)


def test_every_picture_fills_a_cell_of_the_same_size() -> None:
    """Whatever size they have themselves; the input stands apart from the drawings."""
    card = figure(
        [Caption("Photo"), Caption("One"), Caption("Two")],
        [[flat(50, *RED), flat(64, *GREEN), flat(300, *BLUE)]],
        side=128,
    )
    photo, first, second = (place(card, colour) for colour in (RED, GREEN, BLUE))
    assert photo[2:] == first[2:] == second[2:] == (128, 128)
    assert photo[0] == first[0] == second[0]
    assert first[1] - photo[1] > second[1] - first[1] > 128


def test_rows_stand_below_each_other() -> None:
    """As far apart as columns are."""
    card = figure([Caption("Photo")], [[flat(64, *RED)], [flat(64, *BLUE)]], side=64)
    above, below = place(card, RED), place(card, BLUE)
    assert above[1] == below[1]
    assert 64 < below[0] - above[0] < 72


def test_the_card_brings_paper_and_edge_of_its_own() -> None:
    """So that it can lie on a white page and on a dark one."""
    card = figure([Caption("Photo")], [[flat(64, *RED)]], side=64)
    assert tuple(card[1, 1]) == PAPER
    for line in (card[0], card[-1], card[:, 0], card[:, -1]):
        assert (line == EDGE).all()


def test_captions_are_written_above_their_columns() -> None:
    """Titles stand on one line whether a detail follows or not; what is too long ends before its neighbour begins."""
    side, long = 256, "A title that is very much longer than its column is wide, and goes on"
    pictures = [flat(side, *colour) for colour in (RED, BLUE, GREEN)]
    card = figure([Caption("HHH"), Caption("HHH", "HHH"), Caption(long, long)], [pictures], side=side)
    lefts = [place(card, colour)[1] for colour in (RED, BLUE, GREEN)]
    header = card[2 : place(card, RED)[0]]
    plain, detailed, cut = (np.nonzero((header[:, left : left + side] != PAPER).any(axis=(1, 2)))[0] for left in lefts)
    assert plain[0] == detailed[0]
    assert plain[-1] < detailed[-1]
    assert len(cut) > 0
    assert (header[:, lefts[1] + side : lefts[2]] == PAPER).all()


def test_what_was_not_drawn_leaves_an_empty_frame() -> None:
    """The others keep their places."""
    rows = [[flat(64, *RED), None], [flat(64, *RED), flat(64, *BLUE)]]
    card = figure([Caption("Photo"), Caption("One")], rows, side=64)
    top, left, _, _ = place(card, BLUE)
    above = place(card, RED)[0]
    frame = card[above : above + 64, left : left + 64]
    assert above < top
    assert (frame[32, 0] == EDGE).all()
    assert (frame[8:-8, 8:-8] == PAPER).all()


def test_impossible_figures_are_refused() -> None:
    """Nothing to show, rows that do not fit, cells that nobody could read."""
    for columns, rows, side in (
        ([], [], 128),
        ([Caption("Photo")], [], 128),
        ([Caption("Photo")], [[None, None]], 128),
        ([Caption("Photo")], [[None]], 8),
    ):
        with pytest.raises(UsageError):
            figure(columns, rows, side=side)
