"""A studio that is gone for a while: the visitor hears of it, waits, and loses nothing."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from breakable_line import BreakableLine
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

RED = (255, 0, 0)
BLUE = (0, 0, 255)
SCRIPT = Path(__file__).resolve().parents[2] / "api" / "nigaoe_api" / "page" / "js" / "connection.js"


@pytest.fixture
def line(studio: Any) -> Iterator[BreakableLine]:
    """Between the visitor and the studio."""
    port = urlsplit(studio.url).port
    assert port is not None
    with BreakableLine(port) as line:
        yield line


@pytest.fixture
def caller(welcome: Callable[..., Any], line: BreakableLine) -> Any:
    """A visitor at the far end of the line."""
    return welcome(f"http://127.0.0.1:{line.port}")


@pytest.mark.parametrize("loss", [BreakableLine.cut, BreakableLine.mute])
def test_a_studio_that_is_gone_while_it_draws_is_told_of_and_waited_for(
    caller: Any, studio: Any, line: BreakableLine, loss: Callable[[BreakableLine], None]
) -> None:
    """Whether its connections break or only fall silent; what it drew meanwhile is there when it is back."""
    caller.order()
    claim = studio.painter.next_job()
    studio.painter.sketch(claim, 40, "red")
    caller.sees_colour("#sketch-large img:not([hidden])", RED)
    loss(line)
    expect(caller.page.locator("#banner")).to_contain_text("The studio isn’t answering")
    studio.painter.finish(claim, "blue")
    line.mend()
    caller.at("finished")
    caller.sees_colour("img[slot=second]", BLUE)
    expect(caller.page.locator("#banner")).to_be_hidden()


def test_an_order_waits_for_the_studio(caller: Any, studio: Any, line: BreakableLine) -> None:
    """Nobody has to press anything when it is back, and it is given once."""
    caller.give()
    caller.at("style")
    line.cut()
    caller.page.get_by_role("button", name="Draw my likeness").click()
    caller.at("trouble")
    expect(caller.page.get_by_role("heading", name="The studio is out of reach")).to_be_focused()
    line.mend()
    caller.at("drawing")
    studio.painter.finish(studio.painter.next_job(), "blue")
    caller.at("finished")


def test_silence_is_told_of_within_three_seconds() -> None:
    """The longest silence, the longest wait for a sign of life, and the two moments between them."""
    script = SCRIPT.read_text("utf-8")
    seconds = {name: float(value) for name, value in re.findall(r"^const (\w+)_SECONDS = ([\d.]+);", script, re.M)}
    assert seconds["SILENCE"] + 2 * seconds["TICK"] + seconds["ANSWER"] < 3
