"""Styles that draw without a search: what they take, what is seen of them, and what a reference may be."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from page_faults import overflow, violations
from PIL import Image
from playwright.sync_api import expect

from nigaoe_core.jobs import Job, Progress
from nigaoe_core.store.blob_store import REFERENCE

pytestmark = [pytest.mark.browser, pytest.mark.slow]

BLUE = (0, 0, 255)
GREEN = (0, 128, 0)


@pytest.fixture
def studio(one_pass_studio: Any) -> Any:
    """With styles of every method."""
    return one_pass_studio


@pytest.fixture
def sitter(visitor: Any) -> Any:
    """A visitor whose photo is there and who is asked for a style."""
    visitor.give()
    visitor.at("style")
    return visitor


@pytest.fixture
def anime(weights: Path) -> Path:
    """Somebody's drawing."""
    return weights / "samples" / "anime" / "1.webp"


@pytest.fixture
def blank(tmp_path: Path) -> Path:
    """A picture in which there is nothing to draw like."""
    path = tmp_path / "blank.png"
    Image.new("RGB", (300, 300), "pink").save(path)
    return path


def start(visitor: Any) -> None:
    visitor.page.get_by_role("button", name="Draw my likeness").click()


def refer(visitor: Any, picture: Path) -> None:
    """Choose a reference and see it."""
    with visitor.page.expect_file_chooser() as chooser:
        visitor.page.locator("#choose-reference").click()
    chooser.value.set_files(picture)
    expect(visitor.page.locator("#reference-name")).to_have_text(picture.name)


def drawn(visitor: Any, studio: Any, style: str = "roses", colour: str = "blue") -> Job:
    """A finished portrait of a style, on the visitor's screen."""
    visitor.choose_style(style)
    start(visitor)
    job: Job = studio.painter.finish_in_one_pass(studio.painter.next_job(style=style), colour)
    visitor.at("finished")
    visitor.page.wait_for_url(re.compile(job.id))
    return job


@pytest.mark.parametrize(
    ("style", "taken"),
    [
        ("anime", {"preset-choice", "method-details"}),
        ("roses", {"seed-choice", "reference-choice"}),
        ("blind-roses", {"seed-choice"}),
        ("swap", {"reference-choice"}),
    ],
)
def test_only_what_a_style_takes_can_be_chosen(sitter: Any, style: str, taken: set[str]) -> None:
    """A search's care and way, or one of many drawings and a picture to draw like."""
    sitter.choose_style("bare-swap")
    sitter.choose_style(style)
    expect(sitter.page.locator(f"#style-choice [value={style}]")).to_be_checked()
    controls = ("preset-choice", "method-details", "seed-choice", "reference-choice")
    assert {name for name in controls if sitter.page.locator(f"#{name}").is_visible()} == taken


def test_a_variation_is_ordered_by_its_number(sitter: Any, studio: Any) -> None:
    """One that chance gives, or one's own; the finished print says which one it is."""
    sitter.choose_style("roses")
    number = sitter.page.get_by_role("spinbutton", name="Variation")
    expect(number).to_have_value("0")
    sitter.page.get_by_role("button", name="Another one").click()
    expect(number).to_have_value(re.compile(r"^[1-9]\d*$"))
    number.fill("-1")
    start(sitter)
    expect(number).to_be_focused()
    number.fill("4711")
    start(sitter)
    claim = studio.painter.next_job()
    assert (claim.job.options.style, claim.job.options.seed) == ("roses", 4711)
    studio.painter.finish_in_one_pass(claim, "blue")
    sitter.at("finished")
    expect(sitter.page.locator("#finished-facts")).to_contain_text("Drawn in one go, variation 4711.")


def test_a_drawing_without_a_search_promises_none(sitter: Any, studio: Any) -> None:
    """Neither sketches nor a likeness that is sought; a reload shows the same."""
    sitter.choose_style("swap")
    start(sitter)
    claim = studio.painter.next_job()
    sitter.page.wait_for_url(re.compile(claim.job_id))
    stages = sitter.page.locator("#stages li:visible")
    for _ in range(2):
        sitter.at("drawing")
        expect(sitter.page.get_by_role("heading", name="Drawing you in one go")).to_be_visible()
        expect(stages).to_have_text([re.compile("Colours"), re.compile("Seal")])
        sitter.page.reload()
    studio.services.store.heartbeat(claim, progress=Progress(stage="decoding"))
    expect(sitter.page.locator('[data-stage="decoding"]')).to_have_attribute("aria-current", "step")
    expect(sitter.page.get_by_role("progressbar")).not_to_have_attribute("value", re.compile(""))
    expect(sitter.page.locator("#drawing-numbers")).to_be_empty()
    studio.painter.finish_in_one_pass(claim, "blue")
    sitter.at("finished")
    sitter.sees_colour("#compare-layer > img", BLUE)


def test_what_keeps_no_latent_offers_no_other_look(sitter: Any, studio: Any) -> None:
    """Beside the photo, to be taken home and deleted as any other; nothing is asked of the studio that it refuses."""
    asked: list[str] = []
    sitter.page.on("request", lambda request: asked.append(request.url) if request.method == "POST" else None)
    drawn(sitter, studio)
    sitter.sees_colour("img[slot=second]", BLUE)
    expect(sitter.page.get_by_role("slider", name="Compare the photo with the portrait")).to_be_visible()
    for name in ("How far into anime?", "Character", "Colours"):
        expect(sitter.page.get_by_role("slider", name=name)).to_be_hidden()
    expect(sitter.page.locator("#style-prints")).to_be_hidden()
    sitter.page.get_by_role("button", name="Delete", exact=True).click()
    sitter.page.get_by_role("button", name="Really delete?").click()
    expect(sitter.page.get_by_role("button", name="Choose a photo")).to_be_focused()
    assert studio.painter.ordered() == []
    assert not [url for url in asked if url.endswith("/restyle")]


def test_a_print_that_was_searched_for_is_offered_in_styles_of_its_kind(sitter: Any, studio: Any) -> None:
    """The others would need the photo, which is gone."""
    start(sitter)
    studio.painter.finish(studio.painter.next_job(), "blue")
    sitter.at("finished")
    offered = sitter.page.locator("#style-prints input")
    expect(offered).to_have_count(3)
    assert {radio.get_attribute("value") for radio in offered.all()} == {"illustration", "anime", "tv"}
    expect(sitter.page.locator("#looks")).to_be_visible()
    expect(sitter.page.locator("#another-place")).to_be_hidden()


def test_chance_may_be_tried_once_more(sitter: Any, studio: Any) -> None:
    """The same face of the same photo; each is a print of its own, and a step that Back undoes."""
    first = drawn(sitter, studio)
    another = sitter.page.get_by_role("button", name="Another one")
    another.click()
    claim = studio.painter.next_job()
    assert claim.job.options.style == "roses"
    assert claim.job.options.seed != first.options.seed
    second = studio.painter.finish_in_one_pass(claim, "green")
    sitter.page.wait_for_url(re.compile(second.id))
    sitter.at("finished")
    sitter.sees_colour("img[slot=second]", GREEN)
    expect(sitter.page.locator("#history-count")).to_have_text("2")
    sitter.page.go_back()
    sitter.page.wait_for_url(re.compile(first.id))
    sitter.at("finished")
    expect(another).to_be_visible()
    sitter.page.reload()
    sitter.at("finished")
    expect(another).to_be_hidden()  # The photo went with the page.


def test_a_reference_is_seen_sent_and_spoken_of(sitter: Any, studio: Any, anime: Path) -> None:
    """Then chance has no part in the drawing."""
    sitter.choose_style("roses")
    refer(sitter, anime)
    preview = sitter.page.get_by_role("img", name="The picture to draw like")
    expect(preview).to_be_visible()
    sitter.page.wait_for_function("document.getElementById('reference-view').naturalWidth > 0")
    expect(sitter.page.locator("#seed-choice")).to_be_hidden()
    start(sitter)
    claim = studio.painter.next_job()
    assert REFERENCE in claim.job.blobs
    studio.painter.finish_in_one_pass(claim, "blue")
    sitter.at("finished")
    expect(sitter.page.locator("#finished-facts")).to_contain_text("Drawn in one go, like your picture.")
    expect(sitter.page.locator("#another-place")).to_be_hidden()


def test_a_reference_can_be_taken_away(sitter: Any, studio: Any, anime: Path) -> None:
    """By keyboard, too: the focus stays where one was."""
    sitter.choose_style("roses")
    refer(sitter, anime)
    away = sitter.page.get_by_role("button", name="Without it")
    away.focus()
    sitter.page.keyboard.press("Enter")
    expect(sitter.page.get_by_role("button", name="Choose a picture")).to_be_focused()
    expect(sitter.page.locator("#reference-chosen")).to_be_hidden()
    expect(away).to_be_hidden()
    expect(sitter.page.locator("#seed-choice")).to_be_visible()
    start(sitter)
    assert REFERENCE not in studio.painter.next_job().job.blobs


def test_a_reference_goes_with_styles_that_take_one(sitter: Any, studio: Any, anime: Path) -> None:
    """It stays while the visitor looks at others, and is not sent with them."""
    sitter.choose_style("swap")
    refer(sitter, anime)
    sitter.choose_style("blind-roses")
    start(sitter)
    claim = studio.painter.next_job()
    assert REFERENCE not in claim.job.blobs
    sitter.page.wait_for_url(re.compile(claim.job_id))
    sitter.page.go_back()
    sitter.at("style")
    sitter.choose_style("swap")
    expect(sitter.page.locator("#reference-name")).to_have_text(anime.name)
    start(sitter)
    assert REFERENCE in studio.painter.next_job().job.blobs


def test_a_style_that_draws_nothing_without_a_reference_says_so(sitter: Any, studio: Any, anime: Path) -> None:
    """Before anything is sent."""
    sitter.choose_style("bare-swap")
    start(sitter)
    expect(sitter.page.get_by_role("alert").filter(has_text="draws nothing without one")).to_be_visible()
    expect(sitter.page.get_by_role("button", name="Choose a picture")).to_be_focused()
    refer(sitter, anime)
    expect(sitter.page.locator("#reference-trouble")).to_be_hidden()
    start(sitter)
    assert REFERENCE in studio.painter.next_job().job.blobs


def test_a_bad_reference_costs_nobody_the_photo(sitter: Any, studio: Any, blank: Path, anime: Path) -> None:
    """What is wrong is said beside it, and another one may be chosen."""
    sitter.choose_style("roses")
    refer(sitter, blank)
    start(sitter)
    expect(sitter.page.locator("#reference-trouble")).to_contain_text("No face to draw like")
    sitter.at("style")
    expect(sitter.page.get_by_role("img", name="Your face, cut out of the photo")).to_be_visible()
    refer(sitter, anime)
    start(sitter)
    assert REFERENCE in studio.painter.next_job().job.blobs


def test_a_reference_that_turns_out_bad_while_it_is_drawn_is_told_the_same_way(
    sitter: Any, studio: Any, anime: Path
) -> None:
    """The worker may be the first to find out."""
    sitter.choose_style("swap")
    refer(sitter, anime)
    start(sitter)
    studio.painter.fail(studio.painter.next_job(), "reference_without_face")
    sitter.at("style")
    expect(sitter.page.locator("#reference-trouble")).to_contain_text("No face to draw like")


DROP = """async selector => {
    const blob = await (await fetch("sample.jpg")).blob();
    const data = new DataTransfer();
    data.items.add(new File([blob], "dropped.jpg", {type: "image/jpeg"}));
    const event = new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true});
    document.querySelector(selector).dispatchEvent(event);
}"""


def test_a_picture_can_be_dropped_where_it_is_asked_for(sitter: Any) -> None:
    """There it is no new photo."""
    sitter.choose_style("roses")
    sitter.page.evaluate(DROP, "#reference-choice p")
    expect(sitter.page.locator("#reference-name")).to_have_text("dropped.jpg")
    sitter.at("style")


def test_what_was_stopped_leaves_no_reference_behind(sitter: Any, studio: Any, anime: Path) -> None:
    """Whoever sits down next at this page starts without one."""
    sitter.choose_style("roses")
    refer(sitter, anime)
    start(sitter)
    studio.painter.next_job()
    with sitter.page.expect_response(lambda response: response.request.method == "DELETE"):
        sitter.page.get_by_role("button", name="Stop and erase").click()
    sitter.give()
    sitter.at("style")
    expect(sitter.page.locator("#reference-choice")).to_be_visible()
    expect(sitter.page.locator("#reference-chosen")).to_be_hidden()


def test_every_state_is_accessible_and_fits_a_phone(welcome: Callable[..., Any], studio: Any, anime: Path) -> None:
    """With a reference and without, while it is drawn, and at the end."""
    guest = welcome(studio.url, has_touch=True)

    def is_sound() -> None:
        assert violations(guest.page) == ""
        assert overflow(guest.page) == [0, 0]

    guest.give()
    guest.at("style")
    guest.choose_style("bare-swap")
    start(guest)
    expect(guest.page.locator("#reference-trouble")).to_be_visible()
    is_sound()
    guest.choose_style("roses")
    is_sound()
    refer(guest, anime)
    is_sound()
    guest.page.get_by_role("button", name="Without it").click()
    start(guest)
    claim = studio.painter.next_job()
    guest.at("drawing")
    is_sound()
    studio.painter.finish_in_one_pass(claim, "blue")
    guest.at("finished")
    expect(guest.page.get_by_role("button", name="Another one")).to_be_visible()
    is_sound()


def test_the_next_step_stays_in_reach_of_a_thumb(welcome: Callable[..., Any], studio: Any, anime: Path) -> None:
    """However much a style takes."""
    guest = welcome(studio.url, has_touch=True, is_mobile=True, viewport={"width": 390, "height": 664})
    guest.give()
    guest.at("style")
    guest.choose_style("roses")
    refer(guest, anime)
    expect(guest.page.get_by_role("button", name="Draw my likeness")).to_be_in_viewport(ratio=1)
