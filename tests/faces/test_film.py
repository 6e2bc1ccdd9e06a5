"""Films: frames kept as one strip, and what is made of them."""

from io import BytesIO

import numpy as np
from PIL import Image

from nigaoe_faces.film import FADE_FRAMES, FILM_SIDE, encode_film, frames_of
from nigaoe_faces.sheet import Picture


def plain(side: int, value: int) -> Picture:
    return np.full((side, side, 3), value, np.uint8)


def test_a_strip_is_cut_into_the_frames_it_was_made_of() -> None:
    """In their order, whole."""
    frames = [plain(16, value) for value in (0, 90, 255)]
    again = frames_of(np.concatenate(frames))
    assert [frame.shape for frame in again] == [(16, 16, 3)] * 3
    assert all(np.array_equal(a, b) for a, b in zip(frames, again, strict=True))


def test_a_film_goes_by_way_of_the_person_to_the_drawing() -> None:
    """Small frames are enlarged, a large portrait is reduced, and the last frame is the drawing."""
    data = encode_film([plain(32, 0), plain(32, 60)], plain(32, 120), plain(2 * FILM_SIDE, 240))
    with Image.open(BytesIO(data)) as film:
        assert film.size == (FILM_SIDE, FILM_SIDE)
        assert film.n_frames == 2 + 1 + FADE_FRAMES  # type: ignore[attr-defined]  # Pillow types the frame, not the file
        shades = []
        for index in (0, 1, 2, film.n_frames - 1):  # type: ignore[attr-defined]  # the same
            film.seek(index)
            shades.append(float(np.asarray(film.convert("RGB")).mean()))
    assert np.allclose(shades, (0, 60, 120, 240), atol=4)
