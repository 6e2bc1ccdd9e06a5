"""While a portrait is drawn: what the visitor sees of it, and what happens when something goes wrong."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Route, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

RED = (255, 0, 0)
BLUE = (0, 0, 255)


def test_the_search_is_watched_live(visitor: Any, studio: Any) -> None:
    """Numbers, a bar and the sketches themselves come as they are made."""
    visitor.order()
    claim = studio.painter.next_job()
    studio.painter.sketch(claim, 40, "red")
    expect(visitor.page.locator("#drawing-numbers")).to_have_text(
        "Sketch 40 of at most 100 · 20 % nearer to you than the first"
    )
    expect(visitor.page.get_by_role("progressbar")).to_have_js_property("value", 0.4)
    visitor.sees_colour("#sketch-large img:not([hidden])", RED)
    expect(visitor.page.locator('[data-stage="inverting"]')).to_have_attribute("aria-current", "step")
    studio.painter.finish(claim, "blue")
    visitor.at("finished")
    visitor.sees_colour("img[slot=second]", BLUE)


def test_the_sketch_is_seen_as_a_drawing_with_the_person_in_its_corner(visitor: Any, studio: Any) -> None:
    """As soon as the worker knows that somebody watches."""
    visitor.order()
    claim = studio.painter.next_job()
    studio.painter.sketch(claim, 10, "red")
    visitor.sees_colour("#sketch-large img:not([hidden])", RED)
    expect(visitor.page.locator("#sketch-small")).to_be_hidden()
    studio.painter.sketch(claim, 20, "red", drawing="blue")
    visitor.sees_colour("#sketch-large img:last-of-type", BLUE)
    visitor.sees_colour("#sketch-small img:not([hidden])", RED)


def test_without_events_the_page_asks(visitor: Any, studio: Any) -> None:
    """Some proxies hold streams back; the portrait arrives all the same."""
    visitor.page.route("**/events", lambda route: route.abort())
    visitor.order()
    claim = studio.painter.next_job()
    studio.painter.sketch(claim, 40, "red")
    expect(visitor.page.locator("#drawing-numbers")).to_contain_text("Sketch 40")
    studio.painter.finish(claim, "blue")
    visitor.at("finished")


def test_a_broken_stream_goes_on_where_it_was(visitor: Any, studio: Any) -> None:
    """The first stream ends after one sketch; the next one begins behind it."""

    def cut_first(route: Route) -> None:
        if route.request.header_value("last-event-id"):
            return route.continue_()
        events = 'id: 0-1\nevent: progress\ndata: {"stage": "inverting", "step": 3, "total": 100}\n\n'
        return route.fulfill(status=200, content_type="text/event-stream", body=events)

    visitor.page.route("**/events", cut_first)
    with visitor.page.expect_request(lambda request: request.headers.get("last-event-id") == "0-1"):
        visitor.order()
    studio.painter.sketch(studio.painter.next_job(), 50, "red")
    visitor.sees_colour("#sketch-large img:not([hidden])", RED)


def test_a_reload_finds_the_drawing_again(visitor: Any, studio: Any) -> None:
    """The page's address names the job."""
    visitor.order()
    claim = studio.painter.next_job()
    visitor.page.wait_for_url(re.compile(claim.job_id))
    visitor.page.reload()
    visitor.at("drawing")
    studio.painter.sketch(claim, 70, "red")
    expect(visitor.page.locator("#drawing-numbers")).to_contain_text("Sketch 70")


def test_stopping_erases(visitor: Any, studio: Any) -> None:
    """Nothing of a drawing that was stopped is left."""
    visitor.order()
    claim = studio.painter.next_job()
    with visitor.page.expect_response(lambda response: response.request.method == "DELETE") as erased:
        visitor.page.get_by_role("button", name="Stop and erase").click()
    assert erased.value.status == 204
    expect(visitor.page.get_by_role("heading", name="Your face, drawn as anime.")).to_be_visible()
    assert claim.job_id not in {job.id for job in studio.painter.ordered()}
    expect(visitor.page.locator("#history-count")).to_be_hidden()


def test_stopping_erases_what_the_studio_has_not_confirmed_yet(
    visitor: Any, studio: Any, held_order: Callable[..., Any]
) -> None:
    """It has taken the order, but its answer is still on the way: nobody knows yet by what name to erase it."""
    order = held_order(visitor)
    claim = studio.painter.next_job()
    visitor.page.get_by_role("button", name="Stop and erase").click()
    expect(visitor.page.get_by_role("heading", name="Your face, drawn as anime.")).to_be_visible()
    with visitor.page.expect_response(lambda response: response.request.method == "DELETE") as erased:
        order.answer()
    assert erased.value.status == 204
    assert claim.job_id not in {job.id for job in studio.painter.ordered()}
    expect(visitor.page.locator("#polite")).to_have_text("Deleted. Nothing of it is left on the server.")
    expect(visitor.page.locator("#history-count")).to_be_hidden()


def test_stopping_erases_although_the_answer_to_the_order_was_lost(
    visitor: Any, studio: Any, held_order: Callable[..., Any]
) -> None:
    """Asked again, the studio tells what it made of the order, and makes nothing new of it."""
    order = held_order(visitor)
    claim = studio.painter.next_job()
    visitor.page.get_by_role("button", name="Stop and erase").click()
    with visitor.page.expect_response(lambda response: response.request.method == "DELETE") as erased:
        order.lose()
    assert erased.value.status == 204
    assert claim.job_id in erased.value.url
    assert studio.painter.ordered() == []


def test_an_order_that_was_refused_needs_no_erasing(
    welcome: Callable[..., Any], open_studio: Callable[..., Any], held_order: Callable[..., Any]
) -> None:
    """Who has stopped it need not hear that the studio was full."""
    studio = open_studio(max_queued_jobs=1)
    first, second = welcome(studio.url), welcome(studio.url)
    first.order()
    expect(first.page.locator("#drawing-left")).to_have_text("You are next.")
    order = held_order(second)
    assert order.answered.status == 503
    second.page.get_by_role("button", name="Stop and erase").click()
    order.answer()
    expect(second.page.locator("#polite")).to_have_text("Stopped. Nothing had been drawn.")
    expect(second.page.get_by_role("heading", name="Your face, drawn as anime.")).to_be_visible()


def test_erasing_fetches_nobody_back_from_the_next_photo(
    visitor: Any, studio: Any, held_order: Callable[..., Any]
) -> None:
    """It may take its time, and the visitor need not wait for it."""
    order = held_order(visitor)
    visitor.page.get_by_role("button", name="Stop and erase").click()
    visitor.give()
    visitor.at("style")
    with visitor.page.expect_response(lambda response: response.request.method == "DELETE") as erased:
        order.answer()
    assert erased.value.status == 204
    expect(visitor.page.locator("#polite")).to_have_text("Deleted. Nothing of it is left on the server.")
    visitor.at("style")
    assert studio.painter.ordered() == []


def test_a_failed_drawing_can_be_tried_again(visitor: Any, studio: Any) -> None:
    """The photo is still here: only the order is given again."""
    visitor.order()
    studio.painter.fail(studio.painter.next_job(), "worker_lost")
    visitor.at("trouble")
    expect(visitor.page.get_by_role("heading", name="The brush was dropped")).to_be_focused()
    visitor.page.get_by_role("button", name="Try again").click()
    visitor.at("style")


def test_a_full_studio_counts_down_and_tries_by_itself(
    welcome: Callable[..., Any], open_studio: Callable[..., Any]
) -> None:
    """With Retry-After as the server says; the photo stays in the page meanwhile."""
    studio = open_studio(max_queued_jobs=1)
    first, second = welcome(studio.url), welcome(studio.url)
    first.order()
    expect(first.page.locator("#drawing-left")).to_have_text("You are next.")
    second.give()
    second.at("style")
    second.page.get_by_role("button", name="Draw my likeness").click()
    second.at("trouble")
    expect(second.page.get_by_role("heading", name="The studio is full")).to_be_visible()
    expect(second.page.locator("#trouble-countdown")).to_have_text(re.compile(r"Next try in \d+ s"))
    studio.painter.next_job()
    second.at("drawing")
    studio.painter.next_job()


def test_a_photo_waits_out_a_lost_connection(visitor: Any, studio: Any) -> None:
    """Offline at the moment of the order: sent when the network is back, once."""
    visitor.give()
    visitor.at("style")
    visitor.page.context.set_offline(True)
    expect(visitor.page.locator("#banner")).to_contain_text("You’re offline")
    visitor.page.get_by_role("button", name="Draw my likeness").click()
    visitor.at("trouble")
    visitor.page.context.set_offline(False)
    visitor.at("drawing")
    studio.painter.next_job()
    expect(visitor.page.locator("#banner")).to_be_hidden()
    assert len(studio.painter.ordered()) == 1
