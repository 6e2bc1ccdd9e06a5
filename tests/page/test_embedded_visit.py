"""The whole journey, nothing left out: `nigaoe serve`, a browser, a photo, a portrait, and nothing left at the end."""

import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

READY_SECONDS = 240
WORK_MS = 240_000
"""Milliseconds for a conversion on a machine that has other things to do."""

ENVIRONMENT = {
    "NIGAOE_TORCH_THREADS": "1",
    "NIGAOE_WARM_UP": "false",  # The portrait itself is warm-up enough.
    "NIGAOE_PREVIEW_SECONDS": "0.2",  # However fast the machine is, some are seen.
}


REMEMBERS = """() => {
    const shown = selector => document.querySelector(selector)?.checkVisibility() ?? false;
    const seen = window.seen = {likeness: false, drawing: false, numbers: false};
    new MutationObserver(() => {
        seen.likeness ||= shown("#sketch-small img:not([hidden])");
        seen.drawing ||= shown("#sketch-large img:not([hidden])");
        seen.numbers ||= /^Sketch \\d+ of/.test(document.getElementById("drawing-numbers").textContent);
    }).observe(document.body, {subtree: true, childList: true, characterData: true, attributes: true});
}"""
"""What is seen of a search: on a fast machine it is over before one could ask for everything."""


def wait_for(condition: Callable[[], Any], seconds: float) -> Any:
    pause = threading.Event()
    for _ in range(int(seconds / 0.1)):
        if value := condition():
            return value
        pause.wait(0.1)
    raise AssertionError("it never became true")


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=10) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, TimeoutError):
        return False


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an embedded service, ready to draw."""
    folder = tmp_path_factory.mktemp("embedded")
    log = folder / "log"
    command = [sys.executable, "-m", "nigaoe", "serve", "--port", "0", "--data-dir", str(folder / "data")]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=os.environ | ENVIRONMENT)
    try:
        url = wait_for(lambda: address_in(log), READY_SECONDS)
        wait_for(lambda: is_ready(url), READY_SECONDS)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) == 0, log.read_text("utf-8")[-4000:]


def address_in(log: Path) -> str | None:
    """What the service says about where it is."""
    lines = (line.removeprefix("Nigaoe: ") for line in log.read_text("utf-8").splitlines() if "Nigaoe: http" in line)
    return next(lines, "").rstrip("/") or None


def test_from_a_photo_to_a_portrait_and_back_to_nothing(
    welcome: Callable[..., Any], service: str, tmp_path: Path
) -> None:
    """Upload, live search, comparison, another degree, download, delete."""
    guest = welcome(service)
    page = guest.page
    page.set_default_timeout(WORK_MS)

    page.evaluate(REMEMBERS)
    guest.order()
    guest.at("finished")
    assert page.evaluate("window.seen") == {"likeness": True, "drawing": True, "numbers": True}
    job_id = page.evaluate("location.hash.slice(1)")
    expect(page.locator("#finished-facts")).to_contain_text("nearer to you")

    line = page.get_by_role("slider", name="Compare the photo with the portrait")
    line.focus()
    page.keyboard.press("End")
    expect(line).to_have_attribute("aria-valuetext", "100 % photo, 0 % portrait")

    drawn = page.locator("img[slot=second]")
    first = drawn.get_attribute("src")
    expect(page.locator("#style-prints img:not([hidden])")).to_have_count(page.locator("#style-prints input").count())
    page.get_by_role("slider", name="How far into anime?").focus()
    page.keyboard.press("Home")
    expect(drawn).not_to_have_attribute("src", str(first), timeout=WORK_MS)

    with page.expect_download() as saved:
        page.get_by_role("button", name="Download").click()
    saved.value.save_as(tmp_path / "portrait.png")
    with Image.open(tmp_path / "portrait.png") as portrait:
        assert portrait.format == "PNG"
        assert portrait.width == portrait.height >= 256

    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Really delete?").click()
    expect(page.get_by_role("button", name="Choose a photo")).to_be_focused()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{service}/jobs/{job_id}", timeout=60)
