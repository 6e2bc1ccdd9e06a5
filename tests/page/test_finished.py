"""A finished portrait: compared, changed, taken home, shared, erased."""

import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import expect

from nigaoe_core.jobs import Job, JobKind

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
    claim = studio.painter.next_job(JobKind.RESTYLE, degree=0.9)
    assert claim.job.parent_id == portrait.id
    studio.painter.finish(claim, "green")
    visitor.sees_colour("img[slot=second]", GREEN)
    visitor.page.keyboard.press("ArrowRight")
    visitor.sees_colour("img[slot=second]", BLUE)
    visitor.page.keyboard.press("ArrowLeft")
    visitor.sees_colour("img[slot=second]", GREEN)
    assert [job.options.degree for job in studio.painter.ordered()].count(0.9) == 1


@pytest.mark.usefixtures("portrait")
@pytest.mark.parametrize(
    ("label", "option", "ends_at"), [("Colours", "colours", 0.9), ("Character", "truncation", 0.75)]
)
def test_the_person_or_the_style_may_have_more_of_a_say(
    visitor: Any, studio: Any, label: str, option: str, ends_at: float
) -> None:
    """Both sliders lie folded away, and their drawings are made like another degree's."""
    visitor.page.get_by_text("More of you, or more of an ideal").click()
    visitor.page.get_by_role("slider", name=label).focus()
    visitor.page.keyboard.press("ArrowLeft")
    studio.painter.finish(studio.painter.next_job(JobKind.RESTYLE, **{option: ends_at}), "green")
    visitor.sees_colour("img[slot=second]", GREEN)
    expect(visitor.page.locator(f"#{option}-value")).to_have_text(f"{round(ends_at * 100)} %")


@pytest.mark.usefixtures("portrait")
def test_only_the_last_of_fast_changes_is_asked_for(visitor: Any, studio: Any) -> None:
    """A slider in motion orders nothing."""
    degree = visitor.page.get_by_role("slider", name="How far into anime?")
    slide = """slider => { for (const value of [90, 80, 70, 60]) {
        slider.value = value; slider.dispatchEvent(new Event("input")); } }"""
    degree.evaluate(slide)
    studio.painter.finish(studio.painter.next_job(JobKind.RESTYLE, degree=0.6), "green")
    visitor.sees_colour("img[slot=second]", GREEN)
    assert {job.options.degree for job in studio.painter.ordered()} == {1.0, 0.6}


@pytest.mark.usefixtures("portrait")
def test_a_look_that_fails_returns_to_the_last_one(visitor: Any, studio: Any) -> None:
    """The controls never show what the picture is not."""
    degree = visitor.page.get_by_role("slider", name="How far into anime?")
    degree.focus()
    visitor.page.keyboard.press("ArrowLeft")
    studio.painter.fail(studio.painter.next_job(JobKind.RESTYLE, degree=0.9), "numerical_failure")
    expect(visitor.page.locator("#restyling")).to_contain_text("No likeness was found")
    expect(degree).to_have_value("100")


def test_every_style_is_drawn_and_one_becomes_the_large_print(visitor: Any, studio: Any, portrait: Job) -> None:
    """Side by side, in the order of the API; the first is there already. Each has an address that a reload finds."""
    first, second = studio.styles[:2]
    assert portrait.options.style == first
    visitor.sees_colour(f"#style-prints label:has([value={first}]) img", BLUE)
    print_of_second = visitor.page.locator(f"#style-prints label:has([value={second}])")
    expect(print_of_second).to_contain_text("Being drawn")
    look = studio.painter.finish(studio.painter.next_job(JobKind.RESTYLE, style=second), "green")
    visitor.sees_colour(f"#style-prints label:has([value={second}]) img", GREEN)
    visitor.sees_colour("img[slot=second]", BLUE)
    assert (portrait.options.truncation, look.options.truncation) == (0.8, 0.7), "each style has its own"
    print_of_second.click()
    visitor.sees_colour("img[slot=second]", GREEN)
    visitor.page.wait_for_url(re.compile(look.id))
    visitor.page.reload()
    visitor.at("finished")
    visitor.sees_colour("img[slot=second]", GREEN)
    expect(print_of_second.get_by_role("radio")).to_be_checked()
    visitor.sees_colour(f"#style-prints label:has([value={first}]) img", BLUE)


@pytest.mark.usefixtures("portrait")
def test_a_style_that_fails_says_so_and_can_be_tried_again(visitor: Any, studio: Any) -> None:
    """In its place; the large print and the others stay as they are."""
    second = studio.styles[1]
    studio.painter.fail(studio.painter.next_job(JobKind.RESTYLE, style=second), "numerical_failure")
    print_of_second = visitor.page.locator(f"#style-prints label:has([value={second}])")
    expect(print_of_second).to_contain_text("Couldn’t be drawn")
    visitor.sees_colour("img[slot=second]", BLUE)
    print_of_second.click()
    studio.painter.finish(studio.painter.next_job(JobKind.RESTYLE, style=second), "green")
    visitor.sees_colour("img[slot=second]", GREEN)
    visitor.sees_colour(f"#style-prints label:has([value={second}]) img", GREEN)


def test_a_style_of_another_parent_says_what_it_needs(visitor: Any, studio: Any) -> None:
    """It cannot draw this face's latent, and is not offered."""
    visitor.order()
    refusal = {"code": "parent_mismatch", "title": "", "detail": "", "status": 409}
    visitor.page.route("**/restyle", lambda route: route.fulfill(status=409, json=refusal))
    studio.painter.finish(studio.painter.next_job(), "blue")
    visitor.at("finished")
    print_of_second = visitor.page.locator(f"#style-prints label:has([value={studio.styles[1]}])")
    expect(print_of_second).to_contain_text("Needs a search of its own")
    expect(print_of_second.get_by_role("radio")).to_be_disabled()
    visitor.sees_colour("img[slot=second]", BLUE)


@pytest.mark.usefixtures("portrait")
def test_the_portrait_can_be_seen_without_the_photo(visitor: Any) -> None:
    """By one button beside the line, and back again."""
    line = visitor.page.get_by_role("slider", name="Compare the photo with the portrait")
    only = visitor.page.get_by_role("button", name="Portrait only")
    only.click()
    expect(only).to_have_attribute("aria-pressed", "true")
    expect(line).to_be_hidden()
    visitor.sees_colour("#compare-layer > img", BLUE)
    only.click()
    expect(line).to_be_visible()


def test_the_portrait_is_saved_as_a_file(visitor: Any, portrait: Job, tmp_path: Path) -> None:
    """A PNG with a name that says where it came from."""
    with visitor.page.expect_download() as saved:
        visitor.page.get_by_role("button", name="Download").click()
    assert saved.value.suggested_filename == f"nigaoe-{portrait.options.style}-{portrait.id[:8]}.png"
    saved.value.save_as(tmp_path / "portrait.png")
    picture = Image.open(BytesIO((tmp_path / "portrait.png").read_bytes()))
    assert (picture.format, picture.convert("RGB").getpixel((0, 0))) == ("PNG", BLUE)


def test_a_copied_link_shows_the_portrait_to_a_friend(
    visitor: Any, studio: Any, welcome: Callable[..., Any], portrait: Job
) -> None:
    """The drawing and nothing else: no photo, no other looks, and no way to delete it."""
    visitor.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor.page.get_by_role("button", name="Copy link").click()
    expect(visitor.page.locator("#restyling")).to_contain_text("The link is copied")
    link = visitor.page.evaluate("navigator.clipboard.readText()")
    friend = welcome(studio.url, link.removeprefix(studio.url))
    friend.at("shared")
    friend.sees_colour("#compare-layer > img", BLUE)
    for hidden in ("#delete", "#style-prints", "#degree", "#portrait-only"):
        expect(friend.page.locator(hidden)).to_be_hidden()
    with friend.page.expect_download() as saved:
        friend.page.get_by_role("button", name="Download").click()
    assert saved.value.suggested_filename.endswith(f"{portrait.id[:8]}.png")
    expect(friend.page.locator("#history-count")).to_be_hidden()


@pytest.mark.usefixtures("portrait")
def test_the_owner_of_a_link_may_do_what_owners_may(visitor: Any, studio: Any) -> None:
    """In the browser that the portrait was ordered in; beside it stands the face as a person, as the photo is gone."""
    visitor.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor.page.get_by_role("button", name="Copy link").click()
    expect(visitor.page.locator("#restyling")).to_contain_text("The link is copied")
    studio.painter.finish(studio.painter.next_job(JobKind.RESTYLE, style=studio.styles[1]), "red")
    link = visitor.page.evaluate("navigator.clipboard.readText()")
    visitor.page.goto("about:blank")
    visitor.page.goto(link)
    visitor.at("finished")
    for style in studio.styles[2:]:
        studio.painter.finish(studio.painter.next_job(JobKind.RESTYLE, style=style), "red")
    studio.painter.finish(studio.painter.next_job(JobKind.RESTYLE, degree=0.0), "green")
    visitor.sees_colour("img[slot=second]", BLUE)
    visitor.sees_colour("img[slot=first]", GREEN)
    expect(visitor.page.get_by_role("button", name="Delete", exact=True)).to_be_visible()


@pytest.mark.parametrize("link", ["/#00000000-0000-4000-8000-000000000000.AAAA", "/#{job}.AAAA"])
def test_a_damaged_link_says_so(welcome: Callable[..., Any], studio: Any, portrait: Job, link: str) -> None:
    """And shows nothing."""
    friend = welcome(studio.url, link.format(job=portrait.id))
    friend.at("trouble")
    expect(friend.page.locator("#compare-layer")).to_be_hidden()


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
    studio.painter.finish(studio.painter.next_job(JobKind.RESTYLE, degree=0.9), "green")
    visitor.sees_colour("img[slot=second]", GREEN)
    button = visitor.page.locator("#delete")
    place = button.bounding_box()
    visitor.page.get_by_role("button", name="Delete", exact=True).click()
    expect(visitor.page.locator("#delete-warning")).to_be_visible()
    assert len(studio.painter.ordered()) >= 2
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
