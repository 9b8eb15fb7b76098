"""What every screen of the kiosk has to pass in a real browser: axe-core, and no scrolling sideways."""

from __future__ import annotations

import re

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
"""Of WCAG 2.2 up to level AA, and axe's own good practice."""

ARRIVE_MS = 60_000


def check_accessible(page: Page) -> None:
    """Check with axe-core, once the page is there; what it finds is named with the elements."""
    page.wait_for_selector("html[data-ready] main, html[data-ready] [role=main]", state="attached")
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": RULES}}).response["violations"]
    named = [(one["id"], [node["target"] for node in one["nodes"]]) for one in found]
    assert named == [], (page.url, named)


def check_fits(page: Page) -> None:
    """Check that nothing has to be scrolled sideways (WCAG 2.2, 1.4.10)."""
    size = page.viewport_size
    assert size is not None
    too_wide = page.evaluate(
        """width => [...document.querySelectorAll("body *")].filter(
             one => one.getBoundingClientRect().right > width + 1 && !one.closest(".sheet-frame, .scroll")
           ).map(one => `${one.tagName}.${one.className}`)""",
        size["width"],
    )
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= size["width"], (page.url, width, too_wide)


def sign_in(page: Page, origin: str, who: str, pin: str) -> None:
    """Sign in with the keyboard alone, and be at home."""
    page.goto(f"{origin}/sign-in", wait_until="load")
    page.wait_for_selector("html[data-ready]", state="attached")  # until then nothing can be chosen
    page.get_by_role("radio", name=who).check(force=True)
    page.locator("#pin").press_sequentially(pin)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{origin}/")


def arrived(page: Page, path: str) -> None:
    """Wait until the page is at ``path``: its own going on and the stream's word may meet, and either brings
    it there. Who goes elsewhere before has the two break each other off."""
    expect(page).to_have_url(re.compile(rf"//[^/]+{re.escape(path)}(\?.*)?$"), timeout=ARRIVE_MS)


def speak(page: Page, language: str) -> None:
    """Switch the language, as a person does, and wait for the page in it."""
    page.wait_for_load_state("load")  # its script listens by then
    page.locator(f"button[data-language={language}]").click()
    page.wait_for_selector(f"html[lang={language}]")
    page.wait_for_load_state("load")
