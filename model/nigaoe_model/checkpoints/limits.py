"""How much a file may cost its reader, and how a process binds itself to that for ever."""

import resource
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

MIB = 2**20

_FORBIDDEN_EVENTS = (
    "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile", "os.system", "subprocess.Popen",
    "socket.", "ctypes.", "pickle.find_class", "os.remove", "os.rename", "os.rmdir", "os.chmod",
    "os.chown", "os.link", "os.symlink", "os.kill", "shutil.", "ftplib.", "smtplib.", "urllib.",
)  # fmt: skip


def bind_process(file: Path, *, memory: int, seconds: int) -> None:
    """Lower this process's limits, and let it start, connect, unpickle or delete nothing any more.

    Args:
        file: What will be read; its size is added to what may be used, because it is mapped.
        memory: Bytes that may be used beyond what the process uses now and the size of the file.
        seconds: Processor time.
    """
    size = file.stat().st_size if file.is_file() else 0
    _limit(resource.RLIMIT_AS, _address_space() + size + memory)
    _limit(resource.RLIMIT_CPU, seconds)
    _limit(resource.RLIMIT_FSIZE, size + 64 * MIB)
    _limit(resource.RLIMIT_CORE, 0)
    sys.addaudithook(_refuse)


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    ceiling = value if hard == resource.RLIM_INFINITY else min(value, hard)
    with suppress(ValueError, OSError):  # macOS refuses some of them; the parent's clock holds everywhere.
        resource.setrlimit(kind, (ceiling, ceiling))


def _address_space() -> int:
    """Bytes of address space in use; where the system does not tell, a generous guess."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 1024 * MIB
    return pages * resource.getpagesize()


def _refuse(event: str, _: Sequence[Any]) -> None:
    # A second wall: nothing in this process should ever try, so trying means that the first one has a hole.
    if event.startswith(_FORBIDDEN_EVENTS):
        raise PermissionError(f"reading weights must not cause {event}")
