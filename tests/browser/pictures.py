"""Makes the pictures of the guides: ``python -m tests.browser.pictures docs/kiosk`` (a few minutes).

Real screens of the real kiosk in Chromium, with the simulator as hardware and people who do not exist. Each
picture is called ``<name>.<language>.png``. Look at them before they are kept.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path
from typing import Protocol
from unittest.mock import patch

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from edge.kiosk import health, sessions, visits
from edge.kiosk.hints import Battery
from edge.kiosk.sticks import Stick
from edge.kiosk.texts import LANGUAGES
from edge.texts import Language
from tests.browser.conftest import CHROMIUM, WAIT_MS
from tests.support.booth_session import booth_pipeline
from tests.support.kiosk_sender import SenderService
from tests.support.local_device import AGENT, CLERK, PINS, LocalDevice
from tests.support.local_hardware import Hardware, simulated_hardware
from tests.support.local_kiosk import LocalKiosk, local_kiosk
from tests.support.screen_checks import arrived, sign_in

SIZE = {"width": 1120, "height": 760}
SMALL = {"width": 360, "height": 680}
COLOURS = 128  # of a picture: a quarter of the bytes, and nobody sees it
OWNER = "astronaut"
ATTEMPTS = 5
TURNING = '#picture[data-symbol="left"], #picture[data-symbol="right"]'
SESSION_MS = 300_000


class Take(Protocol):
    """Takes a picture: when all has come to rest, or ``at_once``; of the screen, or the ``whole`` page."""

    def __call__(self, name: str, *, at_once: bool = False, whole: bool = False) -> None: ...


def fewer_colours(picture: Image.Image, colours: int) -> Image.Image:
    """With so many at most; the colour of what is small, as the light in the header, stays what it is."""
    return picture.quantize(colours, method=Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE)


def main(folder: Path) -> None:
    """Make all pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        with simulated_hardware(Path(work) / "hardware") as hardware:
            for language in LANGUAGES:
                _office(browser, hardware, Path(work) / language, folder, language)
        for language in LANGUAGES:
            _field(browser, Path(work) / f"field-{language}", folder, language)
        browser.close()


def _office(browser: Browser, hardware: Hardware, work: Path, folder: Path, language: Language) -> None:
    device = LocalDevice.open(work, **hardware.settings, language=language, capture_timeout_s=120.0)
    device.add_operators()
    device.spoof()
    device.verified()
    attempt, contract = device.attempt().attestation_id, device.send_contract().task_id
    device.expect_account()
    with local_kiosk(device, watch=True, sticks=[Stick("USB", work, 14_900_000_000)]) as local:
        page, take = _page(browser, local, folder, language, SIZE)
        take("sign-in")
        sign_in(page, local.origin, CLERK, PINS[CLERK])
        take("home", whole=True)
        for name, path in {
            "queue": "/queue",
            "health": "/health",
            "manual": "/manual",
            "manual-question": f"/manual/{attempt}",
            "manual-second": f"/manual/{attempt}/accept",
            "expected": "/tasks",
            "contracts": "/contracts",
            "stick": "/stick",
        }.items():
            page.goto(local.origin + path, wait_until="load")
            take(name)
        page.goto(f"{local.origin}/contracts/{contract}/page/3", wait_until="load")
        page.wait_for_function("document.getElementById('picture').complete")
        page.locator("#frame").focus()
        page.keyboard.press("End")
        page.wait_for_selector("#reader[data-seen=yes]")
        page.locator("#frame").evaluate("frame => frame.scrollBy(0, -frame.clientHeight / 2)")  # to the marks
        take("contract")
        prepare_contract(page, local, take)
        _verification(page, local, hardware, take)
        page.context.close()


def prepare_contract(page: Page, local: LocalKiosk, take: Take) -> None:
    """Marks of two parties on the first page of a draft."""
    with patch.object(visits, "ask", SenderService().ask):
        page.goto(f"{local.origin}/prepare", wait_until="load")
        page.locator("#identifier").fill("sender")
        page.locator("#password").fill("word")
        page.keyboard.press("Enter")
        page.locator("[data-contract] button").click()
        page.wait_for_selector("html[data-ready] #desk")
        sheet = page.locator("#sheet").bounding_box()
        for number, (party, x) in enumerate(((1, 0.3), (2, 0.68)), start=1):
            source = page.locator(f'[data-add="SIGNATURE"][data-party="{party}"]')
            source.scroll_into_view_if_needed()
            start = source.bounding_box()
            if sheet is None or start is None:
                raise AssertionError("the page is not drawn")
            page.mouse.move(start["x"] + 20, start["y"] + 20)
            page.mouse.down()
            page.mouse.move(sheet["x"] + x * sheet["width"], sheet["y"] + 0.36 * sheet["height"], steps=5)
            page.mouse.up()
            page.wait_for_selector(f'#desk[data-changes="{number}"]')
        page.locator(".palette").evaluate("palette => palette.scrollTo(0, 0)")
        take("prepare")
        page.locator("#close").click()
        page.wait_for_selector('[data-step="drafts"]')
        page.locator('[data-post="/prepare/leave"]').click()
        page.wait_for_selector(".function")


def _verification(page: Page, local: LocalKiosk, hardware: Hardware, take: Take) -> None:
    for _ in range(ATTEMPTS):  # a busy machine may come to no turn of the head
        hardware.leaves()
        page.goto(f"{local.origin}/verify", wait_until="load")
        take("verify")
        page.locator("#begin").click()
        arrived(page, "/session")
        page.wait_for_selector(".figure")
        take("card")
        hardware.comes(card=OWNER, person=OWNER)
        page.wait_for_selector(f"{TURNING}, [data-outcome]", timeout=SESSION_MS)
        if turned := page.locator(TURNING).count():
            take("capture", at_once=True)
        page.wait_for_selector("[data-outcome]", timeout=SESSION_MS)
        page.get_by_role("main").get_by_role("button").last.click()
        arrived(page, "/")
        if turned:
            break
    else:
        raise AssertionError("no session came to a turn of the head")
    with patch.object(sessions, "open_pipeline", booth_pipeline):  # a busy machine decides nothing
        page.goto(f"{local.origin}/verify", wait_until="load")
        page.locator("#begin").click()
        page.wait_for_selector("[data-outcome=VERIFIED]", timeout=SESSION_MS)
    take("result")


def _field(browser: Browser, work: Path, folder: Path, language: Language) -> None:
    """An agent's small device."""
    before = health.read_battery
    health.read_battery = lambda: Battery(64, plugged=False)
    try:
        device = LocalDevice.open(work, language=language)
        device.add_operators()
        device.verified()
        with local_kiosk(device, portable=True, watch=True) as local:
            page, take = _page(browser, local, folder, language, SMALL)
            sign_in(page, local.origin, AGENT, PINS[AGENT])
            page.wait_for_selector("#hints:not([hidden])")
            take("portable-home")
            page.goto(f"{local.origin}/queue", wait_until="load")
            page.wait_for_selector("#hints:not([hidden])")
            take("portable-queue")
            page.context.close()
    finally:
        health.read_battery = before


def _page(
    browser: Browser, local: LocalKiosk, folder: Path, language: Language, size: dict[str, int]
) -> tuple[Page, Take]:
    context = browser.new_context(viewport={"width": size["width"], "height": size["height"]})
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    page.goto(local.url, wait_until="load")

    def take(name: str, *, at_once: bool = False, whole: bool = False) -> None:
        if not at_once:
            page.wait_for_timeout(400)
        picture = Image.open(io.BytesIO(page.screenshot(full_page=whole))).convert("RGB")
        fewer_colours(picture, COLOURS).save(folder / f"{name}.{language}.png", optimize=True)

    return page, take


if __name__ == "__main__":
    main(Path(sys.argv[1]))
