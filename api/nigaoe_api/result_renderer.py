"""Rendering of results that few ask for: made when they are first asked for, and stored from then on.

The record of a job names their keys from the beginning, so that links, deletion and retention need not know which of
them exist. Making one twice (in two processes at once) gives the same picture twice and harms nobody.
"""

from collections.abc import Callable, Mapping
from typing import Final

import anyio
from anyio import to_thread
from starlette.concurrency import run_in_threadpool

from nigaoe_core.errors import NoSuchResult, UnknownBlob, UnknownJob
from nigaoe_core.jobs import Job
from nigaoe_core.services import Services
from nigaoe_core.store.blob_store import ANIMATION, COMPARE, CROP, FRAMES, PERSON, RESULT_PNG, RESULT_WEBP
from nigaoe_faces.images import ImageLimits, read_photo
from nigaoe_faces.result_encoder import COMPOSITE, ResultEncoder, frames_of
from nigaoe_faces.sheet import Picture, side_by_side

WEBP_QUALITY: Final = 90
OURS: Final = ImageLimits(min_side=1)
"""For pictures that the worker made: a small generator's are small."""


class ResultRenderer:
    """Renders a job's WebP, comparison and animation from what its worker has stored.

    Args:
        services: Where jobs and their blobs are.
        results: Writes the files.
    """

    def __init__(self, services: Services, results: ResultEncoder) -> None:
        self._services = services
        self._results = results
        # One at a time: this process's cores are there for uploads. Waiting for a turn takes no thread: those are there
        # for everyone, health checks included.
        self._turns = anyio.CapacityLimiter(1)
        self._recipes: Mapping[str, Callable[[Job], bytes]] = {
            RESULT_WEBP: self._webp,
            COMPARE: self._comparison,
            ANIMATION: self._film,
        }

    async def provide(self, job: Job, name: str) -> None:
        """See to it that a picture of a job is there; raises what `render` raises.

        Args:
            job: It has succeeded.
            name: A blob that its record names.
        """
        if name in self._recipes and not await run_in_threadpool(self._services.blobs.exists, job.blobs[name]):
            await to_thread.run_sync(self.render, job, name, limiter=self._turns)

    def render(self, job: Job, name: str) -> None:
        """Make a picture of a job and store it, unless that was done before or is not done here. Blocks.

        Args:
            job: It has succeeded.
            name: A blob that its record names.

        Raises:
            NoSuchResult: That from which it would be made is gone.
            UnknownJob: The job was deleted meanwhile; nothing is left behind.
            StorageFull: The store is full.
            BlobStoreUnavailable: The store does not answer.
        """
        recipe, key = self._recipes.get(name), job.blobs[name]
        if recipe is None or self._services.blobs.exists(key):
            return
        self._keep(job, key, recipe(job))

    def _keep(self, job: Job, key: str, data: bytes) -> None:
        self._services.blobs.put(key, data)
        try:
            # A deletion takes the record first and then the folder: either it is seen here, or it sees what was put.
            self._services.store.get(job.id)
        except UnknownJob:
            self._services.blobs.delete(key)
            raise

    def _webp(self, job: Job) -> bytes:
        return self._results.webp(self._read(job, RESULT_PNG), WEBP_QUALITY)

    def _comparison(self, job: Job) -> bytes:
        picture = self._read(job, RESULT_PNG)
        person = [self._read(job, PERSON)] if PERSON in job.blobs else []  # In one pass nobody is searched for.
        row = [*self._photo(job), *person, picture]
        return self._results.png(side_by_side(row, height=picture.shape[0]), COMPOSITE)

    def _film(self, job: Job) -> bytes:
        frames = frames_of(self._read(job, FRAMES))
        return self._results.film(frames, self._read(job, PERSON), self._read(job, RESULT_PNG))

    def _photo(self, job: Job) -> list[Picture]:
        """The aligned photo; a restyle's is its parent's and goes with it."""
        try:
            return [self._read(job, CROP)]
        except NoSuchResult:
            return []

    def _read(self, job: Job, name: str) -> Picture:
        try:
            return read_photo(self._services.blobs.get(job.blobs[name]), OURS)
        except (KeyError, UnknownBlob):
            raise NoSuchResult("What this picture would be made from is gone.") from None
