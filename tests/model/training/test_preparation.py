"""Packing pictures: interruption, duplicates, detection as in serving."""

import shutil
import tarfile
import tracemalloc
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nigaoe_core.errors import DatasetError
from nigaoe_faces.align import DEMO
from nigaoe_model.training import preparation
from nigaoe_model.training.dataset import IMAGES, PackedDataset
from nigaoe_model.training.framing import AsIsFraming, DetectedFraming, Unusable
from nigaoe_model.training.preparation import DuplicateFilter, PictureSource, prepare_dataset
from nigaoe_model.training.sources import read_source


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A tar of thirty noisy pictures of 20 px."""
    random = np.random.default_rng(0)
    with tarfile.open(tmp_path / "pictures.tar", "w") as tar:
        for number in range(30):
            file = BytesIO()
            Image.fromarray(random.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(file, "PNG")
            info = tarfile.TarInfo(f"{number:02}.png")
            info.size = len(file.getvalue())
            tar.addfile(info, BytesIO(file.getvalue()))
    return tmp_path / "pictures.tar"


def prepare(archive: Path, folder: Path, **choices: object) -> PackedDataset:
    source = PictureSource(archive, AsIsFraming(16), **choices)  # type: ignore[arg-type]  # start and stop
    prepare_dataset([source], folder, resolution=16, alignment=DEMO, duplicate_distance=-1)
    return PackedDataset(folder)


def test_an_interrupted_preparation_ends_as_a_whole_one(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after the second window and with half a line in the journal: the same bytes come out."""
    monkeypatch.setattr(preparation, "WINDOW", 8)
    whole = prepare(archive, tmp_path / "whole")

    class Stopped(Exception):
        pass

    def stop(progress: preparation.Preparation) -> None:
        if progress.kept == 16:
            raise Stopped

    source = PictureSource(archive, AsIsFraming(16))
    with pytest.raises(Stopped):
        prepare_dataset([source], tmp_path / "cut", resolution=16, alignment=DEMO, duplicate_distance=-1, report=stop)
    with (tmp_path / "cut" / IMAGES).open("ab") as pixels:
        pixels.write(b"half a picture")
    with (tmp_path / "cut" / "items.jsonl").open("a") as journal:
        journal.write('{"source": "pict')
    cut = prepare(archive, tmp_path / "cut")
    assert len(cut) == 30
    assert cut.card.sha256 == whole.card.sha256
    assert (tmp_path / "cut" / "items.jsonl").read_text() == (tmp_path / "whole" / "items.jsonl").read_text()


@pytest.mark.slow
def test_workers_give_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    """Two processes keep the order of one."""
    alone = prepare(archive, tmp_path / "alone")
    source = PictureSource(archive, AsIsFraming(16))
    card = prepare_dataset([source], tmp_path / "two", resolution=16, alignment=DEMO, duplicate_distance=-1, workers=2)
    assert card.sha256 == alone.card.sha256


def test_a_slice_keeps_the_last_pictures_out(archive: Path, tmp_path: Path) -> None:
    """`:-5` and `-5:` part the source without overlap."""
    training, held_out = prepare(archive, tmp_path / "a", stop=-5), prepare(archive, tmp_path / "b", start=-5)
    assert (len(training), len(held_out)) == (25, 5)
    everything = prepare(archive, tmp_path / "c")
    assert np.array_equal(everything.pixels[:25], training.pixels)
    assert np.array_equal(everything.pixels[25:], held_out.pixels)


@pytest.mark.parametrize("kind", ["folder", "tar", "zip"])
@pytest.mark.parametrize(
    ("part", "names"),
    [(slice(None, -4), "0 1 2 3 4 5"), (slice(-3, None), "7 8 9"), (slice(20), "0 1 2 3 4 5 6 7 8 9")],
)
def test_a_slice_of_a_large_source_fits_into_memory(tmp_path: Path, kind: str, part: slice, names: str) -> None:
    """Ten files of a megabyte, counted from the front or from the end: one of them is in memory at a time."""
    folder = tmp_path / "large"
    folder.mkdir()
    for number in range(10):
        (folder / f"{number}.png").write_bytes(bytes(2**20))
    source = folder
    if kind != "folder":
        source = Path(shutil.make_archive(str(tmp_path / "large"), kind, folder))
    tracemalloc.start()
    try:
        found = [Path(file.name).stem for file in read_source(source, part)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert " ".join(found) == names
    assert peak < 4 * 2**20


def test_a_truncated_data_set_is_refused(archive: Path, tmp_path: Path) -> None:
    """A missing byte is noticed when the set is opened."""
    prepare(archive, tmp_path / "short")
    content = (tmp_path / "short" / IMAGES).read_bytes()
    (tmp_path / "short" / IMAGES).write_bytes(content[:-1])
    with pytest.raises(DatasetError, match="truncated"):
        PackedDataset(tmp_path / "short")


def test_near_fingerprints_are_duplicates() -> None:
    """Three differing bits of 64 are one picture at distance 4, five are two."""
    known = DuplicateFilter(4)
    known.add(0xF0F0)
    assert known.knows(0xF0F0 ^ 0b111)
    assert not known.knows(0xF0F0 ^ 0b11111)
    assert not DuplicateFilter(-1).knows(0xF0F0)


@pytest.mark.slow
def test_photos_are_framed_as_in_service(sample_photo: Path) -> None:
    """The largest face comes out aligned; an empty wall and a profile limit of zero degrees leave pictures out."""
    from nigaoe_faces.align import align_face
    from nigaoe_faces.detect import FaceDetector, largest_face
    from nigaoe_faces.images import read_photo

    photo = read_photo(sample_photo.read_bytes())
    crop = DetectedFraming(32, DEMO)(photo)
    expected, _ = align_face(photo, largest_face(FaceDetector().detect(photo)).landmarks, DEMO, 32)
    assert np.array_equal(crop, expected)
    with pytest.raises(Unusable, match="no_face"):
        DetectedFraming(32, DEMO)(np.full((200, 200, 3), 128, np.uint8))
    with pytest.raises(Unusable, match="profile"):
        DetectedFraming(32, DEMO, max_yaw=0.0)(photo)
    with pytest.raises(Unusable, match="too_small"):
        DetectedFraming(1024, DEMO)(photo)
