"""How a photo gets in, and which face of it is drawn."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import expect

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
    expect(visitor.page.get_by_role("radio", name="Frontal anime portraits")).to_be_checked()
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
    visitor.page.get_by_role("button", name="Another photo").click()
    expect(visitor.page.get_by_role("button", name="Choose a photo")).to_be_focused()


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
