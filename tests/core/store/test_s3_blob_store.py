"""What only a server can get wrong: silence, refusals, and addresses that browsers see."""

import urllib.request
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from nigaoe_core.errors import BlobStoreUnavailable, InvalidSettings
from nigaoe_core.settings import Settings
from nigaoe_core.store.blob_store import RESULT_PNG, folder_of, new_folder
from nigaoe_core.store.s3_blob_store import S3BlobStore


def key() -> str:
    return f"{new_folder('public')}/{RESULT_PNG}"


def test_a_presigned_answer_says_what_it_is(bucket: S3BlobStore) -> None:
    """Type, caching and file name come with the link; a file name cannot break out of its header."""
    place = key()
    bucket.put(place, b"picture")
    link = bucket.link(place, seconds=600, download_name='me".png\r\nX: y')
    with urllib.request.urlopen(link, timeout=60) as answer:
        bucket.delete_folder(folder_of(place))
        assert answer.headers["Content-Type"] == "image/png"
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="me.pngX y"'
        assert answer.headers["X"] is None


def test_links_lead_to_the_public_address(s3_settings: Settings) -> None:
    """Browsers may know the server by another name than the API does."""
    settings = s3_settings.model_copy(update={"s3_public_endpoint_url": "https://pictures.example.org"})
    link = S3BlobStore("s3://bucket/prefix", settings).link(key(), seconds=600)
    assert urlsplit(link).netloc == "pictures.example.org"
    assert urlsplit(link).path.startswith("/bucket/prefix/public/")


def test_a_missing_bucket_has_a_name(s3_settings: Settings) -> None:
    """The check before work begins finds it."""
    with pytest.raises(BlobStoreUnavailable):
        S3BlobStore(f"s3://nigaoe-{uuid.uuid4().hex}", s3_settings).check()


def test_a_refusal_has_a_name(bucket: S3BlobStore, s3_settings: Settings) -> None:
    """Wrong credentials end in an error of the tree that does not show them."""
    wrong = Settings(**(s3_settings.model_dump() | {"s3_secret_access_key": "wrong-secret"}))
    with pytest.raises(BlobStoreUnavailable) as refusal:
        S3BlobStore(f"s3://{bucket.bucket}", wrong).put(key(), b"picture")
    assert "wrong-secret" not in str(refusal.value)


def test_silence_has_a_name(tmp_path: Path) -> None:
    """Nobody listens at the address."""
    settings = Settings(
        data_dir=tmp_path, s3_endpoint_url="http://127.0.0.1:9", s3_access_key_id="a", s3_secret_access_key="b"
    )  # type: ignore[arg-type]  # pydantic makes secrets of texts.
    with pytest.raises(BlobStoreUnavailable):
        S3BlobStore("s3://bucket", settings).exists(key())


def test_more_than_a_page_is_erased(bucket: S3BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listing and erasing go on page by page."""
    monkeypatch.setattr("nigaoe_core.store.s3_blob_store._PAGE", 2)
    folder = new_folder("public")
    for number in range(5):
        bucket.put(f"{folder}/{number}.png", b"x")
    assert len(list(bucket.list_blobs())) == 5
    assert bucket.delete_folder(folder) == 5
    assert list(bucket.list_blobs()) == []


@pytest.mark.parametrize("location", ["s3://", "s3:///prefix", "bucket"])
def test_a_location_names_a_bucket(location: str, s3_settings: Settings) -> None:
    """Anything else is a mistake in the settings."""
    with pytest.raises(InvalidSettings):
        S3BlobStore(location, s3_settings)
