"""Whether a photo sent now would be converted: the stores answer, the detector is loaded, some worker takes jobs."""

import asyncio
from collections.abc import Callable
from typing import Final

from starlette.concurrency import run_in_threadpool

from api.face_finder import FaceFinder
from api.schemas import ReadyView
from core.errors import NigaoeError
from core.services import Services

KEEP_SECONDS: Final = 1.0
"""Anyone may ask, and the check writes a probe into the blob store: an answer this old is good enough."""
ANSWER_SECONDS: Final = 5.0
OK: Final = "ok"


class Readiness:
    """Looks at all parts at once.

    Args:
        services: The stores.
        faces: The detector.
    """

    def __init__(self, services: Services, faces: FaceFinder) -> None:
        self._services = services
        self._faces = faces
        self._turn = asyncio.Lock()
        self._last: tuple[float, ReadyView] | None = None

    async def look(self) -> ReadyView:
        """Tell how things stand."""
        async with self._turn:
            now = asyncio.get_running_loop().time()
            if self._last is None or now - self._last[0] > KEEP_SECONDS:
                self._last = (now, await self._look())
            return self._last[1]

    async def _look(self) -> ReadyView:
        job_store, blob_store, workers, quarantined = await asyncio.gather(
            self._ask(self._services.store.check),
            self._ask(self._services.blobs.check),
            self._count(lambda: sum(worker.ready for worker in self._services.store.workers())),
            self._count(lambda: self._services.store.queue().quarantined),
        )
        checks = {
            "job_store": job_store,
            "blob_store": blob_store,
            "faces": OK if self._faces.is_ready else "The face detector is still loading.",
            "workers": OK if workers else "No worker is ready: start one, or wait until it has warmed up.",
        }
        is_ready = all(check == OK for check in checks.values())
        return ReadyView(ready=is_ready, checks=checks, workers=workers, quarantined=quarantined)

    async def _count(self, counting: Callable[[], int]) -> int:
        """Count something; 0 while the store does not answer."""
        found = [0]
        await self._ask(lambda: found.append(counting()))
        return found[-1]

    async def _ask(self, check: Callable[[], object]) -> str:
        try:
            await asyncio.wait_for(run_in_threadpool(check), ANSWER_SECONDS)
        except NigaoeError as error:
            return error.message
        except TimeoutError:
            return f"It did not answer within {ANSWER_SECONDS:g} seconds."
        return OK
