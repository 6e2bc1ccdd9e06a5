"""Photos that ``POST /faces`` keeps for ``POST /convert``, so that a photo travels once.

Only on request, only for minutes, for the caller's tenant alone, and never given out. A kept photo is erased as soon as
a job was made from it (the job has its crop, and for `paste_back` its own copy), else when its time is over. Nothing is
remembered but the blob: the token says where it lies, until when, and by its digest what it is, so that an order with
the token and the same order with the file are one order to an Idempotency-Key.
"""

import base64
import hashlib
import hmac
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import structlog

from nigaoe_core.errors import InvalidPhotoToken, PhotoGone, StorageError, UnknownBlob
from nigaoe_core.services import Services
from nigaoe_core.store.blob_store import PHOTO, job_of, new_folder

PREFIX: Final = "photo_"

# Day of the folder as a number, expiry, id of the folder, SHA-256 of the photo, half an HMAC-SHA-256.
_CONTENT: Final = struct.Struct(">IQ16s32s16s")
_SIGNED: Final = _CONTENT.size - 16

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
        self._key = hmac.digest(secret, b"nigaoe kept photos", hashlib.sha256)
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
        """What the client says instead of sending the photo again."""
        tenant, day, number = kept.folder.split("/")
        signed = struct.pack(">IQ16s32s", int(day), kept.expires, UUID(number).bytes, kept.digest)
        return PREFIX + base64.urlsafe_b64encode(signed + self._mac(tenant, signed)).decode().rstrip("=")

    def find(self, tenant: str, token: str) -> KeptPhoto:
        """Tell which photo a token means.

        Raises:
            InvalidPhotoToken: It is damaged, or another tenant's.
            PhotoGone: Its time is over.
        """
        try:
            content = base64.b64decode(token.removeprefix(PREFIX) + "==", altchars=b"-_", validate=True)
            day, expires, number, digest, mac = _CONTENT.unpack(content)
        except (ValueError, struct.error):
            raise InvalidPhotoToken("The photo token is damaged: send the photo itself.") from None
        if not hmac.compare_digest(mac, self._mac(tenant, content[:_SIGNED])):
            raise InvalidPhotoToken("The photo token is damaged: send the photo itself.")
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

    def _mac(self, tenant: str, signed: bytes) -> bytes:
        return hmac.digest(self._key, tenant.encode() + b"\0" + signed, hashlib.sha256)[:16]


def _gone() -> PhotoGone:
    return PhotoGone("The photo is no longer kept: send the photo itself, with the same options.")
