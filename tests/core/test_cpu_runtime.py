"""The C runtime below PyTorch: threads that sleep while they wait, memory that is freed and asked for again."""

import os
import subprocess
import sys

import pytest

SAY = "import {package}, sys, os; assert 'torch' not in sys.modules; print(os.environ['OMP_WAIT_POLICY'])"

SCRIPT = """
import resource, sys, threading
from nigaoe_core.cpu_runtime import keep_freed_memory

kept = keep_freed_memory() if sys.argv[1] == "keep" else False

def pages():
    return int(open("/proc/self/statm").read().split()[1])

def work():
    before = pages()
    block = bytearray(b"x") * (24 << 20)
    del block
    print(kept, (pages() - before) * resource.getpagesize() >> 20)

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def wait_policy(package: str, **changes: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    command = [sys.executable, "-c", SAY.format(package=package)]
    return subprocess.run(command, env=environment | changes, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("package", ["nigaoe_faces", "nigaoe_model", "nigaoe_worker", "nigaoe"])
def test_threads_sleep_while_they_wait(package: str) -> None:
    """Every package that computes has said so by the time it loads PyTorch."""
    assert wait_policy(package) == "PASSIVE"


def test_the_operator_chooses_how_threads_wait() -> None:
    """Who runs one process on cores of its own may let it spin."""
    assert wait_policy("nigaoe_model", OMP_WAIT_POLICY="ACTIVE") == "ACTIVE"


def kept_memory(way: str, **changes: str) -> tuple[str, int]:
    """Whether the process was asked to keep memory, and how many MiB a thread still held after it freed 24."""
    environment = {n: v for n, v in os.environ.items() if not n.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    command = [sys.executable, "-c", SCRIPT, way]
    answer = subprocess.run(command, env=environment | changes, capture_output=True, text=True, check=True).stdout
    kept, held = answer.split()
    return kept, int(held)


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc can be told")
def test_a_thread_keeps_what_it_freed() -> None:
    """So that the next step need not ask the system; without the call the system has it back at once."""
    assert kept_memory("leave")[1] < 4
    kept, held = kept_memory("keep")
    assert (kept, held >= 20) in {("True", True), ("False", False)}  # No such function in other C libraries.


def test_the_operator_chooses_how_memory_is_handled() -> None:
    """Who set an allocator's variable meant it."""
    assert kept_memory("keep", MALLOC_ARENA_MAX="2")[0] == "False"
