"""How a photo gets in, and which face of it is drawn."""

import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Request, expect

from nigaoe_core.store.blob_store import PHOTO

pytestmark = [pytest.mark.browser, pytest.mark.slow]

BRING = """async kind => {
    const blob = await (await fetch("sample.jpg")).blob();
    const data = new DataTransfer();
    data.items.add(new File([blob], "sample.jpg", {type: "image/jpeg"}));
    const event = kind === "paste"
        ? new ClipboardEvent("paste", {clipboardData: data, bubbles: true})
        : new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true});
    document.body.dispatchEvent(event);
}"""


def test_a_chosen_photo_with_one_face_leads_to_the_styles(visitor: Any) -> None:
    """Nobody is asked to choose among one face."""
    visitor.give()
    visitor.at("style")
    expect(visitor.page.locator("#style-choice input").first).to_be_checked()
    expect(visitor.page.get_by_role("heading", name="In which style?")).to_be_focused()


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_a_photo_can_be_pasted_and_dropped(visitor: Any, kind: str) -> None:
    """Anywhere on the page."""
    visitor.page.evaluate(BRING, kind)
    visitor.at("style")


def test_the_sample_is_at_hand(visitor: Any) -> None:
    """For those who only want to look."""
    visitor.page.get_by_role("button", name="Try the sample").click()
    visitor.at("style")


def test_the_camera_takes_a_photo(visitor: Any) -> None:
    """This machine's camera shows a test picture, in which nobody is seen; and the camera is closed afterwards."""
    visitor.page.get_by_role("button", name="Take a photo").click()
    expect(visitor.page.get_by_role("dialog", name="Look here")).to_be_visible()
    visitor.page.wait_for_function("document.getElementById('camera-view').videoWidth > 0")
    visitor.page.get_by_role("button", name="Take the photo").click()
    visitor.at("trouble")
    expect(visitor.page.get_by_role("heading", name="No face to be seen")).to_be_focused()
    assert visitor.page.evaluate("document.getElementById('camera-view').srcObject") is None


def test_without_a_camera_the_page_says_so(welcome: Callable[..., Any], studio: Any) -> None:
    """And points to the other way."""
    guest = welcome(studio.url)
    guest.page.evaluate("""() => {
        navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("none", "NotFoundError"));
    }""")
    guest.page.get_by_role("button", name="Take a photo").click()
    expect(guest.page.get_by_text("The camera cannot be used.")).to_be_visible()
    expect(guest.page.get_by_role("button", name="Choose a photo")).to_be_focused()


def test_among_several_faces_one_is_chosen_by_keyboard(visitor: Any, studio: Any, group_photo: Path) -> None:
    """The boxes are a group of radio buttons in the order of reading."""
    visitor.give(group_photo)
    visitor.at("faces")
    faces = visitor.page.get_by_role("radiogroup", name="Faces in the photo").get_by_role("radio")
    expect(faces).to_have_count(2)
    faces.nth(0).focus()
    visitor.page.keyboard.press("ArrowRight")
    expect(visitor.page.get_by_role("radio", name=re.compile("Face 2 of 2, on the right"))).to_be_checked()
    visitor.page.get_by_role("button", name="This one").click()
    visitor.at("style")
    expect(visitor.page.get_by_role("img", name="Your face, cut out of the photo")).to_be_visible()
    visitor.page.get_by_role("button", name="Draw my likeness").click()
    assert studio.painter.next_job().job.options.face == 1


def test_a_photo_without_a_face_says_what_to_do(visitor: Any, landscape: Path) -> None:
    """In words, not in codes; and another photo is one press away."""
    visitor.give(landscape)
    visitor.at("trouble")
    expect(visitor.page.locator("#trouble-text")).to_contain_text("one face looks at you")
    expect(visitor.page.locator("#trouble-retry")).to_be_hidden()
    with visitor.page.expect_file_chooser() as chooser:
        visitor.page.get_by_role("button", name="Another photo").click()
    chooser.value.set_files(visitor.sample_photo)
    visitor.at("style")


def test_a_file_that_is_no_photo_is_refused_in_words(visitor: Any, tmp_path: Path) -> None:
    """Whatever its name says."""
    text = tmp_path / "me.jpg"
    text.write_text("I am a letter.")
    visitor.give(text)
    visitor.at("trouble")
    expect(visitor.page.get_by_role("heading", name="Not a photo we can open")).to_be_visible()


def test_a_huge_photo_is_reduced_before_it_travels(
    visitor: Any, studio: Any, tmp_path: Path, sample_photo: Path
) -> None:
    """12 megapixels and more shrink on the visitor's device; the faces are found all the same."""
    huge = tmp_path / "huge.jpg"
    Image.open(sample_photo).convert("RGB").resize((4000, 4000)).save(huge, quality=95)
    with visitor.page.expect_request(f"{studio.url}/faces") as sent:
        visitor.give(huge)
    visitor.at("style")
    assert int(sent.value.all_headers()["content-length"]) < huge.stat().st_size / 2


def received(studio: Any) -> bytes:
    """The photo that the studio has been sent last and keeps for an order."""
    photos = [blob for blob in studio.services.blobs.list_blobs() if blob.key.endswith(f"/{PHOTO}")]
    content: bytes = studio.services.blobs.get(max(photos, key=lambda blob: blob.modified).key)
    return content


def upright_landscape_of(photo: Path, folder: Path) -> Path:
    """A large photo that lies on its side and says so in its metadata, as phones write them."""
    exif = Image.Exif()
    exif[0x0112] = 6  # The top of the scene is at the right: turn it a quarter clockwise.
    path = folder / "phone.jpg"
    lying = Image.open(photo).convert("RGB").resize((3000, 3600)).transpose(Image.Transpose.ROTATE_90)
    lying.save(path, quality=95, exif=exif)
    return path


def test_a_reduced_photo_is_upright_and_tells_nothing_else(
    visitor: Any, studio: Any, tmp_path: Path, sample_photo: Path
) -> None:
    """Turned as its metadata say, 2048 pixels at its longer side, and without the metadata."""
    visitor.give(upright_landscape_of(sample_photo, tmp_path))
    visitor.at("style")
    photo = Image.open(BytesIO(received(studio)))
    assert photo.format == "JPEG"
    assert photo.size == (1707, 2048)
    assert not photo.getexif()


def test_a_photo_travels_once(visitor: Any, studio: Any) -> None:
    """The order names what the search for faces has received."""
    posts: list[Request] = []
    visitor.page.on("request", lambda request: posts.append(request) if request.method == "POST" else None)
    with visitor.page.expect_response(f"{studio.url}/convert"):  # The step of the drawing is there before the order.
        visitor.order()
    assert [post.url for post in posts] == [f"{studio.url}/faces", f"{studio.url}/convert"]
    photo, order = (int(post.all_headers()["content-length"]) for post in posts)
    assert photo > visitor.sample_photo.stat().st_size
    assert order < 4096


def test_a_photo_that_is_not_there_any_more_is_sent_again(visitor: Any, studio: Any) -> None:
    """Whoever orders a second portrait of it does not notice that the first one's end erased it."""
    visitor.order()
    studio.painter.finish(studio.painter.next_job(), "blue")
    visitor.at("finished")
    visitor.page.go_back()
    visitor.at("style")
    visitor.page.get_by_role("button", name="Draw my likeness").click()
    studio.painter.finish(studio.painter.next_job(), "green")
    visitor.at("finished")
    visitor.sees_colour("img[slot=second]", (0, 128, 0))


ADVANCES = """() => {
    const bar = document.getElementById("upload-progress");
    const text = document.getElementById("reading-text").textContent;
    return bar.checkVisibility() && bar.value > 0.2 && /^Sending it to the studio: [\\d.]+ of [\\d.]+ MB/.test(text);
}"""
"""Seen at one moment: the upload goes on between two questions, and may be over at the second."""


def test_the_upload_is_seen_to_advance(visitor: Any, tmp_path: Path) -> None:
    """In megabytes and as a bar, over a line as slow as a phone's."""
    noise = tmp_path / "noise.png"
    Image.effect_noise((1100, 1100), 90).convert("RGB").save(noise)
    session = visitor.page.context.new_cdp_session(visitor.page)
    slow = {"offline": False, "latency": 20, "downloadThroughput": 200_000, "uploadThroughput": 400_000}
    session.send("Network.emulateNetworkConditions", slow)
    visitor.give(noise)
    visitor.page.wait_for_function(ADVANCES)
    visitor.at("trouble")


def test_a_photo_that_this_browser_cannot_read_goes_as_it_is(visitor: Any, studio: Any, heic_photo: Path) -> None:
    """HEIC in most; the studio reads it, and the faces are where they are in it."""
    visitor.give(heic_photo)
    visitor.at("style")
    assert received(studio) == heic_photo.read_bytes()
