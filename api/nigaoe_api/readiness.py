"""The readiness check: would a photo sent now be converted? Stores answer, detector is loaded, some worker is ready."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

import anyio
from anyio import to_thread

from nigaoe_api.face_finder import FaceFinder
from nigaoe_api.schemas import ReadyView
from nigaoe_core.errors import NigaoeError
from nigaoe_core.services import Services

KEEP_SECONDS: Final = 1.0
"""Anyone may ask, and the check writes a probe into the blob store: an answer this old is good enough."""
ANSWER_SECONDS: Final = 5.0
OK: Final = "ok"
PROBE_THREADS: Final = 4
"""Three checks at a time and one measurement; a check that hangs keeps its thread, and the next one says so."""

T = TypeVar("T")


class Readiness:
    """Checks all parts at once.

    Args:
        services: The stores.
        faces: The detector.
    """

    def __init__(self, services: Services, faces: FaceFinder) -> None:
        self._services = services
        self._faces = faces
        self._turn = asyncio.Lock()
        # Of its own: whether we are ready must not depend on what requests do with the threads that they share.
        self._threads = anyio.CapacityLimiter(PROBE_THREADS)
        self._last: tuple[float, ReadyView] | None = None

    async def check(self) -> ReadyView:
        """Report what is ready, from a check at most `KEEP_SECONDS` old."""
        async with self._turn:
            now = asyncio.get_running_loop().time()
            if self._last is None or now - self._last[0] > KEEP_SECONDS:
                self._last = (now, await self._check())
            return self._last[1]

    async def in_own_thread(self, work: Callable[[], T]) -> T:
        """Run a probe in a thread that no request can take away; when its time is up, it is left behind."""
        return await to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._threads)

    async def _check(self) -> ReadyView:
        job_store, blob_store, (workers, quarantined) = await asyncio.gather(
            self._ask(self._services.store.check), self._ask(self._services.blobs.check), self._counted()
        )
        checks = {
            "job_store": job_store,
            "blob_store": blob_store,
            "faces": OK if self._faces.is_ready else "The face detector is still loading.",
            "workers": OK if workers else "No worker is ready: start one, or wait until it has warmed up.",
        }
        is_ready = all(check == OK for check in checks.values())
        return ReadyView(ready=is_ready, checks=checks, workers=workers, quarantined=quarantined)

    async def _counted(self) -> tuple[int, int]:
        """How many workers are ready, and how many records are in quarantine; 0 while the store does not answer."""
        store, found = self._services.store, [(0, 0)]

        def count() -> None:
            found.append((sum(worker.ready for worker in store.workers()), store.queue().quarantined))

        await self._ask(count)
        return found[-1]

    async def _ask(self, check: Callable[[], object]) -> str:
        try:
            await asyncio.wait_for(self.in_own_thread(check), ANSWER_SECONDS)
        except NigaoeError as error:
            return error.message
        except TimeoutError:
            return f"It did not answer within {ANSWER_SECONDS:g} seconds."
        except Exception as error:  # noqa: BLE001 - recorded whole; a part that is broken is not ready, and the others are reported.
            self._services.errors.record("readiness", error)
            return "It failed in a way that nobody expected: the log says more."
        return OK
