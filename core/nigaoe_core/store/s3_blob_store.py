"""Blobs in S3 or a server that speaks its language."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import SecretStr
from typing_extensions import override

from nigaoe_core.errors import BlobStoreUnavailable, InvalidSettings, NigaoeError, StorageFull, UnknownBlob
from nigaoe_core.settings import Storage
from nigaoe_core.store.blob_store import (
    BlobInfo,
    BlobStore,
    checked_folder,
    checked_key,
    content_type,
    is_key,
    new_folder,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SCHEME: Final = "s3://"
_PAGE: Final = 1000  # Objects in one listing and in one deletion, S3's own limit.
_MISSING: Final = frozenset({"NoSuchKey", "404", "NotFound"})
_FULL: Final = frozenset({"QuotaExceeded", "InsufficientStorage", "507", "EntityTooLarge", "XMinioStorageFull"})


class S3BlobStore(BlobStore):
    """`BlobStore` in a bucket.

    Args:
        location: ``s3://BUCKET`` or ``s3://BUCKET/PREFIX``.
        settings: Addresses and credentials.

    Raises:
        InvalidSettings: The location names no bucket.
    """

    def __init__(self, location: str, settings: Storage) -> None:
        self.bucket, _, prefix = location.removeprefix(SCHEME).rstrip("/").partition("/")
        if not self.bucket or not location.startswith(SCHEME):
            raise InvalidSettings("NIGAOE_BLOB_STORE has the form s3://BUCKET or s3://BUCKET/PREFIX.")
        self._prefix = prefix.strip("/") + "/" if prefix else ""
        self._client = _client(settings, settings.s3_endpoint_url)
        public = settings.s3_public_endpoint_url
        # Signing is arithmetic on the address that the browser will use; this client never connects.
        self._signing_client = _client(settings, public) if public else self._client

    @override
    def put(self, key: str, data: bytes) -> None:
        with _clear_errors():
            self._client.put_object(
                Bucket=self.bucket,
                Key=self._prefix + checked_key(key),
                Body=data,
                ContentType=content_type(key),
                CacheControl="private, no-store",
            )

    @override
    def get(self, key: str) -> bytes:
        with _clear_errors():
            return self._client.get_object(Bucket=self.bucket, Key=self._prefix + checked_key(key))["Body"].read()

    @override
    def exists(self, key: str) -> bool:
        try:
            with _clear_errors():
                self._client.head_object(Bucket=self.bucket, Key=self._prefix + checked_key(key))
        except UnknownBlob:
            return False
        return True

    @override
    def delete(self, key: str) -> None:
        with _clear_errors():
            self._client.delete_object(Bucket=self.bucket, Key=self._prefix + checked_key(key))

    @override
    def delete_folder(self, folder: str) -> int:
        prefix = self._prefix + checked_folder(folder) + "/"
        count = 0
        with _clear_errors():
            for names in self._pages(prefix):
                self._delete_all([name for name, _, _ in names])
                count += len(names)
        return count

    def _delete_all(self, names: Sequence[str]) -> None:
        answer = self._client.delete_objects(
            Bucket=self.bucket, Delete={"Objects": [{"Key": name} for name in names], "Quiet": True}
        )
        if answer.get("Errors"):
            raise BlobStoreUnavailable("The picture store did not erase everything: try again.")

    @override
    def list_blobs(self) -> Iterator[BlobInfo]:
        with _clear_errors():
            for page in self._pages(self._prefix):
                for name, size, modified in page:
                    if is_key(key := name.removeprefix(self._prefix)):
                        yield BlobInfo(key, size, modified)

    def _pages(self, prefix: str) -> Iterator[list[tuple[str, int, float]]]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=prefix, PaginationConfig={"PageSize": _PAGE}
        )
        for page in pages:
            if contents := page.get("Contents"):
                yield [(entry["Key"], entry["Size"], entry["LastModified"].timestamp()) for entry in contents]

    @override
    def link(self, key: str, *, seconds: float, download_name: str | None = None) -> str:
        answer = {"ResponseContentType": content_type(key), "ResponseCacheControl": "private, no-store"}
        if download_name is not None:
            safe = "".join(sign for sign in download_name if sign.isascii() and (sign.isalnum() or sign in "._- "))
            answer["ResponseContentDisposition"] = f'attachment; filename="{safe or "nigaoe"}"'
        return self._signing_client.generate_presigned_url(
            "get_object",
            Params={"Bucket": self.bucket, "Key": self._prefix + checked_key(key), **answer},
            ExpiresIn=max(1, round(seconds)),
        )

    @override
    def check(self) -> None:
        key = new_folder("probe") + "/probe"
        try:
            self.put(key, b"nigaoe")
            self.get(key)
            self.delete(key)
        except UnknownBlob as error:
            raise BlobStoreUnavailable("The picture store does not keep what it is given.") from error

    def create_bucket(self) -> None:
        """Make the bucket unless it is there (for development; an operator's bucket is made by its operator).

        Raises:
            BlobStoreUnavailable: The server does not answer or refuses.
        """
        try:
            self._client.create_bucket(Bucket=self.bucket)
        except ClientError as error:
            if _code(error) not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                raise _translated(error) from error
        except BotoCoreError as error:
            raise _unreachable(error) from error


def _client(settings: Storage, endpoint_url: str | None) -> "S3Client":
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint_url,
        region_name=settings.s3_region,
        aws_access_key_id=_plain(settings.s3_access_key_id),
        aws_secret_access_key=_plain(settings.s3_secret_access_key),
        config=Config(
            signature_version="s3v4",
            # A server that is silent instead of gone holds a thread for half a minute, not for minutes: those who can
            # wait longer (workers) ask again by themselves.
            retries={"mode": "standard", "total_max_attempts": 3},
            connect_timeout=3,
            read_timeout=10,
            max_pool_connections=32,
            # Servers other than AWS know the bucket by the path, and not all know the newer checksums.
            s3={"addressing_style": "path"} if endpoint_url else {},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


@contextmanager
def _clear_errors() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise _translated(error) from error
    except BotoCoreError as error:
        raise _unreachable(error) from error


def _code(error: ClientError) -> str:
    details: dict[str, Any] = dict(error.response.get("Error", {}))
    return str(details.get("Code", ""))


def _translated(error: ClientError) -> NigaoeError:
    code = _code(error)
    if code in _MISSING:
        return UnknownBlob("This picture does not exist, or its time is over.")
    if code in _FULL:
        return StorageFull("The picture store is full: ask the operator to make room.")
    return BlobStoreUnavailable(f"The picture store refused ({code}): try again, or ask the operator.")


def _unreachable(error: BotoCoreError) -> BlobStoreUnavailable:
    return BlobStoreUnavailable(f"The picture store cannot be reached ({type(error).__name__}): try again.")
