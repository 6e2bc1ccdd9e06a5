"""Results say that a machine made them, to programs that know nothing of Nigaoe, and say nothing else."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from marks import source_of, told_by
from numpy.typing import NDArray
from PIL import Image

from nigaoe_faces.encoding import DigitalSource, encode_animation, encode_jpeg, encode_png
from nigaoe_faces.images import read_photo
from nigaoe_faces.result_encoder import COMPOSITE, FADE_FRAMES, FILM_SIDE, ResultEncoder, encode_film, frames_of

Picture = NDArray[np.uint8]

RESULTS = ResultEncoder()
FORMATS: dict[str, Callable[[Picture], bytes]] = {
    "png": RESULTS.png,
    "webp": lambda picture: RESULTS.webp(picture, 90),
    "jpeg": lambda picture: encode_jpeg(picture, source=DigitalSource.GENERATED),
    "animation": lambda picture: RESULTS.animation([picture, picture // 2], 10, hold_s=1.0),
    "film": lambda picture: RESULTS.film([picture[:32, :32]], picture[:32, :32], picture[:48, :48]),
}


@pytest.mark.parametrize("name", FORMATS)
def test_another_program_reads_the_mark(quarters: Picture, name: str) -> None:
    """Exiv2 finds IPTC's term in every kind of file, and nothing beside it but the program's name."""
    data = FORMATS[name](quarters)
    assert source_of(data) == "trainedAlgorithmicMedia"
    assert told_by(data) == {"Xmp.iptcExt.DigitalSourceType", "Xmp.xmp.CreatorTool"}


@pytest.mark.parametrize("encode", [RESULTS.png, lambda picture, source: RESULTS.webp(picture, 90, source)])
def test_a_photo_with_a_drawing_in_it_is_a_composite(
    quarters: Picture, encode: Callable[[Picture, DigitalSource], bytes]
) -> None:
    """Pasted back or side by side: a part of the picture is a camera's."""
    assert source_of(encode(quarters, COMPOSITE)) == "compositeWithTrainedAlgorithmicMedia"


def test_the_mark_changes_no_pixel(quarters: Picture) -> None:
    """A marked PNG is as exact as one without a mark, and less than a kilobyte larger."""
    marked, plain = RESULTS.png(quarters), encode_png(quarters)
    assert np.array_equal(read_photo(marked), quarters)
    assert 0 < len(marked) - len(plain) < 1024


def test_a_gif_tells_it_in_its_comment(quarters: Picture) -> None:
    """GIF has no place for XMP that programs agree on."""
    data = encode_animation([quarters, quarters // 2], 10, "gif", source=DigitalSource.GENERATED)
    assert DigitalSource.GENERATED.address.encode() in data


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
