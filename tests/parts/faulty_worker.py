"""A real worker whose device costs nothing, and that can be made to go wrong: ``python faulty_worker.py CONTROL``.

Only the arithmetic of a search is replaced, by a short sleep; slots, batches, leases, stores, queue and threads are
the worker's own. CONTROL is the path of a datagram socket: each datagram arms one fault, which goes off when its point
is reached next, in whatever thread that happens.
"""

import functools
import json
import socket
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import torch

import nigaoe_worker.runtime
from nigaoe.commands.service import worker as run_worker
from nigaoe_core.errors import BlobStoreUnavailable, StoreUnavailable
from nigaoe_core.store.folder_blob_store import FolderBlobStore
from nigaoe_core.store.job_store import JobStore
from nigaoe_model.inversion.request import Finished, InversionRequest, InversionResult, Progress, StopReason, Ticket
from nigaoe_model.portrait.pair import LoadedGenerator

STEPS: Final = 6
STEP_SECONDS: Final = 0.02
ERRORS: Final[dict[str, Callable[[], Exception]]] = {
    "unexpected": lambda: RuntimeError("injected"),
    "store": lambda: StoreUnavailable("injected"),
    "blobs": lambda: BlobStoreUnavailable("injected"),
    "device": lambda: torch.AcceleratorError("injected"),
}
POINTS: Final[dict[str, type]] = {
    "heartbeat": JobStore,
    "claim": JobStore,
    "succeed": JobStore,
    "report_worker": JobStore,
    "requeue_expired": JobStore,
    "due_wake_ups": JobStore,
    "due_retention": JobStore,
    "due_erasures": JobStore,
    "put": FolderBlobStore,
    "get": FolderBlobStore,
    "delete_folder": FolderBlobStore,
}
"""Where a fault can go off, beside ``step``: the name of a method, and whose."""


class Faults:
    """What is armed."""

    def __init__(self, control: Path) -> None:
        control.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(control))
        self._armed: defaultdict[str, deque[str | float]] = defaultdict(deque)
        threading.Thread(target=self._listen, name="faults", daemon=True).start()

    def _listen(self) -> None:
        while True:
            order = json.loads(self._socket.recv(4096))
            self._armed[order["point"]].append(order["what"])

    def reach(self, point: str) -> None:
        """Raise or sleep, if that was asked for here."""
        if not self._armed[point]:
            return
        what = self._armed[point].popleft()
        if isinstance(what, str):
            error = ERRORS[what]()
            raise error
        time.sleep(what)

    def watch(self, point: str) -> None:
        """Let a method go wrong when it is armed."""
        owner = POINTS[point]
        whole = getattr(owner, point)

        @functools.wraps(whole)
        def watched(*arguments: Any, **options: Any) -> Any:
            self.reach(point)
            return whole(*arguments, **options)

        setattr(owner, point, watched)


class IdleSlots:
    """`nigaoe_model.inversion.engine.SlotEngine` without its arithmetic: every search takes a few short steps."""

    def __init__(self, loaded: LoadedGenerator, width: int, faults: Faults) -> None:
        self.width = width
        self.batch_limit: int | None = None
        self._loaded = loaded
        self._faults = faults
        self._steps: dict[Ticket, int] = {}

    @property
    def occupied(self) -> int:
        return len(self._steps)

    @property
    def free(self) -> int:
        return self.width - self.occupied

    def admit(self, request: InversionRequest) -> Ticket:
        ticket = Ticket(0, request)
        self._steps[ticket] = 0
        return ticket

    def release_recordings(self) -> None:
        """There are none."""

    def step(self) -> list[Finished]:
        self._faults.reach("step")
        time.sleep(STEP_SECONDS)
        return [finished for ticket in list(self._steps) for finished in self._advance(ticket)]

    def _advance(self, ticket: Ticket) -> Iterator[Finished]:
        request = ticket.request
        if request.cancelled is not None and request.cancelled():
            del self._steps[ticket]
            yield Finished(ticket, StopReason.CANCELLED)
            return
        step = self._steps[ticket] = self._steps[ticket] + 1
        if request.on_progress is not None:
            request.on_progress(Progress(step, STEPS, 1.0 / step, 1.0))
        if step == STEPS:
            del self._steps[ticket]
            yield Finished(ticket, StopReason.BUDGET, self._result())

    def _result(self) -> InversionResult:
        generator = self._loaded.generator
        w_plus = generator.mapping.w_avg.detach().cpu().repeat(generator.architecture.num_ws, 1)
        return InversionResult(
            w_plus=w_plus,
            noise=None,
            reconstruction=torch.zeros(3, generator.architecture.resolution, generator.architecture.resolution),
            distance_start=1.0,
            distance_end=0.5,
            steps=STEPS,
            best_step=STEPS - 1,
            seconds=STEPS * STEP_SECONDS,
            stop_reason=StopReason.BUDGET,
            history=(1.0, 0.5),
        )


def main() -> None:
    """Put the faults in place, and be a worker."""
    faults = Faults(Path(sys.argv.pop()))
    for point in POINTS:
        faults.watch(point)

    def build(loaded: LoadedGenerator, width: int, **_: Any) -> IdleSlots:
        return IdleSlots(loaded, width, faults)

    nigaoe_worker.runtime.inversion_engine = build  # type: ignore[assignment]  # The slots, as far as the worker sees them.
    run_worker()


if __name__ == "__main__":
    main()
