"""Styles that draw in one pass: what the list says of them, references, and what they have no use for."""

import shutil
import uuid
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from feed_forward_files import write_feed_forward_styles
from PIL import Image

from nigaoe_core.jobs import JobReport, Outcome
from nigaoe_core.store.blob_store import CROP, REFERENCE, RESULT_PNG

if TYPE_CHECKING:
    from conftest import Api


@pytest.fixture
def api(special_api: Callable[..., "Api"], tmp_path: Path) -> "Api":
    """A service with four feed-forward styles beside the bundled ones, see `feed_forward_files`."""
    return special_api(registry_dir=write_feed_forward_styles(tmp_path / "registry"))


@pytest.fixture
def client(api: "Api") -> httpx.Client:
    return api.client()


@pytest.fixture
def anime(weights: Path) -> bytes:
    """A drawing in which the face detector finds nobody."""
    return (weights / "samples" / "anime" / "1.webp").read_bytes()


def order(client: httpx.Client, photo: bytes, reference: bytes | None = None, **fields: Any) -> httpx.Response:
    headers = {"Idempotency-Key": fields.pop("key")} if "key" in fields else {}
    files = [("photo", ("photo.jpg", photo))]
    if reference is not None:
        files.append(("reference", ("reference.webp", reference)))
    return client.post("/convert", files=files, data=fields, headers=headers)


def picture(content: bytes) -> Image.Image:
    return Image.open(BytesIO(content))


def blank() -> bytes:
    file = BytesIO()
    Image.new("RGB", (300, 300), "pink").save(file, "PNG")
    return file.getvalue()


def test_the_list_says_how_a_style_draws_and_what_it_takes(client: httpx.Client) -> None:
    """Of the options of an order; a style without latents has no truncation."""
    styles = {style["name"]: style for style in client.get("/styles").json()["styles"]}
    told = {name: (style["method"], style["options"], style["needs_reference"]) for name, style in styles.items()}
    assert told["anime"] == (
        "reverse-generation", ["method", "preset", "degree", "truncation", "colours", "seed"], False
    )  # fmt: skip
    assert told["roses"] == ("gans-n-roses", ["seed", "reference"], False)
    assert told["blind-roses"] == ("gans-n-roses", ["seed"], False)
    assert told["bare-swap"] == ("swapping-autoencoder", ["reference"], True)
    assert (styles["roses"]["truncation"], styles["roses"]["resolution"]) == (None, 32)
    assert styles["roses"]["alignment"]["zoom"] == 1.2


def test_a_photo_and_a_reference_become_a_job(api: "Api", client: httpx.Client, photo: bytes, anime: bytes) -> None:
    """Both are framed for the style; the drawing in which nobody finds a face is taken whole."""
    answer = order(client, photo, anime, style="roses", seed="4")
    assert (answer.status_code, answer.json()["options"]["style"]) == (202, "roses")
    job = api.services.store.get(answer.json()["id"])
    crop, reference = (picture(api.services.blobs.get(job.blobs[name])) for name in (CROP, REFERENCE))
    assert (crop.size, reference.size) == ((256, 256), (256, 256))
    drawing = picture(anime).convert("RGB").resize((8, 8))
    small = reference.convert("RGB").resize((8, 8))
    assert all(abs(a - b) < 24 for a, b in zip(drawing.tobytes(), small.tobytes(), strict=True))


def test_one_reference_goes_with_all_photos(api: "Api", client: httpx.Client, photo: bytes, anime: bytes) -> None:
    """Each job of a batch has its own copy, which goes with it."""
    files = [("photo", ("1.jpg", photo)), ("photo", ("2.jpg", photo)), ("reference", ("r.webp", anime))]
    jobs = client.post("/convert", files=files, data={"style": "swap"}).json()["jobs"]
    keys = [api.services.store.get(job["id"]).blobs[REFERENCE] for job in jobs]
    assert len(set(keys)) == 2
    assert client.delete(f"/jobs/{jobs[0]['id']}").status_code == 204
    assert [api.services.blobs.exists(key) for key in keys] == [False, True]


def test_a_kept_photo_may_have_a_reference(api: "Api", client: httpx.Client, photo: bytes, anime: bytes) -> None:
    """A form with the photo's token and the reference's file."""
    kept = client.post("/faces", files={"photo": photo}, data={"keep": "true"}).json()
    files = {"reference": ("r.webp", anime)}
    form = {"photo_token": kept["photo_token"], "style": "roses"}
    job = client.post("/convert", files=files, data=form).json()
    assert REFERENCE in api.services.store.get(job["id"]).blobs


@pytest.mark.parametrize(
    ("fields", "reference", "status", "code"),
    [
        ({"style": "roses", "preset": "draft"}, False, 422, "option_not_taken"),
        ({"style": "roses", "degree": "0.5"}, False, 422, "option_not_taken"),
        ({"style": "swap", "seed": "3"}, False, 422, "option_not_taken"),
        ({"style": "swap", "truncation": "0.5"}, False, 422, "option_not_taken"),
        ({"style": "anime"}, True, 422, "option_not_taken"),
        ({"style": "blind-roses"}, True, 422, "option_not_taken"),
        ({"style": "bare-swap"}, False, 422, "reference_needed"),
        ({"style": "roses", "preset": "standard", "degree": "1", "colours": "1"}, False, 202, None),
        ({"style": "bare-swap", "seed": "0"}, True, 202, None),
    ],
)
def test_what_a_style_has_no_use_for_is_refused(
    client: httpx.Client,
    photo: bytes,
    anime: bytes,
    fields: dict[str, str],
    reference: bool,
    status: int,
    code: str | None,
) -> None:
    """Rather than drawn as if it had not been said; a default that is said aloud changes nothing."""
    answer = order(client, photo, anime if reference else None, **fields)
    assert (answer.status_code, answer.json().get("code")) == (status, code)
    assert len(client.get("/jobs").json()["jobs"]) == (status == 202)


@pytest.mark.parametrize(
    ("reference", "status", "code"),
    [
        (blank(), 422, "reference_without_face"),
        (b"GIF89a no picture", 415, "unsupported_format"),
        (b"", 422, "empty_image"),
        (blank()[:200], 422, "broken_image"),
    ],
    ids=["blank", "another format", "empty", "truncated"],
)
def test_a_reference_is_checked_like_a_photo(
    client: httpx.Client, photo: bytes, reference: bytes, status: int, code: str
) -> None:
    """The message says that it is about the reference; nothing is stored."""
    answer = order(client, photo, reference, style="roses")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "reference" in answer.json()["detail"]
    assert answer.json()["field"] == "reference"
    assert client.get("/jobs").json()["jobs"] == []


def test_a_reference_is_no_larger_than_a_photo(special_api: Callable[..., "Api"], tmp_path: Path, photo: bytes) -> None:
    """In bytes and in pixels."""
    registry = write_feed_forward_styles(tmp_path / "registry")
    client = special_api(registry_dir=registry, max_upload_bytes=len(photo), max_side=2000).client()
    too_many_bytes = order(client, photo, photo + bytes(1000), style="roses")
    file = BytesIO()
    Image.linear_gradient("L").resize((2001, 100)).save(file, "PNG")
    too_long = order(client, photo, file.getvalue(), style="roses")
    for answer in (too_many_bytes, too_long):
        assert (answer.status_code, answer.json()["code"]) == (413, "image_too_large")
        assert answer.json()["field"] == "reference"


def test_the_reference_is_a_part_of_what_is_ordered(
    client: httpx.Client, photo: bytes, anime: bytes, weights: Path
) -> None:
    """The same key with the same one is a repetition, with another one or none a conflict."""
    key = str(uuid.uuid4())
    first = order(client, photo, anime, style="roses", key=key)
    again = order(client, photo, anime, style="roses", key=key)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json()["id"] == first.json()["id"]
    for other in (None, (weights / "samples" / "anime" / "2.webp").read_bytes()):
        answer = order(client, photo, other, style="roses", key=key)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_conflict")


def test_a_reference_goes_when_the_job_ends_and_is_never_given_out(
    api: "Api", client: httpx.Client, photo: bytes, anime: bytes
) -> None:
    """Deleted, too; the crop of a job that succeeded stays with its result."""
    done, dropped = (order(client, photo, anime, style="swap").json()["id"] for _ in range(2))
    keys = [api.services.store.get(job).blobs[REFERENCE] for job in (done, dropped)]
    link = api.services.blobs.link(keys[0], seconds=60)
    assert client.get(link).json()["code"] == "unknown_blob"
    assert REFERENCE not in api.worker.do(done).blobs
    assert client.delete(f"/jobs/{dropped}").status_code == 204
    api.services.retention.erase_due(1000)
    assert not any(api.services.blobs.exists(key) for key in keys)
    assert api.services.blobs.exists(api.services.store.get(done).blobs[CROP])


def test_a_restyle_asks_for_the_photo(api: "Api", client: httpx.Client, photo: bytes) -> None:
    """Of a job that keeps no latent, and into a style that draws none."""
    job_id = order(client, photo, style="roses").json()["id"]
    claim = api.worker.claim(job_id)
    key = f"{claim.job.folder}/1-{RESULT_PNG}"
    api.services.blobs.put(key, blank())
    report = JobReport(method="gans-n-roses", seed=0, stop_reason="one_pass")
    api.services.store.succeed(claim, Outcome(blobs={RESULT_PNG: key}, report=report))
    view = client.get(f"/jobs/{job_id}").json()
    assert (view["links"]["restyle"], view["links"]["latent"]) == (None, None)
    assert (view["report"]["method"], view["report"]["seed"], view["report"]["reference"]) == ("gans-n-roses", 0, False)
    searched = order(client, photo, style="anime").json()["id"]
    api.worker.do(searched)
    for job, change in ((job_id, {"style": "anime"}), (job_id, {"seed": 1}), (searched, {"style": "roses"})):
        answer = client.post(f"/jobs/{job}/restyle", json=change)
        assert (answer.status_code, answer.json()["code"]) == (409, "no_latent")
        assert "send the photo again" in answer.json()["detail"]


def test_a_style_whose_file_is_of_another_method_is_not_offered(
    special_api: Callable[..., "Api"], tmp_path: Path, photo: bytes
) -> None:
    """And whoever names it is told what is wrong with it."""
    registry = write_feed_forward_styles(tmp_path / "registry")
    shutil.copy(registry / "roses.safetensors", registry / "swap.safetensors")
    client = special_api(registry_dir=registry).client()
    assert "swap" not in {style["name"] for style in client.get("/styles").json()["styles"]}
    answer = order(client, photo, style="swap")
    assert (answer.status_code, answer.json()["code"]) == (422, "method_mismatch")
