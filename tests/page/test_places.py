"""Back and Forward: they lead through the visit, and not out of the page."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from nigaoe_core.jobs import Job, JobKind

pytestmark = [pytest.mark.browser, pytest.mark.slow]

BLUE = (0, 0, 255)


@pytest.fixture
def portrait(visitor: Any, studio: Any) -> Job:
    """A finished one, on the visitor's screen."""
    visitor.order()
    job: Job = studio.painter.finish(studio.painter.next_job(), "blue")
    visitor.at("finished")
    return job


def test_back_leads_from_the_print_to_the_photo_to_the_welcome(visitor: Any, portrait: Job) -> None:
    """And Forward the same way again; the photo is still here, so nothing is sent a second time."""
    sent: list[str] = []
    visitor.page.on("request", lambda request: request.method == "POST" and sent.append(request.url))
    visitor.page.go_back()
    visitor.at("style")
    visitor.page.go_back()
    expect(visitor.page.get_by_role("button", name="Choose a photo")).to_be_visible()
    visitor.page.go_forward()
    visitor.at("style")
    expect(visitor.page.get_by_role("img", name="Your face, cut out of the photo")).to_be_visible()
    assert not [url for url in sent if url.endswith(("/faces", "/convert"))]
    visitor.page.go_forward()
    visitor.at("finished")
    visitor.page.wait_for_url(re.compile(portrait.id))


def test_back_from_a_drawing_lets_it_go_on(visitor: Any, studio: Any) -> None:
    """Forward finds it again, wherever it has come to."""
    visitor.order()
    claim = studio.painter.next_job()
    visitor.page.wait_for_url(re.compile(claim.job_id))
    visitor.page.go_back()
    visitor.at("style")
    studio.painter.finish(claim, "blue")
    visitor.page.go_forward()
    visitor.at("finished")
    visitor.sees_colour("img[slot=second]", BLUE)


def test_back_from_an_unanswered_order_loses_no_print(
    visitor: Any, studio: Any, held_order: Callable[..., Any]
) -> None:
    """The studio draws it all the same, and it hangs in the drawer, where it can be erased."""
    order = held_order(visitor)
    claim = studio.painter.next_job()
    visitor.page.go_back()
    expect(visitor.page.get_by_role("button", name="Choose a photo")).to_be_visible()
    order.answer()
    expect(visitor.page.locator("#history-count")).to_have_text("1")
    assert claim.job_id not in visitor.page.url


@pytest.mark.usefixtures("portrait")
def test_a_photo_does_not_outlive_the_page(visitor: Any) -> None:
    """After a reload there is none to come back to, and Back leads to the welcome."""
    visitor.page.reload()
    visitor.at("finished")
    visitor.page.go_back()
    expect(visitor.page.get_by_role("button", name="Choose a photo")).to_be_focused()


@pytest.mark.usefixtures("portrait")
def test_another_photo_is_a_step_of_its_own(visitor: Any, portrait: Job) -> None:
    """Who turns back sees the print that was there."""
    with visitor.page.expect_file_chooser() as chooser:
        visitor.page.get_by_role("button", name="Draw another face").click()
    chooser.value.set_files(visitor.sample_photo)
    visitor.at("style")
    visitor.page.go_back()
    visitor.at("finished")
    visitor.page.wait_for_url(re.compile(portrait.id))


def test_a_failed_drawing_is_no_place_to_come_back_to(visitor: Any, studio: Any) -> None:
    """Back leads to the photo and whom of it to draw."""
    visitor.order()
    studio.painter.fail(studio.painter.next_job(), "worker_lost")
    visitor.at("trouble")
    visitor.page.go_back()
    visitor.at("style")


@pytest.mark.usefixtures("portrait")
def test_nothing_leads_back_to_what_was_deleted(visitor: Any) -> None:
    """Neither the print nor its photo."""
    visitor.page.get_by_role("button", name="Delete", exact=True).click()
    visitor.page.get_by_role("button", name="Really delete?").click()
    welcome = visitor.page.get_by_role("button", name="Choose a photo")
    expect(welcome).to_be_focused()
    visitor.page.go_back()
    expect(welcome).to_be_focused()


def test_the_skip_link_leaves_the_address_alone(visitor: Any, studio: Any) -> None:
    """It names the print, which a reload shall find."""
    visitor.order()
    job_id = studio.painter.next_job().job_id
    visitor.page.wait_for_url(re.compile(job_id))
    visitor.page.get_by_role("link", name="Skip to the studio").focus()
    visitor.page.keyboard.press("Enter")
    expect(visitor.page.locator("#main")).to_be_focused()
    assert job_id in visitor.page.url


def test_a_print_from_the_drawer_is_a_step_too(visitor: Any, studio: Any) -> None:
    """From one print to another and back."""
    jobs = []
    for colour in ("blue", "green"):
        visitor.order()
        jobs.append(studio.painter.finish(studio.painter.next_job(), colour))
        visitor.at("finished")
        studio.painter.finish(studio.painter.next_job(JobKind.RESTYLE), colour)
        visitor.page.get_by_role("link", name="to the beginning").click()
        expect(visitor.page.get_by_role("button", name="Choose a photo")).to_be_visible()
    for index, job in ((0, jobs[1]), (1, jobs[0])):
        visitor.page.get_by_role("button", name=re.compile("My prints")).click()
        visitor.page.locator(".history__open").nth(index).click()
        visitor.at("finished")
        visitor.page.wait_for_url(re.compile(job.id))
    visitor.page.go_back()
    visitor.page.wait_for_url(re.compile(jobs[1].id))
    visitor.at("finished")
