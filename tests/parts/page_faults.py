"""What can be wrong with the upload page in whatever state it is: barriers, and what a phone has no room for."""

from axe_playwright_python.base import AXE_SCRIPT, AxeResults
from playwright.sync_api import Page

BY_DAY = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
BY_NIGHT = {"runOnly": ["color-contrast"]}  # Nothing else differs.
DECORATION = ".print__seal"
"""Pale until the print is finished: no information, and so exempt from contrast (WCAG 2.2, 1.4.3)."""


def violations(page: Page) -> str:
    """What axe-core finds wrong with the page as it is now, by day and by night; empty: nothing."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    reports = []
    for shade, rules in (("light", BY_DAY), ("dark", BY_NIGHT)):
        page.emulate_media(color_scheme=shade, reduced_motion="reduce")
        result = AxeResults(page.evaluate("([seal, rules]) => axe.run({exclude: [seal]}, rules)", [DECORATION, rules]))
        reports += [result.generate_report()] if result.violations_count else []
    return "".join(reports)


def overflow(page: Page) -> list[int]:
    """By how many pixels the page is wider than a small and a usual phone."""
    over = []
    for width in (320, 390):
        page.set_viewport_size({"width": width, "height": 700})
        root = "document.documentElement"
        over.append(page.evaluate(f"Math.max(0, {root}.scrollWidth - {root}.clientWidth)"))
    return over
