"""What surrounds the drawing: history, colours, keys, size, and access for everyone."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from page_faults import overflow, violations
from playwright.sync_api import expect

from nigaoe_api.api_keys import create_key
from nigaoe_core.jobs import JobKind

pytestmark = [pytest.mark.browser, pytest.mark.slow]

BLUE = (0, 0, 255)


def test_every_step_is_accessible(welcome: Callable[..., Any], studio: Any, group_photo: Any, landscape: Any) -> None:
    """Names, roles, contrast: axe-core finds no fault in any state."""
    guest = welcome(studio.url)
    assert violations(guest.page) == ""
    guest.give(landscape)
    guest.at("trouble")
    assert violations(guest.page) == ""
    guest.give(group_photo)
    guest.at("faces")
    assert violations(guest.page) == ""
    guest.page.get_by_role("button", name="This one").click()
    guest.at("style")
    assert violations(guest.page) == ""
    guest.page.get_by_role("button", name="Draw my likeness").click()
    claim = studio.painter.next_job()
    studio.painter.sketch(claim, 40, "red", drawing="blue")
    expect(guest.page.locator("#sketch-small")).to_be_visible()
    assert violations(guest.page) == ""
    job = studio.painter.finish(claim, "blue")
    guest.at("finished")
    assert violations(guest.page) == ""
    style = studio.styles[1]
    print_of_style = guest.page.locator(f"#style-prints label:has([value={style}])")
    studio.painter.fail(studio.painter.next_job(JobKind.RESTYLE, style=style), "numerical_failure")
    expect(print_of_style).to_contain_text("Couldn’t be drawn")
    guest.page.get_by_role("button", name="Portrait only").click()
    assert violations(guest.page) == ""
    print_of_style.click()
    studio.painter.finish(studio.painter.next_job(JobKind.RESTYLE, style=style), "green")
    # Only then the page knows of the look; the drawer shows what was known when it was opened.
    guest.sees_colour(f"#style-prints label:has([value={style}]) img", (0, 128, 0))
    guest.page.get_by_role("button", name="My prints").click()
    expect(guest.page.locator(".history__open span")).to_contain_text("Erased in")
    expect(guest.page.locator(".history__look")).to_be_visible()
    assert violations(guest.page) == ""
    guest.page.keyboard.press("Escape")
    link = guest.page.evaluate(
        "async id => (await (await fetch(`jobs/${id}/share`, {method: 'POST'})).json()).url", job.id
    )
    friend = welcome(studio.url, link.removeprefix(studio.url))
    friend.at("shared")
    assert violations(friend.page) == ""


def test_nothing_is_wider_than_a_phone(welcome: Callable[..., Any], studio: Any) -> None:
    """No step scrolls sideways."""
    guest = welcome(studio.url, has_touch=True)
    assert overflow(guest.page) == [0, 0]
    guest.order()
    assert overflow(guest.page) == [0, 0]
    studio.painter.finish(studio.painter.next_job(), "blue")
    guest.at("finished")
    assert overflow(guest.page) == [0, 0]
    guest.page.get_by_role("button", name=re.compile("My prints")).click()
    expect(guest.page.locator(".history__open span")).to_contain_text("Erased in")
    assert overflow(guest.page) == [0, 0]


def test_the_next_step_is_in_reach_of_a_thumb(welcome: Callable[..., Any], studio: Any) -> None:
    """On a phone nobody scrolls to order, and every step begins with the picture."""
    guest = welcome(studio.url, has_touch=True, is_mobile=True, viewport={"width": 390, "height": 664})
    guest.give()
    guest.at("style")
    start = guest.page.get_by_role("button", name="Draw my likeness")
    expect(start).to_be_in_viewport(ratio=1)
    guest.page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    start.click()
    studio.painter.next_job()
    guest.at("drawing")
    expect(guest.page.locator("#print-picture")).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("size", [(320, 568), (390, 664)])
def test_the_portrait_its_styles_and_the_download_are_in_sight_on_a_phone(
    welcome: Callable[..., Any], studio: Any, size: tuple[int, int]
) -> None:
    """Together, without scrolling."""
    guest = welcome(studio.url, has_touch=True, is_mobile=True, viewport={"width": size[0], "height": size[1]})
    guest.order()
    studio.painter.finish(studio.painter.next_job(), "blue")
    guest.at("finished")
    for part in ("#print-picture", "#download", "#portrait-only"):
        expect(guest.page.locator(part)).to_be_in_viewport(ratio=1)
    styles, bar = (guest.page.locator(part).bounding_box() for part in ("#style-prints img >> nth=0", "#download"))
    assert styles is not None
    assert bar is not None
    assert styles["y"] + styles["height"] / 2 < bar["y"]


def test_prints_hang_in_this_browser(visitor: Any, studio: Any) -> None:
    """After a reload, too; and only their numbers are kept here."""
    visitor.order()
    job = studio.painter.finish(studio.painter.next_job(), "blue")
    visitor.at("finished")
    visitor.page.goto(studio.url)
    visitor.page.get_by_role("button", name=re.compile("My prints")).click()
    visitor.sees_colour("#history-list img", BLUE)
    assert re.sub(r'(?<="kin":\[)["\w,-]*', "", visitor.page.evaluate("localStorage.getItem('nigaoe.prints')")) == (
        f'[{{"id":"{job.id}","kin":[]}}]'
    )
    assert visitor.page.evaluate("Object.keys(localStorage)") == ["nigaoe.prints"]
    visitor.page.get_by_role("button", name="Delete print 1").click()
    expect(visitor.page.locator("#history-empty")).to_be_visible()
    assert studio.painter.ordered() == []


def test_every_look_hangs_among_the_prints(visitor: Any, studio: Any) -> None:
    """Beside the first one of the same face, and can be opened from there."""
    visitor.order()
    studio.painter.finish(studio.painter.next_job(), "blue")
    visitor.at("finished")
    style = studio.styles[1]
    look = studio.painter.finish(studio.painter.next_job(JobKind.RESTYLE, style=style), "green")
    visitor.sees_colour(f"#style-prints label:has([value={style}]) img", (0, 128, 0))
    visitor.page.goto(studio.url)
    visitor.page.get_by_role("button", name=re.compile("My prints")).click()
    visitor.sees_colour(".history__look img", (0, 128, 0))
    visitor.page.locator(".history__look").first.click()
    visitor.at("finished")
    visitor.page.wait_for_url(re.compile(look.id))
    visitor.sees_colour("img[slot=second]", (0, 128, 0))


def test_another_browser_has_prints_of_its_own(visitor: Any, studio: Any, welcome: Callable[..., Any]) -> None:
    """Neither its list nor the address shows what was ordered here."""
    visitor.order()
    job = studio.painter.finish(studio.painter.next_job(), "blue")
    visitor.at("finished")
    stranger = welcome(studio.url, f"/#{job.id}")
    stranger.at("trouble")
    expect(stranger.page.get_by_role("heading", name="This print is gone")).to_be_visible()
    assert stranger.page.evaluate("async () => (await (await fetch('jobs')).json()).jobs") == []


def test_a_print_that_is_being_drawn_has_its_place(visitor: Any, studio: Any) -> None:
    """A blank sheet as large as the others, instead of words without a picture."""
    visitor.order()
    studio.painter.next_job()
    # The service has the job before the page has its answer, and whoever leaves before that has no print.
    visitor.page.wait_for_function("() => localStorage.getItem('nigaoe.prints')")
    visitor.page.goto(studio.url)
    visitor.page.get_by_role("button", name=re.compile("My prints")).click()
    expect(visitor.page.locator("#history-list span")).to_contain_text("Being drawn")
    sheet = visitor.page.locator("#history-list img").bounding_box()
    item = visitor.page.locator("#history-list li").bounding_box()
    assert sheet is not None
    assert item is not None
    assert sheet["width"] == pytest.approx(sheet["height"], abs=1)
    assert sheet["width"] > 0.8 * item["width"]


def test_an_expired_print_leaves_the_history(visitor: Any, studio: Any) -> None:
    """What the server has erased is forgotten here."""
    visitor.order()
    job = studio.painter.finish(studio.painter.next_job(), "blue")
    visitor.at("finished")
    studio.services.store.delete(job.id)
    visitor.page.goto(studio.url)
    expect(visitor.page.locator("#history-count")).to_have_text("1")
    visitor.page.get_by_role("button", name=re.compile("My prints")).click()
    expect(visitor.page.locator("#history-list li")).to_have_count(0)
    expect(visitor.page.locator("#history-count")).to_be_hidden()


def test_the_visitor_may_choose_the_night(welcome: Callable[..., Any], studio: Any) -> None:
    """Against the system's wish, and for the next visit, too."""
    guest = welcome(studio.url, color_scheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    assert guest.page.evaluate(paper) == "rgb(243, 234, 216)"
    guest.page.get_by_role("button", name="Dark colours").click()
    guest.page.reload()
    expect(guest.page.get_by_role("button", name="Dark colours")).to_have_attribute("aria-pressed", "true")
    assert guest.page.evaluate(paper) == "rgb(16, 20, 31)"


def test_a_studio_with_a_lock_asks_for_the_key(
    welcome: Callable[..., Any], open_studio: Callable[..., Any], tmp_path: Any
) -> None:
    """Once for a visit; a wrong one is asked for again."""
    keys = tmp_path / "keys.json"
    key, _ = create_key(keys, "a friend", "friends")
    guest = welcome(open_studio(api_keys_file=keys).url)
    guest.give()
    for attempt, refused in (("wrong", 0), (key, 1)):
        expect(guest.page.get_by_text("That key does not fit.").and_(guest.page.locator(":visible"))).to_have_count(
            refused
        )
        guest.page.get_by_label("The key that its keeper gave you").fill(attempt)
        guest.page.get_by_role("button", name="Enter").click()
    guest.at("style")
    guest.page.get_by_role("button", name="Draw my likeness").click()
    expect(guest.page.locator("#drawing-left")).to_have_text("You are next.")


def test_the_page_says_when_nobody_paints_yet(welcome: Callable[..., Any], studio: Any) -> None:
    """A worker that warms up is no error; the line goes when one is ready."""
    guest = welcome(studio.url)
    expect(guest.page.locator("#banner")).to_be_hidden()
    guest.page.route("**/readyz", lambda route: route.fulfill(status=503, json={"ready": False}))
    guest.page.reload()
    expect(guest.page.locator("#banner")).to_contain_text("laying out its brushes")
    guest.page.unroute("**/readyz")
    expect(guest.page.locator("#banner")).to_be_hidden()
