"""The stores and the queue that the settings name, opened and closed together.

Redis, boto3 and Celery are imported here only when the settings ask for them, so that the records and rules in `core`
can be used with none of them installed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nigaoe_core.errors import InvalidSettings
from nigaoe_core.guarded_loop import UnexpectedErrors
from nigaoe_core.queue import Dispatcher
from nigaoe_core.settings import Settings
from nigaoe_core.signing_secret import load_signing_secret
from nigaoe_core.store.blob_store import BlobStore
from nigaoe_core.store.events import EventLog
from nigaoe_core.store.folder_blob_store import FolderBlobStore
from nigaoe_core.store.job_store import JobStore
from nigaoe_core.store.lifecycle import JobPolicy
from nigaoe_core.store.retention import Retention
from nigaoe_core.store.signed_links import LinkSigner

if TYPE_CHECKING:
    from nigaoe_core.store.changes import ChangeFeed


@dataclass(frozen=True)
class Services:
    """The stores and the queue, as the API and the worker use them."""

    settings: Settings
    store: JobStore
    events: EventLog
    feed: "ChangeFeed"  # Enter it (``async with``) where the event loop runs.
    blobs: BlobStore
    signer: LinkSigner
    dispatcher: Dispatcher
    retention: Retention
    errors: UnexpectedErrors = field(default_factory=UnexpectedErrors)  # Of this process.

    def close(self) -> None:
        """Close all connections."""
        self.dispatcher.close()
        self.store.close()


@contextmanager
def open_services(settings: Settings) -> Iterator[Services]:
    """Open what the settings name, and close it at the end.

    Nothing is connected before its first use, so this succeeds while Redis is still starting.

    Raises:
        InvalidSettings: There is no Redis URL, or a setting names something impossible.
    """
    services = connect(settings)
    try:
        yield services
    finally:
        services.close()


def connect(settings: Settings) -> Services:
    """Like `open_services`, for those who close by themselves."""
    from nigaoe_core.store.changes import ChangeFeed
    from nigaoe_core.store.redis_link import RedisLink

    if settings.redis_url is None:
        raise InvalidSettings("Set NIGAOE_REDIS_URL, or run `nigaoe serve`, which brings its own server.")
    url = settings.redis_url.get_secret_value()
    link = RedisLink(url, patience_seconds=settings.redis_patience_seconds)
    errors = UnexpectedErrors()
    store = JobStore(link, JobPolicy.from_settings(settings), errors)
    signer = LinkSigner(load_signing_secret(settings))
    blobs = open_blob_store(settings, signer)
    return Services(
        settings=settings,
        store=store,
        events=EventLog(link),
        feed=ChangeFeed(url, errors=errors),
        blobs=blobs,
        signer=signer,
        dispatcher=Dispatcher(url, deadline_seconds=settings.job_deadline_seconds),
        retention=Retention(store, blobs, orphan_seconds=settings.orphan_hours * 3600, errors=errors),
        errors=errors,
    )


def open_blob_store(settings: Settings, signer: LinkSigner) -> BlobStore:
    """Open the folder or bucket that the settings name.

    Raises:
        InvalidSettings: It is neither, or S3 is asked for without the extra ``s3``.
    """
    location = settings.blob_location
    if "://" not in location:
        return FolderBlobStore(Path(location).expanduser(), signer)
    try:
        from nigaoe_core.store.s3_blob_store import S3BlobStore
    except ModuleNotFoundError as error:
        raise InvalidSettings("An S3 blob store needs boto3: pip install 'nigaoe[s3]'.") from error
    return S3BlobStore(location, settings)
