"""Photos that ``POST /faces`` keeps for ``POST /convert``, so that a photo travels once.

Only on request, only for minutes, for the caller's tenant alone, and never given out. A kept photo is erased as soon as
a job was made from it (the job has its crop, and for `paste_back` its own copy), else when its time is over. Nothing is
remembered but the blob: the token says where it lies, until when, and by its digest what it is, so that a request
with the token and the same request with the file are one to an Idempotency-Key.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import structlog

from nigaoe_api.tokens import SignedRecord
from nigaoe_core.errors import InvalidPhotoToken, PhotoGone, StorageError, UnknownBlob
from nigaoe_core.services import Services
from nigaoe_core.store.blob_store import PHOTO, job_of, new_folder

PREFIX: Final = "photo_"

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class KeptPhoto:
    """Where a photo lies and what it is; nothing says that it still lies there."""

    folder: str
    expires: int  # Unix seconds.
    digest: bytes  # SHA-256.

    @property
    def expires_at(self) -> datetime:
        """When it is erased at the latest."""
        return datetime.fromtimestamp(self.expires, UTC)


class KeptPhotos:
    """Keeps photos. Its methods block: call them in threads.

    Args:
        services: Where the photos lie, and who erases them.
        secret: The service's signing secret.
        clock: Gives Unix seconds.
    """

    def __init__(self, services: Services, secret: bytes, *, clock: Callable[[], float] = time.time) -> None:
        self._services = services
        self._seconds = services.settings.keep_photo_seconds
        # Day of the folder as a number, expiry, id of the folder, SHA-256 of the photo.
        self._record = SignedRecord(secret, b"nigaoe kept photos", ">IQ16s32s")
        self._clock = clock

    def keep(self, tenant: str, photo: bytes) -> KeptPhoto:
        """Keep a photo for a tenant.

        Raises:
            StorageError: It could not be kept; nothing is left behind, or it is erased when its time is over.
        """
        kept = KeptPhoto(new_folder(tenant), int(self._clock() + self._seconds), hashlib.sha256(photo).digest())
        self._services.store.schedule_erasure(kept.folder + "/", self._seconds)
        self._services.blobs.put(f"{kept.folder}/{PHOTO}", photo)
        return kept

    def token_of(self, kept: KeptPhoto) -> str:
        """The text that the client sends instead of the photo."""
        tenant, day, number = kept.folder.split("/")
        fields = (int(day), kept.expires, UUID(number).bytes, kept.digest)
        return PREFIX + self._record.pack(*fields, context=_context(tenant))

    def find(self, tenant: str, token: str) -> KeptPhoto:
        """Tell which photo a token means.

        Raises:
            InvalidPhotoToken: It is damaged, or another tenant's.
            PhotoGone: Its time is over.
        """
        fields = self._record.unpack(token.removeprefix(PREFIX), context=_context(tenant))
        if fields is None:
            raise InvalidPhotoToken("The photo token is damaged: send the photo itself.")
        day, expires, number, digest = fields
        kept = KeptPhoto(f"{tenant}/{day:08d}/{UUID(bytes=number)}", expires, digest)
        if expires <= self._clock():
            raise _gone()
        return kept

    def read(self, kept: KeptPhoto) -> bytes:
        """The photo.

        Raises:
            PhotoGone: It was erased.
            BlobStoreUnavailable: The store does not answer.
        """
        try:
            return self._services.blobs.get(f"{kept.folder}/{PHOTO}")
        except UnknownBlob:
            raise _gone() from None

    def erase(self, kept: KeptPhoto) -> None:
        """Erase a photo that has served; should the store refuse, it goes when its time is over."""
        try:
            self._services.blobs.delete_folder(kept.folder)
            self._services.store.settle_erasure(kept.folder + "/")
        except StorageError as error:
            log.warning("kept_photo.erasing_postponed", folder_id=job_of(kept.folder), code=error.code)


def _context(tenant: str) -> bytes:
    """Nobody can use another tenant's token."""
    return tenant.encode() + b"\0"


def _gone() -> PhotoGone:
    return PhotoGone("The photo is no longer kept: send the photo itself, with the same options.")
