"""Whatever is uploaded becomes upright sRGB pixels, or an error that says what is wrong."""

import struct
import threading
import warnings
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from nigaoe_core.errors import BrokenImage, EmptyImage, ImageTooLarge, ImageTooSmall, UnsupportedFormat
from nigaoe_faces.images import ImageLimits, read_photo

Picture = NDArray[np.uint8]
Encode = Callable[..., bytes]

FORMATS = ["JPEG", "PNG", "WEBP", "AVIF", "HEIC"]
SHARP = {"JPEG": {"quality": 95}, "PNG": {}, "WEBP": {"quality": 95}, "AVIF": {"quality": 95}, "HEIC": {"quality": 95}}
ORIENTATION = 0x0112


def assert_alike(actual: Picture, expected: Picture, tolerance: float = 3.0) -> None:
    assert actual.dtype == np.uint8
    assert actual.shape == expected.shape
    assert np.abs(actual.astype(float) - expected).mean() < tolerance


def png(width: int, height: int, bits: int, colour_type: int, rows: bytes) -> bytes:
    """Write a PNG that Pillow itself cannot write."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


# Formats and modes


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_picture(quarters: Picture, encode: Encode, name: str) -> None:
    """Phones, cameras and browsers write five formats."""
    assert_alike(read_photo(encode(Image.fromarray(quarters), name, **SHARP[name])), quarters)


def test_reading_heic_leaves_pillow_as_it_was(quarters: Picture, encode: Encode) -> None:
    """Other code in the process must not suddenly open HEIC files."""
    read_photo(encode(Image.fromarray(quarters), "HEIC"))
    assert "HEIF" not in Image.OPEN


# What a camera held like this stores: the inverse of what a viewer does.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def exif_orientation(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif.tobytes()


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("name", FORMATS)
def test_a_turned_photo_stands_upright(quarters: Picture, encode: Encode, name: str, orientation: int) -> None:
    """Phones store pixels as the sensor lies and note the direction beside them."""
    stored = Image.fromarray(quarters).transpose(STORED[orientation])
    data = encode(stored, name, exif=exif_orientation(orientation), **SHARP[name])
    assert_alike(read_photo(data), quarters)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", exif_orientation(99), exif_orientation(6)[:20]]
)
def test_damaged_metadata_do_not_spoil_a_photo(quarters: Picture, encode: Encode, exif: bytes) -> None:
    """Its direction is lost then, the picture is not."""
    assert_alike(read_photo(encode(Image.fromarray(quarters), "JPEG", exif=exif, **SHARP["JPEG"])), quarters)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "AVIF", "HEIC"])
def test_a_colour_profile_is_converted(quarters: Picture, encode: Encode, name: str) -> None:
    """A profile whose red and green are exchanged turns red into green, as any viewer shows it."""
    photo = read_photo(encode(Image.fromarray(quarters), name, icc_profile=red_green_profile(), **SHARP[name]))
    red, green = photo[12, 16], photo[12, 48]
    assert red[1] > 180 > 80 > red[0]
    assert green[0] > 180 > 80 > green[1]


def red_green_profile() -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    renamed = profile.replace("sRGB".encode("utf-16-be"), "oddR".encode("utf-16-be"))
    return renamed.replace(b"rXYZ", b"?XYZ").replace(b"gXYZ", b"rXYZ").replace(b"?XYZ", b"gXYZ")


@pytest.mark.parametrize("profile", [b"noise" * 100, b"\0" * 200, b"x"])
def test_a_damaged_profile_is_ignored(quarters: Picture, encode: Encode, profile: bytes) -> None:
    """So do viewers."""
    data = encode(Image.fromarray(quarters), "JPEG", icc_profile=profile, **SHARP["JPEG"])
    assert_alike(read_photo(data), quarters)


def test_a_profile_of_another_mode_is_ignored(quarters: Picture, encode: Encode) -> None:
    """A grey scan with an RGB profile is common."""
    grey = Image.fromarray(quarters).convert("L")
    assert_alike(read_photo(encode(grey, "PNG", icc_profile=red_green_profile())), np.array(grey.convert("RGB")))


def test_the_srgb_profile_changes_nothing(quarters: Picture, encode: Encode) -> None:
    """Most photos carry it."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(read_photo(encode(Image.fromarray(quarters), "PNG", icc_profile=profile)), quarters)


def test_a_print_shop_jpeg_has_its_colours(quarters: Picture, encode: Encode) -> None:
    """CMYK comes from print shops; its values are stored inverted."""
    printed = Image.fromarray(quarters).convert("CMYK")
    assert_alike(read_photo(encode(printed, "JPEG", quality=95)), quarters)


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_grey_and_palette_pictures_become_rgb(quarters: Picture, encode: Encode, mode: str) -> None:
    """Scans and old files; the result always has three channels."""
    picture = Image.fromarray(quarters).convert(mode)
    assert_alike(read_photo(encode(picture, "PNG")), np.array(picture.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_stands_on_white(encode: Encode, mode: str) -> None:
    """A cut-out portrait must not get a black surrounding."""
    picture = Image.new(mode, (40, 40))
    assert (read_photo(encode(picture, "PNG")) == 255).all()


def test_half_transparent_pixels_mix_with_white(encode: Encode) -> None:
    """Soft edges of cut-outs stay soft."""
    assert_alike(
        read_photo(encode(Image.new("RGBA", (40, 40), (200, 0, 0, 128)), "PNG")),
        np.full((40, 40, 3), [227, 127, 127]),
        1,
    )


@pytest.mark.parametrize("options", [{"transparency": 0}, {"transparency": bytes([0, 255])}])
def test_transparent_palette_entries_stand_on_white(encode: Encode, options: dict[str, object]) -> None:
    """Palettes mark single entries as transparent, in two ways."""
    picture = Image.new("P", (40, 40), 0)
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.paste(1, (0, 0, 20, 40))
    photo = read_photo(encode(picture, "PNG", **options))
    assert photo[0, 0].tolist() == [200, 100, 50]
    assert photo[0, 39].tolist() == [255, 255, 255]


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    """A ramp from black to white stays a ramp; Pillow's own conversion makes nearly all of it white."""
    ramp = np.linspace(0, 65535, 256).astype(">u2")
    rows = b"".join(b"\0" + ramp.tobytes() for _ in range(40))
    photo = read_photo(png(256, 40, 16, 0, rows))
    assert np.abs(photo[0, :, 0].astype(int) - np.arange(256)).max() <= 1


def test_sixteen_bit_colour_keeps_its_colour() -> None:
    """Sixteen bits a channel are cut to eight."""
    pixel = struct.pack(">HHH", 0xFFFF, 0x8000, 0x0000)
    photo = read_photo(png(40, 40, 16, 2, b"".join(b"\0" + pixel * 40 for _ in range(40))))
    assert photo[20, 20].tolist() == [255, 128, 0]


@pytest.mark.parametrize("name", ["WEBP", "PNG", "AVIF"])
def test_of_a_moving_picture_the_first_frame_is_the_photo(encode: Encode, name: str) -> None:
    """People upload stickers and live photos."""
    first, *rest = (Image.new("RGB", (40, 40), colour) for colour in ("red", "lime", "blue"))
    photo = read_photo(encode(first, name, save_all=True, append_images=rest, duration=100))
    assert_alike(photo, np.full((40, 40, 3), [255, 0, 0]))


def test_of_a_multi_picture_jpeg_the_first_picture_is_the_photo(quarters: Picture, encode: Encode) -> None:
    """Phones append depth maps and previews to a JPEG."""
    picture = Image.fromarray(quarters)
    data = encode(picture, "MPO", save_all=True, append_images=[Image.new("RGB", picture.size)], quality=95)
    assert_alike(read_photo(data), quarters)


def test_a_progressive_jpeg_is_read(quarters: Picture, encode: Encode) -> None:
    """The guard against endless scans lets ordinary ones pass."""
    assert_alike(read_photo(encode(Image.fromarray(quarters), "JPEG", progressive=True, quality=95)), quarters)


# Bad input: each kind has its own error


def test_an_empty_file_is_refused() -> None:
    """A failed upload sends nothing."""
    with pytest.raises(EmptyImage, match="empty"):
        read_photo(b"")


@pytest.mark.parametrize("name", ["GIF", "BMP", "TIFF"])
def test_pictures_of_other_formats_are_refused(encode: Encode, name: str) -> None:
    """The message names the formats that work."""
    with pytest.raises(UnsupportedFormat, match="JPEG, PNG, WebP, AVIF, HEIC"):
        read_photo(encode(Image.new("RGB", (40, 40)), name))


def test_a_text_file_called_jpg_is_refused() -> None:
    """The name is never looked at."""
    with pytest.raises(UnsupportedFormat):
        read_photo(b"dear diary, this is no picture\n" * 100)


@pytest.mark.parametrize("name", FORMATS)
def test_one_pixel_is_too_small(encode: Encode, name: str) -> None:
    """A tracking pixel holds no face."""
    with pytest.raises(ImageTooSmall, match="1 x 1"):
        read_photo(encode(Image.new("RGB", (1, 1)), name))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kept", [0.2, 0.6, 0.9])
def test_a_truncated_file_is_broken(astronaut: Picture, encode: Encode, name: str, kept: float) -> None:
    """An interrupted upload ends in a sentence, not half a face."""
    data = encode(Image.fromarray(astronaut).reduce(4), name)
    with pytest.raises(BrokenImage, match="truncated or damaged"):
        read_photo(data[: int(len(data) * kept)])


def test_too_many_bytes_are_refused_unread(astronaut_file: bytes) -> None:
    """The limit holds before anything is parsed."""
    with pytest.raises(ImageTooLarge, match="MiB"):
        read_photo(astronaut_file, ImageLimits(max_bytes=1000))


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    """200 megapixels in 25 kB: the data behind the header are damaged, and nobody ever gets to see that."""
    bomb = png(20_000, 10_000, 1, 0, b"no pixels at all")
    with pytest.raises(ImageTooLarge, match="20000 x 10000"):
        read_photo(bomb)


def test_a_jpeg_bomb_is_refused_before_it_is_decoded(encode: Encode) -> None:
    """A JPEG's header can lie as well."""
    data = encode(Image.new("RGB", (40, 40)), "JPEG")
    frame = data.index(b"\xff\xc0")
    lie = data[: frame + 5] + struct.pack(">HH", 10_000, 20_000) + data[frame + 9 :]
    with pytest.raises(ImageTooLarge, match="20000 x 10000"):
        read_photo(lie)


@pytest.mark.parametrize("name", ["AVIF", "HEIC"])
def test_a_box_that_lies_about_its_size_is_refused(encode: Encode, name: str) -> None:
    """Containers name the size apart from the data; either check may notice."""
    data = encode(Image.new("RGB", (64, 64)), name)
    size = data.index(b"ispe") + 8
    with pytest.raises((ImageTooLarge, BrokenImage)):
        read_photo(data[:size] + struct.pack(">II", 20_000, 10_000) + data[size + 8 :])


def test_a_picture_as_long_as_a_road_is_refused(encode: Encode) -> None:
    """Few pixels, but a side that no screen has."""
    with pytest.raises(ImageTooLarge, match="12001 x 40"):
        read_photo(encode(Image.new("L", (12_001, 40)), "PNG"))


def test_a_jpeg_of_endless_scans_is_refused(encode: Encode) -> None:
    """Each scan costs as much time as a whole picture, and seventy-five bytes."""
    data = encode(Image.new("RGB", (64, 64)), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    with pytest.raises(ImageTooLarge, match="scans"):
        read_photo(data[:-2] + last * 100 + data[-2:])


def test_a_picture_that_is_an_archive_as_well_gives_its_pixels_only(quarters: Picture, encode: Encode) -> None:
    """A polyglot is read as what it begins with; whatever else it holds stays behind."""
    data = BytesIO(encode(Image.fromarray(quarters), "PNG"))
    with zipfile.ZipFile(data, "a") as archive:
        archive.writestr("payload.html", "<script>alert(1)</script>")
    assert zipfile.is_zipfile(data)
    assert np.array_equal(read_photo(data.getvalue()), quarters)


def test_a_document_with_a_picture_behind_it_is_refused(encode: Encode) -> None:
    """What counts is how a file begins."""
    with pytest.raises(UnsupportedFormat):
        read_photo(b"%PDF-1.7\n" + encode(Image.new("RGB", (40, 40)), "JPEG"))


# Large photos and many threads


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_huge_photo_is_read_at_a_fraction_of_its_sides(
    astronaut: Picture, encode: Encode, name: str, orientation: int
) -> None:
    """JPEG decodes to a fraction at once; the others are reduced afterwards. The picture is the same."""
    exif = exif_orientation(orientation)
    data = encode(Image.fromarray(astronaut[:384]), name, exif=exif, **SHARP[name])
    whole = read_photo(data)
    reduced = read_photo(data, ImageLimits(full_pixels=20_000))
    assert_alike(reduced, np.array(Image.fromarray(whole).reduce(4)), 4.0)


def test_threads_read_side_by_side_and_leave_the_warning_filters_alone(
    quarters: Picture, encode: Encode, capfd: pytest.CaptureFixture[str]
) -> None:
    """The service reads uploads from many threads, damaged ones among them, and its log stays clean."""
    before = list(warnings.filters)
    good = encode(Image.fromarray(quarters), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff", quality=95)
    uploads = [good, encode(Image.fromarray(quarters), "HEIC", quality=95), good[: len(good) // 2]] * 20
    start = threading.Barrier(4)

    def work(part: int) -> list[bool]:
        start.wait(timeout=60)
        return [is_readable(data) for data in uploads[part::4]]

    with ThreadPoolExecutor(4) as pool:
        answers = [answer for part in pool.map(work, range(4)) for answer in part]
    assert answers.count(True) == 40
    assert list(warnings.filters) == before
    assert capfd.readouterr().err == ""


def is_readable(data: bytes) -> bool:
    try:
        read_photo(data)
    except BrokenImage:
        return False
    return True
