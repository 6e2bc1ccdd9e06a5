"""A part of a file as the pickle machine sees it: a cursor over memory that is mapped, not read."""

import mmap
from pathlib import Path

from nigaoe_core.errors import BrokenCheckpoint, UnsafeCheckpoint

MAX_LINE = 64 * 2**10
COPY_BELOW = 256


class Window:
    """File-like reading without copies: long reads are views, so a text of 10 GB that is not there costs nothing.

    Args:
        view: The bytes.
        position: Where the cursor begins.
    """

    def __init__(self, view: memoryview, position: int = 0) -> None:
        self.view = view
        self.position = position

    def read(self, count: int) -> bytes | memoryview:
        """Return the next ``count`` bytes, fewer at the end; a view when they are many."""
        part = self.view[self.position : self.position + count]
        self.position += len(part)
        return bytes(part) if count < COPY_BELOW else part

    def readline(self) -> bytes:
        """Return the rest of a line with its end.

        Raises:
            UnsafeCheckpoint: It is longer than any honest pickle writes.
        """
        head = bytes(self.view[self.position : self.position + MAX_LINE])
        end = head.find(b"\n") + 1
        if not end and len(head) == MAX_LINE:
            raise UnsafeCheckpoint("The pickle holds a line of more than 64 KiB: it was not written by torch.")
        line = head[: end or len(head)]
        self.position += len(line)
        return line

    def tell(self) -> int:
        """Return the cursor's place."""
        return self.position


def map_file(path: Path) -> memoryview:
    """Map a file into memory; it stays mapped while the view, or a part of it, is in use.

    Raises:
        BrokenCheckpoint: It is missing, no file, unreadable or empty.
    """
    try:
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError as error:
        raise BrokenCheckpoint(f"There is no file `{path}`.") from error
    except ValueError as error:
        raise BrokenCheckpoint(f"`{path.name}` is empty.") from error
    except OSError as error:
        raise BrokenCheckpoint(f"`{path.name}` cannot be read ({error.strerror}).") from error
