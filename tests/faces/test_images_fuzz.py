"""Damaged bytes of every format give pixels or an error of the tree, and nothing else."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from nigaoe_core.errors import ImageError
from nigaoe_faces.images import ImageLimits, read_photo

Wound = tuple[str, int, bytes]

FORMATS = ["JPEG", "PNG", "WEBP", "AVIF", "HEIC"]
LIMITS = ImageLimits(max_pixels=1_000_000, min_side=1)

# Thousandths of the file's length.
fraction = st.integers(0, 1000)

damage = st.lists(
    st.one_of(
        st.tuples(st.just("set"), fraction, st.binary(min_size=1, max_size=8)),
        st.tuples(st.just("insert"), fraction, st.binary(min_size=1, max_size=64)),
        st.tuples(st.just("drop"), fraction, st.binary(min_size=1, max_size=64)),
        st.tuples(st.just("cut"), fraction, st.just(b"")),
    ),
    min_size=1,
    max_size=6,
)


def damaged(data: bytes, wounds: list[Wound]) -> bytes:
    for kind, where, content in wounds:
        at = where * len(data) // 1000
        match kind:
            case "set":
                data = data[:at] + content + data[at + len(content) :]
            case "insert":
                data = data[:at] + content + data[at:]
            case "drop":
                data = data[:at] + data[at + len(content) :]
            case _:
                data = data[:at]
    return data


@pytest.fixture(scope="module")
def originals(encode: Callable[..., bytes]) -> dict[str, bytes]:
    """A small picture in every format, with metadata for the damage to hit."""
    ramp = np.linspace(0, 255, 40 * 56 * 3).reshape(40, 56, 3).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    return {name: encode(Image.fromarray(ramp), name, exif=exif.tobytes()) for name in FORMATS}


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=150)
@given(wounds=damage)
@example(wounds=[("cut", 500, b"")])
def test_damage_gives_pixels_or_an_image_error(
    originals: dict[str, bytes],
    name: str,
    wounds: list[Wound],
) -> None:
    """Whatever the network did to an upload."""
    try:
        photo = read_photo(damaged(originals[name], wounds), LIMITS)
    except ImageError as error:
        assert error.message  # noqa: PT017 - either outcome is right; this one must explain itself.
    else:
        assert photo.dtype == np.uint8
        assert photo.ndim == 3
        assert photo.shape[2] == 3


@given(st.binary(max_size=256))
def test_noise_is_refused(noise: bytes) -> None:
    """Random bytes are no picture."""
    with pytest.raises(ImageError):
        read_photo(noise, LIMITS)
