"""The contract of every blob store: the same stories over a folder and over a real S3 server."""

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from nigaoe_core.errors import InvalidBlobKey, LinkError, LinkExpired, UnknownBlob
from nigaoe_core.jobs import JobOptions, new_job
from nigaoe_core.store.blob_store import (
    LATENT,
    PHOTO,
    RESULT_PNG,
    BlobStore,
    checked_folder,
    checked_key,
    content_type,
    folder_of,
    job_of,
    new_folder,
)
from nigaoe_core.store.folder_blob_store import FolderBlobStore
from nigaoe_core.store.signed_links import PATH, LinkSigner

FOLDER = "a4aa5042-92f3-4287-ae7b-a03590fae809"


@pytest.fixture(params=["folder", "bucket", "shared_bucket"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path, signer: LinkSigner) -> Iterator[BlobStore]:
    """Every implementation, empty."""
    if request.param == "folder":
        yield FolderBlobStore(tmp_path / "blobs", signer)
        return
    store: BlobStore = request.getfixturevalue(request.param)
    yield store
    for folder in {folder_of(blob.key) for blob in store.list_blobs()}:
        store.delete_folder(folder)


def key(name: str = RESULT_PNG) -> str:
    return f"{new_folder('public')}/{name}"


def test_what_is_put_is_got(blobs: BlobStore) -> None:
    """Bytes come back as they were, and a second put replaces them."""
    place = key()
    blobs.put(place, b"first")
    blobs.put(place, bytes(range(256)) * 1000)
    assert blobs.get(place) == bytes(range(256)) * 1000
    assert blobs.exists(place)


def test_an_empty_blob_is_a_blob(blobs: BlobStore) -> None:
    """Zero bytes are kept, too."""
    place = key()
    blobs.put(place, b"")
    assert blobs.get(place) == b""


def test_what_is_not_there_has_a_name(blobs: BlobStore) -> None:
    """Reading nothing is an error of its own; erasing nothing is a success."""
    place = key()
    assert not blobs.exists(place)
    with pytest.raises(UnknownBlob):
        blobs.get(place)
    blobs.delete(place)
    assert blobs.delete_folder(folder_of(place)) == 0


def test_erasing_a_job_leaves_its_neighbours(blobs: BlobStore) -> None:
    """A folder goes whole, also with a closing slash; another job's blobs stay."""
    mine, other = new_folder("public"), key()
    for name in (PHOTO, LATENT, RESULT_PNG):
        blobs.put(f"{mine}/{name}", b"x")
    blobs.put(other, b"y")
    blobs.delete(f"{mine}/{PHOTO}")
    assert not blobs.exists(f"{mine}/{PHOTO}")
    assert blobs.delete_folder(mine + "/") == 2
    assert [blob.key for blob in blobs.list_blobs()] == [other]


def test_the_list_tells_size_and_age(blobs: BlobStore) -> None:
    """Enough to find orphans."""
    assert list(blobs.list_blobs()) == []
    places = sorted(key() for _ in range(3))
    for place in places:
        blobs.put(place, b"12345")
    listed = sorted(blobs.list_blobs(), key=lambda blob: blob.key)
    assert [blob.key for blob in listed] == places
    assert {blob.size for blob in listed} == {5}
    assert all(blob.modified > 1.7e9 for blob in listed)


@pytest.mark.parametrize("wrong", ["", "public", "public/20260101", "public/20260101/x", "public/20260101/..", "/"])
def test_only_a_jobs_folder_can_be_erased(wrong: str, tmp_path: Path, signer: LinkSigner) -> None:
    """No mistake of a caller erases more than one job."""
    with pytest.raises(InvalidBlobKey):
        FolderBlobStore(tmp_path, signer).delete_folder(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        "../etc/passwd",
        "public/20260101/../../../etc/passwd",
        "/etc/passwd",
        f"public/20260101/{FOLDER}/../x",
        f"public/20260101/{FOLDER}/.hidden",
        f"public/20260101/{FOLDER}/a/b",
        f"public/20260101/{FOLDER}/",
        f"public/20260101/{FOLDER}/name\n",
        f"Public/20260101/{FOLDER}/name",
        f"public/20260101/{FOLDER}/na%2fme",
        "",
    ],
)
def test_only_our_own_keys_are_keys(wrong: str, tmp_path: Path, signer: LinkSigner) -> None:
    """Nothing that a client could invent leaves the folder or reaches a server."""
    blobs = FolderBlobStore(tmp_path / "blobs", signer)
    for use in (
        lambda: blobs.put(wrong, b"x"),
        lambda: blobs.get(wrong),
        lambda: blobs.delete(wrong),
        lambda: blobs.link(wrong, seconds=1),
        lambda: checked_key(wrong),
    ):
        with pytest.raises(InvalidBlobKey):
            use()


def test_a_link_gives_the_blob_to_anyone(blobs: BlobStore) -> None:
    """It needs no credentials, says what it is, and serves under a file name where one is wanted."""
    place = key()
    blobs.put(place, b"picture")
    for name in (None, "me as anime.png"):
        answer = followed(blobs, blobs.link(place, seconds=600, download_name=name))
        assert answer == b"picture"


def test_a_changed_link_gives_nothing(blobs: BlobStore) -> None:
    """Neither another blob nor a longer life can be had by editing it."""
    place, other = key(), key()
    for one in (place, other):
        blobs.put(one, b"picture")
    link = blobs.link(place, seconds=600)
    with pytest.raises((LinkError, urllib.error.HTTPError)):
        followed(blobs, link.replace(job_of(place), job_of(other)))


def test_a_link_ends(blobs: BlobStore) -> None:
    """A link of no time, or of the shortest, is refused when it is over."""
    place = key()
    blobs.put(place, b"picture")
    link = blobs.link(place, seconds=0)
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        try:
            followed(blobs, link)
        except (LinkExpired, urllib.error.HTTPError):
            break
        threading.Event().wait(0.1)
    else:
        pytest.fail("the link never ended")


def test_many_threads_share_a_store(blobs: BlobStore) -> None:
    """Eight threads put, read and erase at once."""

    def use(number: int) -> bool:
        place = key()
        blobs.put(place, bytes([number]) * 1000)
        same = blobs.get(place) == bytes([number]) * 1000
        blobs.delete_folder(folder_of(place))
        return same

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(24)))
    assert list(blobs.list_blobs()) == []


def test_a_healthy_store_checks_out(blobs: BlobStore) -> None:
    """The probe leaves nothing behind."""
    blobs.check()
    assert list(blobs.list_blobs()) == []


def test_keys_tell_their_job() -> None:
    """Folder and job can be read from a key alone."""
    job = new_job(JobOptions(), tenant="ann")
    place = checked_key(f"{job.folder}/{PHOTO}")
    assert (job_of(place), folder_of(place)) == (job.id, job.folder)
    assert checked_folder(job.folder + "/") == job.folder


def test_a_tenant_must_fit_into_a_key() -> None:
    """A name that could climb is no tenant's."""
    with pytest.raises(InvalidBlobKey):
        new_folder("../ann")


def test_names_tell_their_type() -> None:
    """Known endings have a type, the rest is bytes that no browser interprets."""
    assert content_type("a/b/c/result.webp") == "image/webp"
    assert content_type(PHOTO) == content_type("x.html") == "application/octet-stream"


def followed(blobs: BlobStore, link: str) -> bytes:
    """Follow a link as a browser would; for the folder, as the API's route does."""
    if not isinstance(blobs, FolderBlobStore):
        with urllib.request.urlopen(link, timeout=60) as answer:
            data: bytes = answer.read()
            return data
    parts = urlsplit(link)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    place = unquote(parts.path.removeprefix(PATH))
    blobs._signer.verify(
        place, expires=int(query["expires"]), signature=query["signature"], download_name=query.get("download")
    )
    return blobs.get(place)
