"""Reader process of foreign files: it binds itself, reads one file, reports in JSON, and ends.

Run by :mod:`nigaoe_model.checkpoints.sandbox` as ``python -m nigaoe_model.checkpoints.reader_process``, with a request
on standard input. It imports no torch: a checkpoint is opened without the library whose loaders are attacked.
"""

import json
import resource
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from nigaoe_core.errors import BrokenCheckpoint, CheckpointError, UnsafeCheckpoint
from nigaoe_model.checkpoints.examination import Reading, examine
from nigaoe_model.checkpoints.families.recognised import Recognised
from nigaoe_model.checkpoints.formats import SAFETENSORS_DTYPES
from nigaoe_model.checkpoints.records import TensorRecord, tensor_bytes, tensors_in

MIB = 2**20

_FORBIDDEN_EVENTS = (
    "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile", "os.system", "subprocess.Popen",
    "socket.", "ctypes.", "pickle.find_class", "os.remove", "os.rename", "os.rmdir", "os.chmod",
    "os.chown", "os.link", "os.symlink", "os.kill", "shutil.", "ftplib.", "smtplib.", "urllib.",
)  # fmt: skip

_SAFETENSORS_CODES = {dtype: code for code, dtype in SAFETENSORS_DTYPES.items()}

LATENT_AVG = "latent_avg"
GENERATOR = "generator/"
DISCRIMINATOR = "discriminator/"


class Request(BaseModel):
    """Request of the parent process.

    Attributes:
        path: The foreign file.
        output: Where its tensors shall be written; None: only report.
        parts: What the names of the tensors to be written begin with, in a file of any kind; none: the networks of a
            StyleGAN2 that was recognised, in names of ours.
        list_tensors: Put the name and shape of every tensor into the report.
        memory: Bytes that may be used beyond the start and the file's size.
        seconds: Processor time.
    """

    path: Path
    output: Path | None = None
    parts: tuple[str, ...] = ()
    list_tensors: bool = False
    memory: int
    seconds: int


def answer(request: Request) -> Reading:
    """Examine the file and, when asked and possible, write its tensors out."""
    try:
        return _examined(request)
    except MemoryError:
        message = f"Reading `{request.path.name}` takes more memory than weights of its size can need."
        return Reading(problem=message, problem_code=UnsafeCheckpoint.code)


def _examined(request: Request) -> Reading:
    examination = examine(request.path, list_tensors=request.list_tensors)
    if request.parts and examination.content is not None:
        named = {".".join(path): tensor for path, tensor in tensors_in(examination.content.value).items()}
        tensors = {name: tensor for name, tensor in named.items() if name.startswith(request.parts)}
    else:
        tensors = _named(examination.recognised) if examination.recognised else {}
    if request.output is None or not tensors:
        return examination.reading
    return _written(examination.reading, tensors, request.output)


def _written(reading: Reading, tensors: Mapping[str, TensorRecord], output: Path) -> Reading:
    try:
        write_tensors(output, tensors)
    except CheckpointError as error:
        return reading.model_copy(update={"problem": error.message, "problem_code": error.code, "layout": None})
    except OSError as error:
        update = {"problem": f"The tensors cannot be written ({error}).", "problem_code": BrokenCheckpoint.code}
        return reading.model_copy(update=update | {"layout": None})
    return reading


def _named(recognised: Recognised) -> dict[str, TensorRecord]:
    named = {GENERATOR + name: tensor for name, tensor in recognised.generator.items()}
    named |= {DISCRIMINATOR + name: tensor for name, tensor in recognised.discriminator.items()}
    if recognised.latent_avg is not None:
        named[LATENT_AVG] = recognised.latent_avg
    return named


def write_tensors(path: Path, tensors: Mapping[str, TensorRecord]) -> None:
    """Write a safetensors file with at most one tensor in memory.

    Raises:
        BrokenCheckpoint: The source is shorter than it says.
    """
    header, place = {}, 0
    for name, tensor in tensors.items():
        span = [place, place + tensor.byte_count]
        header[name] = {"dtype": _SAFETENSORS_CODES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": span}
        place = span[1]
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # The format aligns the data.
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            file.write(tensor_bytes(tensor))


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


def main() -> None:
    """Read a request from standard input and answer on standard output."""
    request = Request.model_validate_json(sys.stdin.read())
    bind_process(request.path, memory=request.memory, seconds=request.seconds)
    sys.stdout.write(answer(request).model_dump_json())


if __name__ == "__main__":
    main()
