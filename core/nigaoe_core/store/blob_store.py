"""Where pictures and latents are kept: the interface of the folder and the S3 store, and how keys look.

A key is ``tenant/yyyymmdd/job id/name``, made by the server alone. Everything of one job lies below its folder, so that
erasing a job is erasing one prefix, and a sweep can tell from a key alone which job it belongs to.
"""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from nigaoe_core.errors import InvalidBlobKey

PHOTO: Final = "photo"
"""The upload itself. Erased as soon as the job ends, never served."""
REFERENCE: Final = "reference.png"
"""The anime picture whose style or texture a feed-forward style uses, framed like the crop. Erased as soon as the job
ends, never served."""
UPLOADS: Final = (PHOTO, REFERENCE)
"""What came with the request, and is of use to nobody once the job has ended."""
CROP: Final = "crop.png"
"""The aligned face, square RGB. Its side is a whole multiple of the generator's resolution, at least 256 pixels: people
can look at it, too. A worker reduces it to the resolution by the mean of each block of pixels."""
LATENT: Final = "latent.safetensors"
RESULT_PNG: Final = "result.png"
RESULT_WEBP: Final = "result.webp"
COMPARE: Final = "compare.png"
ANIMATION: Final = "animation.webp"
PASTED: Final = "pasted.png"
PERSON: Final = "person.png"
"""The face as it was found, as the generator draws it. Never served by itself; the comparison and the film show it."""
FRAMES: Final = "frames.jpg"
"""Square pictures of the way to it, one above the other, oldest first. Never served by itself."""

ON_REQUEST: Final = (RESULT_WEBP, COMPARE, ANIMATION)
"""Few ask for these: a job's record names their keys, and the API makes them from the others when they are first asked
for (`nigaoe_api.result_renderer`). They are erased with the job's folder, made or not."""

CONTENT_TYPES: Final = {
    ".png": "image/png",
    ".webp": "image/webp",
    ".jpg": "image/jpeg",
    ".gif": "image/gif",
    ".safetensors": "application/octet-stream",
}

_TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_FOLDER = re.compile(rf"{_TENANT.pattern}/\d{{8}}/[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class BlobInfo:
    """One stored blob."""

    key: str
    size: int  # Bytes.
    modified: float  # Unix seconds, by the store's clock.


class BlobStore(Protocol):
    """Bytes by key. All methods block; the API calls them in threads. Safe to share between threads."""

    def put(self, key: str, data: bytes) -> None:
        """Store ``data`` whole or not at all; an older blob of this key is replaced. Durable on return.

        Raises:
            InvalidBlobKey: The key is not of the form that this module describes.
            StorageFull: The disk or the bucket's quota is full.
            BlobStoreUnavailable: The store does not answer.
        """

    def get(self, key: str) -> bytes:
        """Read a blob whole.

        Raises:
            UnknownBlob: Nothing is stored under this key.
            BlobStoreUnavailable: The store does not answer.
        """

    def exists(self, key: str) -> bool:
        """Whether something is stored under this key."""

    def delete(self, key: str) -> None:
        """Erase one blob. Erasing what is not there is a success."""

    def delete_folder(self, folder: str) -> int:
        """Erase everything below ``folder`` (`nigaoe_core.jobs.Job.folder`) and tell how many blobs there were."""

    def list_blobs(self) -> Iterator[BlobInfo]:
        """Yield every blob in no stated order; what appears or vanishes meanwhile may be among them or not.

        Raises:
            BlobStoreUnavailable: The store does not answer.
        """

    def link(self, key: str, *, seconds: float, download_name: str | None = None) -> str:
        """Make a link that gives anyone the blob for ``seconds``.

        S3: an absolute presigned URL. Folder: a path with query, ``/blobs/KEY?...``, that the API serves after
        `nigaoe_core.store.signed_links.LinkSigner.verify`; the caller puts its own address before it.

        Args:
            key: The blob's key; it need not exist.
            seconds: How long the link is valid, counted from now.
            download_name: Save the blob under this file name instead of showing it.
        """

    def check(self) -> None:
        """Try to write, read and erase a probe (for ``/readyz`` and ``nigaoe doctor``).

        Raises:
            StorageFull: There is no room.
            BlobStoreUnavailable: The store does not answer or refuses.
        """


def content_type(name: str) -> str:
    """Tell the media type by a blob's name or key; unknown endings are plain bytes."""
    _, dot, ending = name.rpartition(".")
    return CONTENT_TYPES.get(dot + ending, "application/octet-stream")


def new_folder(tenant: str, job_id: str | None = None) -> str:
    """Make the folder of a new job's blobs: tenant, today (UTC), job id (a new UUID if none is given).

    Raises:
        InvalidBlobKey: The tenant's name does not fit into a key.
    """
    if not _TENANT.fullmatch(tenant):
        raise InvalidBlobKey("A tenant's name has 1 to 64 of the characters a-z, 0-9, '-' and '_'.")
    return f"{tenant}/{datetime.now(UTC):%Y%m%d}/{job_id or uuid.uuid4()}"


def checked_key(key: str) -> str:
    """Return the key if it has the form that Nigaoe makes.

    Raises:
        InvalidBlobKey: It does not; nothing that climbs out of its folder does.
    """
    if not is_key(key):
        raise InvalidBlobKey("This is not the key of a picture.")
    return key


def checked_folder(folder: str) -> str:
    """Return the folder, without a closing slash, if it has the form that Nigaoe makes.

    Raises:
        InvalidBlobKey: It does not.
    """
    folder = folder.removesuffix("/")
    if not _FOLDER.fullmatch(folder):
        raise InvalidBlobKey("This is not the folder of a job's pictures.")
    return folder


def is_folder(text: str) -> bool:
    """Whether this is a job's folder as Nigaoe makes it, without a closing slash."""
    return bool(_FOLDER.fullmatch(text))


def is_key(text: str) -> bool:
    """Whether this is a key that Nigaoe makes; a shared folder or bucket may hold other things too."""
    folder, _, name = text.rpartition("/")
    return bool(_FOLDER.fullmatch(folder) and _NAME.fullmatch(name))


def job_of(key: str) -> str:
    """Tell the id of the job that a key or folder belongs to."""
    return key.split("/")[2]


def folder_of(key: str) -> str:
    """Tell the folder that a key lies in."""
    return key.rpartition("/")[0]
