"""Blobs as files below one folder: whole or not at all, durable, and nothing outside the folder can be named."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from typing_extensions import override

from nigaoe_core.atomic_write import atomic_write, sync_folder
from nigaoe_core.errors import BlobStoreUnavailable, StorageFull, UnknownBlob
from nigaoe_core.store.blob_store import BlobInfo, BlobStore, checked_folder, checked_key, is_key, new_folder
from nigaoe_core.store.signed_links import LinkSigner

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_TRIES: Final = 20


class FolderBlobStore(BlobStore):
    """`BlobStore` in a folder that only its owner can read.

    Args:
        root: The folder; it is made when it is needed.
        signer: Makes the links.
    """

    def __init__(self, root: Path, signer: LinkSigner) -> None:
        self.root = root
        self._signer = signer

    @override
    def put(self, key: str, data: bytes) -> None:
        path = self.root / checked_key(key)
        with _clear_errors():
            # An erasure may remove the empty folder between its making and its use.
            _again_after({errno.ENOENT}, lambda: self._put(path, data))

    def _put(self, path: Path, data: bytes) -> None:
        self._make_folder(path.parent)
        # What a crash leaves beside it is erased with its job, or found as an orphan.
        atomic_write(path, data, mode=0o600)

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        if folder != self.root:
            self._make_folder(folder.parent)
        folder.mkdir(mode=0o700, parents=folder == self.root, exist_ok=True)
        sync_folder(folder.parent)

    @override
    def get(self, key: str) -> bytes:
        with _clear_errors(), _known():
            return (self.root / checked_key(key)).read_bytes()

    @override
    def exists(self, key: str) -> bool:
        with _clear_errors():
            return (self.root / checked_key(key)).is_file()

    @override
    def delete(self, key: str) -> None:
        path = self.root / checked_key(key)
        with _clear_errors():
            path.unlink(missing_ok=True)
            self._prune(path.parent)

    @override
    def delete_folder(self, folder: str) -> int:
        path = self.root / checked_folder(folder)
        with _clear_errors():
            count = len(_names_in(path))
            # A writer may add a file while the folder is being emptied, another eraser take one away.
            _again_after({errno.ENOTEMPTY, errno.ENOENT}, lambda: shutil.rmtree(path) if path.exists() else None)
            self._prune(path.parent)
        return count

    def _prune(self, folder: Path) -> None:
        while folder != self.root:
            try:
                folder.rmdir()
            except OSError:
                # Not empty, or gone already.
                return
            folder = folder.parent

    @override
    def list_blobs(self) -> Iterator[BlobInfo]:
        with _clear_errors():
            for path in self.root.glob("*/*/*/*"):
                key = path.relative_to(self.root).as_posix()
                # What vanishes while we look was erased by someone else.
                with suppress(FileNotFoundError):
                    if is_key(key):
                        state = path.stat()
                        yield BlobInfo(key, state.st_size, state.st_mtime)

    @override
    def link(self, key: str, *, seconds: float, download_name: str | None = None) -> str:
        return self._signer.sign(checked_key(key), seconds=seconds, download_name=download_name)

    @override
    def check(self) -> None:
        key = new_folder("probe") + "/probe"
        self.put(key, b"nigaoe")
        try:
            if self.get(key) != b"nigaoe":
                raise BlobStoreUnavailable("The picture folder gives back something else than was stored.")
        finally:
            self.delete(key)


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names are enough.
    except FileNotFoundError:
        return []


def _again_after(numbers: AbstractSet[int], action: Callable[[], object]) -> None:
    """Repeat what a neighbour got in the way of."""
    for tries_left in reversed(range(_TRIES)):
        try:
            action()
        except OSError as error:
            if error.errno not in numbers or not tries_left:
                raise
        else:
            return


@contextmanager
def _known() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise UnknownBlob("This picture does not exist, or its time is over.") from error


@contextmanager
def _clear_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull("The disk for pictures is full: ask the operator to make room.") from error
        raise BlobStoreUnavailable(f"The picture folder cannot be used ({error.strerror}).") from error
