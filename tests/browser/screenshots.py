"""``python -m tests.browser.screenshots``: pictures of a verification's screens for docs/kiosk/session.

The guides' own pictures are made by ``tests.browser.pictures``; these are for who looks after the screens.
The people on them are the simulator's: portraits that are free to use, with cards of nobody.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect, sync_playwright

from edge.answers import ChallengeVariant
from edge.model import Prompt
from tests.browser.conftest import CHROMIUM, SIZE, WAIT_MS
from tests.browser.pictures import fewer_colours
from tests.browser.test_verification import NOBODY, scene_of
from tests.support.kiosk import KioskRoom, kiosk_room
from tests.support.kiosk_page import Somebody

FOLDER = Path(__file__).parents[2] / "docs" / "kiosk" / "session"
WIDTH = 960
MAX_BYTES = 60 * 1024
COLOURS = (256, 192, 128, 96, 64, 48, 32, 24, 16)


def save(png: bytes, path: Path) -> None:
    """Write a small picture: fewer pixels, and no more colours than fit."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture = picture.resize((WIDTH, picture.height * WIDTH // picture.width), Image.Resampling.LANCZOS)
    for colours in COLOURS:
        small = io.BytesIO()
        fewer_colours(picture, colours).save(small, "PNG", optimize=True)
        if small.tell() <= MAX_BYTES:
            path.write_bytes(small.getvalue())
            print(f"{path.name}: {small.tell() // 1024} KiB, {colours} colours", flush=True)
            return
    raise SystemExit(f"{path.name} does not become small enough")


class Photographer(Somebody):
    """Takes a picture of what is on the screen."""

    def take(self, name: str) -> None:
        self.page.evaluate("document.activeElement?.blur?.()")
        save(self.page.screenshot(), FOLDER / f"{name}.{self.language}.png")

    def verified_so_far(self) -> None:
        """Wait for the customer's data; who was not judged tries again."""
        wanted = self.page.locator('body[data-screen="field"], body[data-screen="result"]')
        expect(wanted).to_be_attached()
        while self.page.locator('body[data-screen="result"]').count():
            self.press("verify.again")
            self.screen("consent")
            self.press("verify.consent.yes")
            self.screen("earlier")
            self.press("verify.earlier.go_on")
            expect(wanted).to_be_attached()
        self.screen("field")


def first_verification(at: Photographer, room: KioskRoom) -> None:
    page = at.page
    at.sign_in()
    at.begin("nobody")
    at.take("consent")
    at.press("verify.consent.yes")
    at.screen("card")
    at.prompt(Prompt.PLACE_CARD)
    room.scene("owner")
    at.capture()
    expect(page.locator('#picture[data-symbol="left"], #picture[data-symbol="right"]')).to_be_visible()
    at.take("turn")
    at.verified_so_far()
    at.take("field")
    at.give_phone()
    at.screen("notice")
    at.take("notice")
    at.press("verify.notice.yes")
    at.screen("signature")
    at.draw_signature()
    at.take("signature")
    at.press("verify.sign.yes")
    at.result("VERIFIED")
    at.leave()


def once_more(at: Photographer, room: KioskRoom) -> None:
    """An earlier record, other ways, the light, a failure, a stop."""
    page = at.page
    room.scene("stranger")
    page.goto(f"{room.origin}/verify")
    page.locator("#ways summary").click()
    page.get_by_label(at.text(f"verify.way.{ChallengeVariant.NO_TURN}")).check()
    at.take("ways")
    page.locator("#begin").click()
    at.screen("consent")
    at.press("verify.consent.yes")
    at.screen("earlier")
    at.take("earlier")
    at.press("verify.earlier.go_on")
    expect(page.locator("body.lit")).to_be_attached()
    at.take("light")
    expect(page.locator('body[data-screen="result"]')).to_be_attached()
    for _ in range(2):
        at.press("verify.again")
        at.screen("consent")
        at.press("verify.consent.yes")
        at.screen("earlier")
        at.press("verify.earlier.go_on")
        expect(page.locator('body[data-screen="result"]')).to_be_attached()
        expect(page.locator("#screen [data-outcome]")).to_be_visible()
    at.take("failed")
    at.leave()
    at.begin("owner")
    page.locator("#stop").click()
    expect(page.locator("#stop-dialog")).to_be_visible()
    at.take("stop")
    page.locator('[data-stop="OPERATOR"]').click()
    at.result("ABORTED")
    at.leave()
    room.camera("unplug")
    page.goto(f"{room.origin}/verify")
    page.locator("#begin").click()
    at.screen("fault")
    at.take("no-camera")
    room.camera("replug")
    at.press("shell.home")


def main() -> int:
    """Take them all."""
    if CHROMIUM is None:
        print("there is no Chromium here; scripts/debian.sh installs it", file=sys.stderr)
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="verifield-") as folder,
        kiosk_room(Path(folder)) as room,
        sync_playwright() as playwright,
    ):
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = chromium.new_context(viewport=SIZE, reduced_motion="reduce").new_page()
        page.set_default_timeout(WAIT_MS)
        room.write_scene("nobody", NOBODY)
        room.write_scene("owner", scene_of("astronaut", "live", seed=7))
        room.write_scene("stranger", scene_of("astronaut", "live", seed=7, person="grace_hopper"))
        page.goto(room.url)
        at = Photographer(page, room)
        at.speak("en")
        first_verification(at, room)
        once_more(at, room)
        chromium.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
