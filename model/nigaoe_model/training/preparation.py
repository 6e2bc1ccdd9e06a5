"""Pack pictures into a data set: read, frame, leave out what is no use, write down where each came from.

Work goes window by window; after each one the journal and the pixels are on disk, so that an interrupted preparation
goes on where it stopped.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from nigaoe_core.errors import DatasetError
from nigaoe_faces.align import AlignmentTemplate
from nigaoe_model.training.dataset import CARD, IMAGES, ITEMS, DatasetCard, file_digest, write_card
from nigaoe_model.training.framing import Crop, Framed, frame_picture
from nigaoe_model.training.sources import SourceFile, read_source

WINDOW = 256


@dataclass(frozen=True, slots=True)
class PictureSource:
    """A folder or archive and how its pictures become crops.

    Attributes:
        path: Folder, tar or zip.
        framing: Photo # [H, W, 3] to crop # [R, R, 3]; must be picklable.
        start: First of the sorted pictures to take, as in a slice.
        stop: End of them, as in a slice.
    """

    path: Path
    framing: Callable[[Crop], Crop]
    start: int | None = None
    stop: int | None = None


@dataclass(slots=True)
class Preparation:
    """What has been done so far.

    Attributes:
        kept: Pictures in the data set.
        done: Source to number of pictures read.
        dropped: Reason to number of pictures.
    """

    kept: int = 0
    done: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)


class DuplicateFilter:
    """Remembers fingerprints and recognises near ones.

    Args:
        distance: Most differing bits of 64 at which two pictures count as one; negative: never.
    """

    def __init__(self, distance: int) -> None:
        self.distance = distance
        self._known: NDArray[np.uint64] = np.zeros(1024, np.uint64)
        self._count = 0

    def add(self, fingerprint: int) -> None:
        """Remember a fingerprint."""
        if self._count == len(self._known):
            self._known = np.concatenate([self._known, np.zeros_like(self._known)])
        self._known[self._count] = fingerprint
        self._count += 1

    def knows(self, fingerprint: int) -> bool:
        """Whether a picture like this one was added before."""
        if self.distance < 0 or not self._count:
            return False
        differing = np.bitwise_count(self._known[: self._count] ^ np.uint64(fingerprint))
        return bool((differing <= self.distance).any())


class Packer:
    """Writes pixels and journal of one data set.

    Args:
        folder: Target.
        resolution: Side of the crops.
        duplicate_distance: See :class:`DuplicateFilter`.

    Raises:
        DatasetError: The folder already holds a finished data set.
    """

    def __init__(self, folder: Path, resolution: int, duplicate_distance: int) -> None:
        if (folder / CARD).exists():
            raise DatasetError(f"`{folder}` is a finished data set already; choose another folder or delete it.")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.size = folder, 3 * resolution * resolution
        self.progress = Preparation()
        self._duplicates = DuplicateFilter(duplicate_distance)
        self._restore()

    def append(self, window: list[tuple[SourceFile, Framed]]) -> None:
        """Add one window of outcomes; pixels reach the disk before the journal speaks of them."""
        lines, pixels = [], bytearray()
        for file, framed in window:
            reason = framed.reason or ("duplicate" if self._duplicates.knows(framed.fingerprint) else "")
            if not reason:
                pixels += framed.pixels
            lines.append(self._note(file.source, file.name, reason, framed.fingerprint))
        _append(self.folder / IMAGES, bytes(pixels))
        _append(self.folder / ITEMS, "".join(lines).encode())

    def _note(self, source: str, name: str, reason: str, fingerprint: int) -> str:
        self.progress.done[source] += 1
        line: dict[str, str] = {"source": source, "name": name}
        if reason:
            self.progress.dropped[reason] += 1
            return json.dumps(line | {"dropped": reason}) + "\n"
        self.progress.kept += 1
        self._duplicates.add(fingerprint)
        return json.dumps(line | {"phash": f"{fingerprint:016x}"}) + "\n"

    def _restore(self) -> None:
        """Take up an interrupted preparation: whole journal lines count, surplus pixels are cut off."""
        journal = self.folder / ITEMS
        content = journal.read_bytes() if journal.is_file() else b""
        whole = content[: content.rfind(b"\n") + 1]
        for text in whole.splitlines():
            line = json.loads(text)
            self._note(line["source"], line["name"], line.get("dropped", ""), int(line.get("phash", "0"), 16))
        if content:
            os.truncate(journal, len(whole))
        if (self.folder / IMAGES).is_file():
            os.truncate(self.folder / IMAGES, self.progress.kept * self.size)


def prepare_dataset(
    sources: list[PictureSource],
    folder: Path,
    *,
    resolution: int,
    alignment: AlignmentTemplate | None,
    duplicate_distance: int = 4,
    workers: int = 1,
    settings: dict[str, str] | None = None,
    report: Callable[[Preparation], None] | None = None,
) -> DatasetCard:
    """Read all sources and write a packed data set; an interrupted one is finished.

    Args:
        sources: Their names must differ.
        folder: Target.
        resolution: Side of the crops.
        alignment: Framing that the crops have; None when unknown.
        duplicate_distance: See :class:`DuplicateFilter`.
        workers: Processes that read and frame; 1 works in this one.
        settings: What to write down about the preparation.
        report: Called after each window.

    Raises:
        DatasetError: A source is missing or damaged, the target is finished already, or nothing is left.
    """
    if len({source.path.name for source in sources}) < len(sources):
        raise DatasetError("Two sources have the same name; rename one, so that pictures can be told apart.")
    packer = Packer(folder, resolution, duplicate_distance)
    with _pool(workers) as pool:
        for source in sources:
            for window in _windows(source, packer.progress.done[source.path.name]):
                packer.append(list(zip(window, _frame(window, source.framing, pool), strict=True)))
                if report is not None:
                    report(packer.progress)
    return _finish(packer, resolution, alignment, settings or {})


def _finish(
    packer: Packer, resolution: int, alignment: AlignmentTemplate | None, settings: dict[str, str]
) -> DatasetCard:
    progress = packer.progress
    if not progress.kept:
        reasons = ", ".join(f"{n} {reason}" for reason, n in progress.dropped.items()) or "no pictures found"
        raise DatasetError(f"Nothing is left for the data set: {reasons}.")
    card = DatasetCard(
        name=packer.folder.name,
        resolution=resolution,
        count=progress.kept,
        alignment=alignment,
        sources=dict(progress.done),
        dropped=dict(progress.dropped),
        settings=settings,
        sha256=file_digest(packer.folder / IMAGES),
    )
    write_card(packer.folder, card)
    return card


def _windows(source: PictureSource, done: int) -> Iterator[list[SourceFile]]:
    files = islice(read_source(source.path, slice(source.start, source.stop)), done, None)
    while window := list(islice(files, WINDOW)):
        yield window


def _frame(window: list[SourceFile], framing: Callable[[Crop], Crop], pool: Executor | None) -> list[Framed]:
    data = [file.data for file in window]
    if pool is None:
        return [frame_picture(d, framing) for d in data]
    return list(pool.map(frame_picture, data, [framing] * len(data), chunksize=max(1, len(data) // 16)))


@contextmanager
def _pool(workers: int) -> Iterator[Executor | None]:
    if workers <= 1:
        yield None
        return
    # Spawned, not forked: a forked process inherits torch's locked thread pools.
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield pool


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
