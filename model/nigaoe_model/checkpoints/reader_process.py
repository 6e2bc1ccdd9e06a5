"""The process that touches foreign files: it binds itself, reads one file, reports in JSON, and ends.

Run by :mod:`nigaoe_model.checkpoints.sandbox` as ``python -m nigaoe_model.checkpoints.reader_process``, with a request
on standard input. It imports no torch: a checkpoint is opened without the library whose loaders are attacked.
"""

import sys
from pathlib import Path

from pydantic import BaseModel

from nigaoe_core.errors import BrokenCheckpoint, CheckpointError, UnsafeCheckpoint
from nigaoe_model.checkpoints.examination import Examination, examine
from nigaoe_model.checkpoints.limits import bind_process
from nigaoe_model.checkpoints.reading import Reading, Recognised
from nigaoe_model.checkpoints.records import TensorRecord
from nigaoe_model.checkpoints.tensor_bytes import write_tensors

LATENT_AVG = "latent_avg"
GENERATOR = "generator/"
DISCRIMINATOR = "discriminator/"


class Request(BaseModel):
    """What the parent wants.

    Attributes:
        path: The foreign file.
        output: Where its tensors shall be written; None: only report.
        list_tensors: Put the name and shape of every tensor into the report.
        memory: Bytes that may be used beyond the start and the file's size.
        seconds: Processor time.
    """

    path: Path
    output: Path | None = None
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
    if request.output is None or examination.recognised is None:
        return examination.reading
    return _written(examination, examination.recognised, request.output)


def _written(examination: Examination, recognised: Recognised, output: Path) -> Reading:
    try:
        write_tensors(output, _named(recognised))
    except CheckpointError as error:
        update = {"problem": error.message, "problem_code": error.code, "layout": None}
        return examination.reading.model_copy(update=update)
    except OSError as error:
        update = {"problem": f"The tensors cannot be written ({error}).", "problem_code": BrokenCheckpoint.code}
        return examination.reading.model_copy(update=update | {"layout": None})
    return examination.reading


def _named(recognised: Recognised) -> dict[str, TensorRecord]:
    named = {GENERATOR + name: tensor for name, tensor in recognised.generator.items()}
    named |= {DISCRIMINATOR + name: tensor for name, tensor in recognised.discriminator.items()}
    if recognised.latent_avg is not None:
        named[LATENT_AVG] = recognised.latent_avg
    return named


def main() -> None:
    """Read a request from standard input and answer on standard output."""
    request = Request.model_validate_json(sys.stdin.read())
    bind_process(request.path, memory=request.memory, seconds=request.seconds)
    sys.stdout.write(answer(request).model_dump_json())


if __name__ == "__main__":
    main()
