"""The blobs of one claimed job: read and written with retries, under keys that only this claim uses.

Keys carry the claim's fencing token. A worker that wakes after it lost its lease therefore never overwrites, and never
erases, what the job's next worker stored; the record that names the keys is what counts (object first, then state).
"""

import time
from collections.abc import Callable
from typing import Final, TypeVar

import structlog

from nigaoe_core.errors import BlobStoreUnavailable, StorageError, StorageFull
from nigaoe_core.jobs import Seconds
from nigaoe_core.store.blob_store import (
    ANIMATION,
    COMPARE,
    FRAMES,
    LATENT,
    PASTED,
    PERSON,
    RESULT_PNG,
    RESULT_WEBP,
    BlobStore,
)
from nigaoe_worker.leases import ClaimedJob

PAUSE: Final[Seconds] = 0.5
RESULTS: Final = (RESULT_PNG, RESULT_WEBP, COMPARE, ANIMATION, LATENT, PASTED, PERSON, FRAMES)
"""All that a job may leave."""

T = TypeVar("T")

_log = structlog.get_logger(__name__)


class JobBlobs:
    """Reads and stores the blobs of one claimed job.

    Args:
        blobs: The store.
        claimed: The job; when it must stop, no call here waits any longer.
        patience: How long one call retries a store that refuses or is full.
    """

    def __init__(self, blobs: BlobStore, claimed: ClaimedJob, patience: Seconds) -> None:
        self._blobs = blobs
        self._claimed = claimed
        self._patience = patience
        self._stored: dict[str, str] = {}

    @property
    def stored(self) -> dict[str, str]:
        """Blob name to key, of all that was stored or reserved here."""
        return dict(self._stored)

    def read(self, key: str) -> bytes:
        """Read a blob.

        Raises:
            JobStopped: The job must stop.
            UnknownBlob: There is none.
            BlobStoreUnavailable: The store did not answer within `patience`.
        """
        return self._with_retries(lambda: self._blobs.get(key))

    def put(self, name: str, data: bytes) -> None:
        """Store a blob under this claim's own key.

        Args:
            name: One of the names in `nigaoe_core.store.blob_store`.
            data: What to store.

        Raises:
            JobStopped: The job must stop.
            StorageFull: There was no space within `patience`.
            BlobStoreUnavailable: The store did not answer within it.
        """
        key = self._key(name, self._claimed.claim.token)
        self._stored[name] = key  # Before the attempt: a put whose answer is lost may have stored it.
        self._with_retries(lambda: self._blobs.put(key, data))

    def reserve(self, name: str) -> None:
        """Give a blob its key without storing anything: made on request (`nigaoe_core.store.blob_store.ON_REQUEST`).

        Args:
            name: One of `ON_REQUEST`.
        """
        self._stored[name] = self._key(name, self._claimed.claim.token)

    def clear_predecessors(self) -> None:
        """Erase what earlier workers of this job stored before they vanished."""
        for token in range(1, self._claimed.claim.token):
            for name in RESULTS:
                self._erase(self._key(name, token))

    def clear(self) -> None:
        """Erase what was stored here; what cannot be erased now goes with the job's folder."""
        for key in self._stored.values():
            self._erase(key)
        self._stored.clear()

    def _key(self, name: str, token: int) -> str:
        return f"{self._claimed.job.folder}/{token}-{name}"

    def _erase(self, key: str) -> None:
        try:
            self._blobs.delete(key)
        except StorageError as error:
            _log.warning("blobs.not_cleared", code=error.code)

    def _with_retries(self, attempt: Callable[[], T]) -> T:
        give_up = time.monotonic() + self._patience
        while True:
            self._claimed.check()
            try:
                return attempt()
            except (BlobStoreUnavailable, StorageFull) as error:
                if time.monotonic() + PAUSE > give_up:
                    raise
                _log.warning("blobs.retried", code=error.code)
                self._claimed.wait(PAUSE)
