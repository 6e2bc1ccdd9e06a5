"""Sandbox for foreign files: each is read in a process of its own, with limits; whatever happens there, we go on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from pydantic import ValidationError

from nigaoe_core.bundled import import_path
from nigaoe_core.errors import BrokenCheckpoint, CheckpointError, UnsafeCheckpoint, error_tree
from nigaoe_model.checkpoints.examination import Reading
from nigaoe_model.checkpoints.reader_process import MIB, Request

MEMORY = 768 * MIB
SECONDS = 120
MAX_ANSWER = 64 * MIB


def read_in_sandbox(
    path: Path,
    *,
    output: Path | None = None,
    parts: tuple[str, ...] = (),
    list_tensors: bool = False,
    memory: int = MEMORY,
    seconds: int = SECONDS,
) -> Reading:
    """Examine a file in a limited process.

    Args:
        path: The foreign file.
        output: Where its tensors shall be written as safetensors; None: only report.
        parts: What the names of the tensors to be written begin with, in a file of any kind; see
            :class:`nigaoe_model.checkpoints.reader_process.Request`.
        list_tensors: Put the name and shape of every tensor into the report.
        memory: Bytes that the process may use beyond its start and the file's size.
        seconds: Seconds that it may take.

    Returns:
        The report. A file that cannot be imported is reported, not raised.

    Raises:
        BrokenCheckpoint: There is no such file.
    """
    if not path.is_file():
        raise BrokenCheckpoint(f"There is no file `{path}`.")
    request = Request(
        path=path.resolve(), output=output, parts=parts, list_tensors=list_tensors, memory=memory, seconds=seconds
    )
    try:
        process = subprocess.run(
            [sys.executable, "-P", "-m", "nigaoe_model.checkpoints.reader_process"],
            input=request.model_dump_json().encode(),
            capture_output=True,
            env=_environment(),
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _refused(f"Reading `{path.name}` did not end within {seconds} s: no honest checkpoint takes so long.")
    if process.returncode:
        return _refused(f"`{path.name}` cannot be read safely: its reader {_end(process.returncode)}.")
    try:
        return Reading.model_validate_json(process.stdout[:MAX_ANSWER])
    except ValidationError:
        return _refused(f"`{path.name}` cannot be read safely: its reader gave no sensible answer.")


def raise_problem(reading: Reading) -> None:
    """Raise what a report says, as the error of the tree that it names.

    Raises:
        CheckpointError: The file cannot be imported.
    """
    if not reading.problem:
        return
    for kind in error_tree(CheckpointError):
        if kind.code == reading.problem_code:
            raise kind(reading.problem)
    raise CheckpointError(reading.problem)


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
    return kept | {
        "PYTHONPATH": import_path(),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _refused(message: str) -> Reading:
    return Reading(problem=message, problem_code=UnsafeCheckpoint.code)


def _end(code: int) -> str:
    if code < 0:
        return f"was stopped by {signal.Signals(-code).name}"
    return f"failed with exit code {code}"
