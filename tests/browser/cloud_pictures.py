"""Makes pictures of the counter and of certifications: ``python -m tests.browser.cloud_pictures``.

As ``tests.browser.pictures``, with a running service behind the kiosk. The people are the simulator's, and
hold up a print in place of a document.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from edge.kiosk.texts import LANGUAGES
from edge.models.store import ModelStore
from tests.browser.conftest import CHROMIUM, SIZE, WAIT_MS
from tests.browser.screenshots import save
from tests.browser.test_kiosk_certifications import PAPER
from tests.browser.test_kiosk_counter import PORTRAIT, SEED, customer_of
from tests.support.accounts import PASSWORD, new_citizen, registered
from tests.support.certifications import certifying
from tests.support.kiosk_cloud import CloudKioskRoom, cloud_kiosk
from tests.support.kiosk_page import Somebody

FOLDER = Path(__file__).parents[2] / "docs" / "kiosk"
ADDRESS = "1 Sample Street"


class Photographer(Somebody):
    """Takes a picture of what is on the screen."""

    def step(self, name: str, picture: str = "") -> None:
        """Wait for a step, and take its picture where it has a name."""
        expect(self.page.locator(f'[data-step="{name}"]')).to_be_visible()
        expect(self.page.locator("html[data-ready]")).to_be_attached()
        if picture:
            save(self.page.screenshot(), FOLDER / f"{picture}.{self.language}.png")


def _counter(at: Photographer, room: CloudKioskRoom) -> None:
    at.page.goto(f"{room.origin}/coop")
    at.press("counter.begin")
    at.step("card", "counter-card")
    at.press("counter.leave")
    expect(at.page.locator(".function").first).to_be_visible()


def _certification(at: Photographer, room: CloudKioskRoom) -> None:
    page = at.page
    made = registered(room.running, new_citizen())
    with certifying(room.running, reviewers=0) as office:
        office.verify(made.account_id)
    page.goto(f"{room.origin}/certifications")
    at.step("login")
    page.locator("#identifier").fill(made.person.id_number)
    page.locator("#password").fill(PASSWORD)
    at.press("accounts.login.go")
    at.step("list")
    page.locator('[data-type="PERSONAL"]').click()
    for name, value in (("address", ADDRESS), ("occupation", ""), ("email", "")):
        expect(page.locator(f'form[data-field="{name}"]')).to_be_visible()
        page.locator("#value").fill(value)
        at.press("shell.next")
    at.step("documents", "certification-documents")
    for side in range(2):
        page.locator("#next").click()
        at.step("camera")
        expect(page.locator("#document[data-frames]")).to_be_attached()
        at.step("camera", "" if side else "certification-camera")
        at.press("cert.take")
        at.step("look")
        at.press("cert.keep")
        at.step("documents")
    at.press("shell.next")
    at.step("declaration")
    at.press("cert.declare")
    at.step("check")
    at.press("cert.submit")
    at.step("status", "certification-status")
    at.press("accounts.leave")
    expect(page.locator(".function").first).to_be_visible()


def main() -> int:
    """Take them all."""
    if CHROMIUM is None:
        print("there is no Chromium here; scripts/debian.sh installs it", file=sys.stderr)
        return 1
    with (
        tempfile.TemporaryDirectory(prefix="verifield-") as folder,
        cloud_kiosk(Path(folder), ModelStore.open(), customer_of(SEED)) as room,
        sync_playwright() as playwright,
    ):
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = chromium.new_context(viewport=SIZE, reduced_motion="reduce").new_page()
        page.set_default_timeout(WAIT_MS)
        room.write_scene("paper", PAPER.replace("astronaut", PORTRAIT))
        room.scene("paper")
        page.goto(room.url)
        at = Photographer(page, room)
        for language in LANGUAGES:
            page.goto(room.origin)
            at.speak(language)
            _counter(at, room)
            _certification(at, room)
        chromium.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
