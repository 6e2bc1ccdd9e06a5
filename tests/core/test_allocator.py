"""Memory that is freed and asked for again at every step."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys, threading
from nigaoe_core.allocator import keep_freed_memory

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


def said(way: str, **changes: str) -> tuple[str, int]:
    """Whether the process was asked to keep memory, and how many MiB a thread still held after it freed 24."""
    environment = {n: v for n, v in os.environ.items() if not n.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    command = [sys.executable, "-c", SCRIPT, way]
    answer = subprocess.run(command, env=environment | changes, capture_output=True, text=True, check=True).stdout
    kept, held = answer.split()
    return kept, int(held)


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc can be told")
def test_a_thread_keeps_what_it_freed() -> None:
    """So that the next step need not ask the system; without the call the system has it back at once."""
    assert said("leave")[1] < 4
    kept, held = said("keep")
    assert (kept, held >= 20) in {("True", True), ("False", False)}  # No such function in other C libraries.


def test_the_operator_has_the_last_word() -> None:
    """Who set an allocator's variable meant it."""
    assert said("keep", MALLOC_ARENA_MAX="2")[0] == "False"
