"""A finished portrait: compared, changed, taken home, shared, erased."""

import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import expect

from core.jobs import Job, JobKind

pytestmark = [pytest.mark.browser, pytest.mark.slow]

BLUE = (0, 0, 255)
GREEN = (0, 128, 0)


@pytest.fixture
def portrait(visitor: Any, studio: Any) -> Job:
    """A finished one, blue, on the visitor's screen."""
    visitor.order()
    job: Job = studio.painter.finish(studio.painter.next_job(), "blue")
    visitor.at("finished")
    return job


@pytest.mark.usefixtures("portrait")
def test_the_line_between_photo_and_portrait_obeys_keys(visitor: Any) -> None:
    """And tells a screen reader where it stands."""
    line = visitor.page.get_by_role("slider", name="Compare the photo with the portrait")
    expect(line).to_have_attribute("aria-valuenow", "50")
    line.focus()
    visitor.page.keyboard.press("ArrowRight")
    visitor.page.keyboard.press("PageDown")
    expect(line).to_have_attribute("aria-valuetext", "35 % photo, 65 % portrait")
    visitor.page.keyboard.press("Home")
    expect(line).to_have_attribute("aria-valuenow", "0")


@pytest.mark.usefixtures("portrait")
def test_the_line_follows_the_mouse(visitor: Any) -> None:
    """Wherever the picture is pressed."""
    line = visitor.page.get_by_role("slider", name="Compare the photo with the portrait")
    box = line.bounding_box()
    assert box is not None
    visitor.page.mouse.click(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    expect(line).to_have_attribute("aria-valuenow", re.compile(r"2[45]"))


def test_another_degree_is_drawn_once(visitor: Any, studio: Any, portrait: Job) -> None:
    """From the stored latent, without a new search; coming back costs nothing."""
    degree = visitor.page.get_by_role("slider", name="How far into anime?")
    degree.focus()
    visitor.page.keyboard.press("ArrowLeft")
    claim = studio.painter.next_job(JobKind.RESTYLE)
    assert (claim.job.parent_id, claim.job.options.degree) == (portrait.id, 0.9)
    studio.painter.finish(claim, "green")
    visitor.sees_colour("img[slot=second]", GREEN)
    visitor.page.keyboard.press("ArrowRight")
    visitor.sees_colour("img[slot=second]", BLUE)
    visitor.page.keyboard.press("ArrowLeft")
    visitor.sees_colour("img[slot=second]", GREEN)
    assert len(studio.painter.ordered()) == 2


@pytest.mark.usefixtures("portrait")
@pytest.mark.parametrize(
    ("label", "option", "ends_at"), [("Colours", "colours", 0.9), ("Character", "truncation", 0.6)]
)
def test_the_person_or_the_style_may_have_more_of_a_say(
    visitor: Any, studio: Any, label: str, option: str, ends_at: float
) -> None:
    """Both sliders lie folded away, and their drawings are made like another degree's."""
    visitor.page.get_by_text("More of you, or more of an ideal").click()
    visitor.page.get_by_role("slider", name=label).focus()
    visitor.page.keyboard.press("ArrowLeft")
    claim = studio.painter.next_job(JobKind.RESTYLE)
    assert getattr(claim.job.options, option) == ends_at
    studio.painter.finish(claim, "green")
    visitor.sees_colour("img[slot=second]", GREEN)
    expect(visitor.page.locator(f"#{option}-value")).to_have_text(f"{round(ends_at * 100)} %")


@pytest.mark.usefixtures("portrait")
def test_only_the_last_of_fast_changes_is_asked_for(visitor: Any, studio: Any) -> None:
    """A slider in motion orders nothing."""
    degree = visitor.page.get_by_role("slider", name="How far into anime?")
    slide = """slider => { for (const value of [90, 80, 70, 60]) {
        slider.value = value; slider.dispatchEvent(new Event("input")); } }"""
    degree.evaluate(slide)
    claim = studio.painter.next_job(JobKind.RESTYLE)
    assert claim.job.options.degree == 0.6
    studio.painter.finish(claim, "green")
    visitor.sees_colour("img[slot=second]", GREEN)
    assert len(studio.painter.ordered()) == 2


@pytest.mark.usefixtures("portrait")
def test_a_look_that_fails_returns_to_the_last_one(visitor: Any, studio: Any) -> None:
    """The controls never show what the picture is not."""
    degree = visitor.page.get_by_role("slider", name="How far into anime?")
    degree.focus()
    visitor.page.keyboard.press("ArrowLeft")
    studio.painter.fail(studio.painter.next_job(JobKind.RESTYLE), "numerical_failure")
    expect(visitor.page.locator("#restyling")).to_contain_text("No likeness was found")
    expect(degree).to_have_value("100")


def test_the_portrait_is_saved_as_a_file(visitor: Any, portrait: Job, tmp_path: Path) -> None:
    """A PNG with a name that says where it came from."""
    with visitor.page.expect_download() as saved:
        visitor.page.get_by_role("button", name="Download").click()
    assert saved.value.suggested_filename == f"nigaoe-anime-{portrait.id[:8]}.png"
    saved.value.save_as(tmp_path / "portrait.png")
    picture = Image.open(BytesIO((tmp_path / "portrait.png").read_bytes()))
    assert (picture.format, picture.convert("RGB").getpixel((0, 0))) == ("PNG", BLUE)


@pytest.mark.usefixtures("portrait")
def test_a_copied_link_shows_the_portrait_to_a_friend(visitor: Any, studio: Any, welcome: Callable[..., Any]) -> None:
    """Without the photo, which is in nobody's browser but the visitor's: beside it stands the face as a person."""
    visitor.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor.page.get_by_role("button", name="Copy link").click()
    expect(visitor.page.locator("#restyling")).to_contain_text("The link is copied")
    link = visitor.page.evaluate("navigator.clipboard.readText()")
    friend = welcome(studio.url, link.removeprefix(studio.url))
    claim = studio.painter.next_job(JobKind.RESTYLE)
    assert claim.job.options.degree == 0
    studio.painter.finish(claim, "green")
    friend.at("finished")
    friend.sees_colour("img[slot=second]", BLUE)
    friend.sees_colour("img[slot=first]", GREEN)


def test_a_phone_shares_the_picture_itself(studio: Any, welcome: Callable[..., Any]) -> None:
    """Where the device has a share sheet, it gets a file."""
    friend = welcome(studio.url)
    friend.page.add_init_script(
        """navigator.canShare = () => true;
        navigator.share = async data => { window.shared = {name: data.files[0].name, size: data.files[0].size}; };"""
    )
    friend.page.reload()
    friend.page.wait_for_selector("html[data-ready]", state="attached")
    friend.order()
    studio.painter.finish(studio.painter.next_job(), "blue")
    friend.at("finished")
    friend.page.get_by_role("button", name="Share").click()
    expect(friend.page.locator("#restyling")).to_have_text("Shared.")
    shared = friend.page.evaluate("window.shared")
    assert shared["name"].endswith(".png")
    assert shared["size"] > 0


@pytest.mark.usefixtures("portrait")
def test_deleting_takes_two_presses_and_leaves_nothing(visitor: Any, studio: Any) -> None:
    """The portrait, and every other look of it."""
    visitor.page.get_by_role("slider", name="How far into anime?").focus()
    visitor.page.keyboard.press("ArrowLeft")
    studio.painter.finish(studio.painter.next_job(JobKind.RESTYLE), "green")
    visitor.sees_colour("img[slot=second]", GREEN)
    button = visitor.page.locator("#delete")
    place = button.bounding_box()
    visitor.page.get_by_role("button", name="Delete", exact=True).click()
    assert len(studio.painter.ordered()) == 2
    armed = button.bounding_box()
    assert place is not None
    assert armed is not None
    assert (armed["x"], armed["y"]) == (place["x"], place["y"])  # Nothing else slips under the pointer.
    visitor.page.get_by_role("button", name="Really delete?").click()
    expect(visitor.page.get_by_role("button", name="Choose a photo")).to_be_focused()
    assert studio.painter.ordered() == []
    assert visitor.page.evaluate("localStorage.getItem('nigaoe.prints')") == "[]"


def test_a_link_to_a_deleted_portrait_says_so(welcome: Callable[..., Any], studio: Any) -> None:
    """And not that something went wrong."""
    guest = welcome(studio.url, "/#00000000-0000-4000-8000-000000000000")
    guest.at("trouble")
    expect(guest.page.get_by_role("heading", name="This print is gone")).to_be_visible()
