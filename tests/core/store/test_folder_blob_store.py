"""What only a folder can get wrong: full disks, crashes, other people's eyes."""

import os
import resource
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from nigaoe_core.atomic_write import PART
from nigaoe_core.errors import BlobStoreUnavailable, StorageFull
from nigaoe_core.store.blob_store import RESULT_PNG, folder_of, new_folder
from nigaoe_core.store.folder_blob_store import FolderBlobStore
from nigaoe_core.store.signed_links import LinkSigner


@pytest.fixture
def blobs(tmp_path: Path, signer: LinkSigner) -> FolderBlobStore:
    return FolderBlobStore(tmp_path / "deep" / "blobs", signer)


def key() -> str:
    return f"{new_folder('public')}/{RESULT_PNG}"


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """The kernel refuses to write more, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_has_a_name_and_leaves_nothing(blobs: FolderBlobStore) -> None:
    """A blob that does not fit is not there at all, and what was there before stays."""
    place = key()
    blobs.put(place, b"old")
    with file_size_limit(1000), pytest.raises(StorageFull):
        blobs.put(place, b"x" * 5000)
    assert blobs.get(place) == b"old"
    assert [blob.key for blob in blobs.list_blobs()] == [place]


def test_only_the_owner_can_read(blobs: FolderBlobStore) -> None:
    """Faces are nobody else's business, whatever the umask."""
    place = key()
    before = os.umask(0)
    try:
        blobs.put(place, b"picture")
    finally:
        os.umask(before)
    path = blobs.root / place
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for folder in (path.parent, path.parent.parent, blobs.root):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_readers_see_the_old_or_the_new(blobs: FolderBlobStore) -> None:
    """While a blob is replaced again and again, every reader gets a whole one."""
    place, is_over = key(), threading.Event()
    blobs.put(place, b"0" * 100_000)
    seen: list[bytes] = []

    def read() -> None:
        while not is_over.is_set():
            data = blobs.get(place)
            seen.append(data[:1] if len(set(data)) == 1 and len(data) == 100_000 else b"torn")

    reader = threading.Thread(target=read)
    reader.start()
    for digit in b"123456789" * 5:
        blobs.put(place, bytes([digit]) * 100_000)
    is_over.set()
    reader.join()
    assert seen
    assert b"torn" not in seen


def test_a_leftover_of_a_crash_goes_with_its_job(blobs: FolderBlobStore) -> None:
    """Half a file that a killed process left is listed, so a sweep finds it, and is erased with the folder."""
    place = key()
    blobs.put(place, b"picture")
    half = blobs.root / f"{place}.01234567{PART}"
    half.write_bytes(b"pic")
    assert len(list(blobs.list_blobs())) == 2
    assert blobs.delete_folder(folder_of(place)) == 2


def test_neighbours_do_not_disturb_each_other(blobs: FolderBlobStore) -> None:
    """Empty parents are removed under the hands of those who store other jobs there; they just make them again."""

    def come_and_go(_: int) -> int:
        folder = new_folder("public")
        blobs.put(f"{folder}/{RESULT_PNG}", b"picture")
        return blobs.delete_folder(folder)

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(come_and_go, range(200))) == {1}
    assert list(blobs.root.iterdir()) == []


def test_two_erasers_of_one_job_both_succeed(blobs: FolderBlobStore) -> None:
    """The later one finds nothing left to do."""
    for _ in range(20):
        folder = new_folder("public")
        for number in range(5):
            blobs.put(f"{folder}/{number}.png", b"picture")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(blobs.delete_folder, [folder] * 4))
        assert not (blobs.root / folder).exists()


def test_foreign_files_are_left_alone(blobs: FolderBlobStore) -> None:
    """What is not ours is neither listed nor in the way."""
    blobs.put(key(), b"picture")
    (blobs.root / "README").write_text("keep me")
    (blobs.root / "a" / "b" / "c").mkdir(parents=True)
    (blobs.root / "a" / "b" / "c" / "d").write_text("me too")
    assert len(list(blobs.list_blobs())) == 1


def test_a_folder_that_cannot_be_used_has_a_name(tmp_path: Path, signer: LinkSigner) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "blobs").write_text("not a folder")
    blobs = FolderBlobStore(tmp_path / "blobs", signer)
    with pytest.raises(BlobStoreUnavailable):
        blobs.check()
    with suppress(BlobStoreUnavailable):
        assert list(blobs.list_blobs()) == []
