"""Results leave as files that hold the picture and nothing else."""

from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from nigaoe_faces.encoding import encode_animation, encode_jpeg, encode_png, encode_webp
from nigaoe_faces.images import read_photo

Picture = NDArray[np.uint8]


def fading(count: int) -> list[Picture]:
    """A square that grows brighter on a constant ground."""
    frames = []
    for index in range(count):
        frame = np.full((48, 64, 3), (40, 90, 160), np.uint8)
        frame[12:36, 20:44] = 255 * index // max(1, count - 1)
        frames.append(frame)
    return frames


def test_png_keeps_every_pixel(astronaut: Picture) -> None:
    """What is written as PNG is read back exactly."""
    assert np.array_equal(read_photo(encode_png(astronaut)), astronaut)


def test_lossless_webp_keeps_every_pixel(quarters: Picture) -> None:
    """WebP can be exact, too."""
    assert np.array_equal(read_photo(encode_webp(quarters, lossless=True)), quarters)


@pytest.mark.parametrize("encode", [encode_jpeg, encode_webp])
def test_lossy_files_look_the_same_and_are_smaller(astronaut: Picture, encode: object) -> None:
    """Nobody sees the difference, and everybody waits less."""
    data = encode(astronaut)  # type: ignore[operator]  # parametrised functions arrive as object
    assert np.abs(read_photo(data).astype(int) - astronaut).mean() < 3
    assert len(data) < len(encode_png(astronaut)) / 3


def test_jpeg_keeps_the_colour_of_thin_lines() -> None:
    """Drawn lines are one pixel wide and red; halved colour resolution would wash them out."""
    lines = np.full((64, 64, 3), 255, np.uint8)
    lines[:, ::8] = (220, 0, 0)
    line = read_photo(encode_jpeg(lines, quality=95))[:, ::8].astype(int)
    assert np.abs(line - (220, 0, 0)).mean() < 12


@pytest.mark.parametrize("encode", [encode_png, encode_jpeg, encode_webp])
def test_files_carry_no_metadata(quarters: Picture, encode: object) -> None:
    """No EXIF, no profile, no comment, no time."""
    with Image.open(BytesIO(encode(quarters))) as image:  # type: ignore[operator]  # the same
        assert not {"exif", "icc_profile", "xmp", "comment", "dpi", "XML:com.adobe.xmp"} & set(image.info)
        assert not image.getexif()
        assert getattr(image, "text", {}) == {}


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_only_rgb_bytes_are_pictures(wrong: Picture) -> None:
    """A float picture must be converted by a caller that knows its range."""
    with pytest.raises(ValueError, match="uint8 array"):
        encode_png(wrong)


@pytest.mark.parametrize("image_format", ["webp", "gif"])
def test_an_animation_plays_all_frames_forever(image_format: str) -> None:
    """Ten frames a second, the last one a second longer."""
    data = encode_animation(fading(8), 10, image_format, hold_s=1.0)  # type: ignore[arg-type]  # parametrised names arrive as str
    with Image.open(BytesIO(data)) as animation:
        assert animation.format == image_format.upper()
        assert animation.n_frames == 8  # type: ignore[attr-defined]  # Pillow types the frame, not the file
        assert animation.info["loop"] == 0
        durations = []
        for frame in ImageSequence.Iterator(animation):
            frame.load()
            durations.append(frame.info["duration"])
        assert durations == [100] * 7 + [1100]


@pytest.mark.parametrize("image_format", ["webp", "gif"])
def test_frames_look_like_what_went_in(image_format: str) -> None:
    """Also in GIF, with its 256 colours."""
    frames = fading(4)
    with Image.open(BytesIO(encode_animation(frames, 10, image_format))) as animation:  # type: ignore[arg-type]  # the same
        for frame, expected in zip(ImageSequence.Iterator(animation), frames, strict=True):
            assert np.abs(np.array(frame.convert("RGB")).astype(int) - expected).mean() < 4


def test_a_still_background_does_not_flicker_in_a_gif() -> None:
    """All frames share one palette."""
    with Image.open(BytesIO(encode_animation(fading(6), 10, "gif"))) as animation:
        grounds = [np.array(frame.convert("RGB"))[:8].copy() for frame in ImageSequence.Iterator(animation)]
    assert all(np.array_equal(ground, grounds[0]) for ground in grounds)


def test_odd_rates_do_not_drift() -> None:
    """Thirty frames at 24 a second last 1.25 seconds, though GIF counts hundredths."""
    with Image.open(BytesIO(encode_animation(fading(30), 24, "gif"))) as animation:
        total = 0
        for frame in ImageSequence.Iterator(animation):
            total += frame.info["duration"]
    assert total == 1250


def test_one_frame_is_an_animation() -> None:
    """A run that stopped at once has only one."""
    assert read_photo(encode_animation(fading(1), 10)).shape == (48, 64, 3)


@pytest.mark.parametrize("frames", [[], [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)]])
def test_frames_must_exist_and_agree(frames: list[Picture]) -> None:
    """No frames or frames of several sizes are a mistake of the caller."""
    with pytest.raises(ValueError, match="one size"):
        encode_animation(frames, 10)


@pytest.mark.parametrize("fps", [0, -1, 51])
def test_the_rate_must_be_playable(fps: float) -> None:
    """Browsers play at most fifty frames a second."""
    with pytest.raises(ValueError, match="fps"):
        encode_animation(fading(2), fps)
