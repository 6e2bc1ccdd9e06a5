"""The browsable reference of the API keeps the policy of the page."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

REFERENCE = Path(__file__).resolve().parents[2] / "api" / "nigaoe_api" / "reference"


@pytest.fixture
def reference(browser: Browser, studio: Any) -> Iterator[Page]:
    """The page at `/docs`; whatever its policy refuses fails the story."""
    page, faults = browser.new_page(), []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on(
        "request", lambda request: None if request.url.startswith((studio.url, "data:")) else faults.append(request.url)
    )
    page.goto(f"{studio.url}/docs")
    yield page
    page.close()
    assert faults == []


def test_every_call_can_be_looked_up_and_tried(reference: Page) -> None:
    """Swagger UI draws the document of this very service, its webhooks and schemas with it."""
    expect(reference.locator("#operations-convert-convert")).to_be_visible()
    expect(reference.get_by_text("job.ended")).to_be_visible()
    expect(reference.locator(".errors-wrapper")).to_have_count(0)
    styles = reference.locator("#operations-styles-list_styles")
    styles.locator(".opblock-summary-control").click()
    styles.get_by_role("button", name="Try it out").click()
    styles.get_by_role("button", name="Execute").click()
    expect(styles.locator(".live-responses-table tr.response .response-col_status")).to_contain_text("200")


@pytest.mark.parametrize(
    ("name", "digest"),
    re.findall(
        r"^\| `([^`]+)` .*`([0-9a-f]{64})`", (REFERENCE / "vendor" / "README.md").read_text("utf-8"), re.MULTILINE
    ),
)
def test_vendored_files_are_what_the_readme_says(name: str, digest: str) -> None:
    """Changed by nobody since they were taken from the registry."""
    assert hashlib.sha256((REFERENCE / "vendor" / name).read_bytes()).hexdigest() == digest
