"""Whole verifications at the kiosk, by touch and by keyboard, in three languages, and what goes wrong."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from edge.kiosk.showing import ATTESTATION_URI
from edge.kiosk.texts import LANGUAGES
from edge.model import Prompt
from tests.browser.conftest import Enter
from tests.support.kiosk import CLERK, CLERK_PIN, CONSENT, NOTICE, KioskRoom
from tests.support.kiosk_page import Somebody
from verifield.v1.attestation_pb2 import OUTCOME_VERIFIED

NOBODY = 'seed = 5\n[person]\nkind = "none"\n'


@pytest.fixture
def somebody(page: Page, room: KioskRoom) -> Somebody:
    """At the home screen, signed in, nothing under way."""
    somebody = Somebody(page, room)
    somebody.speak("en")
    somebody.sign_in()
    return somebody


def decoded(qr: Locator) -> str:
    picture = cv2.imdecode(np.frombuffer(qr.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    large = cv2.resize(picture, None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST)
    text, _, _ = cv2.QRCodeDetector().detectAndDecode(large)
    return str(text)


@pytest.mark.timeout(600)
def test_a_whole_session_by_touch_in_spanish_with_reloads_and_a_camera_that_goes(
    somebody: Somebody, room: KioskRoom
) -> None:
    page = somebody.page
    somebody.speak("es")
    page.goto(f"{room.origin}/sign-in")
    somebody.check("sign-in")
    page.goto(room.origin)
    assert page.locator('[data-module="IDENTITY"] [data-function="VERIFY"]').is_visible()
    somebody.check("home")
    page.goto(f"{room.origin}/verify")
    somebody.check("verify")

    room.write_scene("owner", scene_of("astronaut", "live", seed=101))
    somebody.begin("owner")
    expect(page.locator(".paper")).to_have_text(CONSENT["es"])
    somebody.check("consent")
    page.reload()  # a page that crashed and came back
    somebody.screen("consent")
    somebody.press("verify.consent.yes")

    somebody.capture()
    somebody.check("capture")
    room.camera("unplug")
    somebody.prompt(Prompt.CAMERA_LOST)
    somebody.check("camera-lost")
    page.reload()
    somebody.prompt(Prompt.CAMERA_LOST)
    room.camera("replug")

    somebody.screen("field")
    somebody.check("field")
    somebody.give_phone("not a number")
    expect(page.locator("#field-again")).to_be_visible()
    expect(page.locator("#field")).to_have_value("not a number")  # to be mended, not typed anew
    somebody.check("field-again")
    somebody.give_phone()
    somebody.screen("notice")
    expect(page.locator(".paper")).to_have_text(NOTICE["es"])
    somebody.check("notice")
    somebody.press("verify.notice.yes")

    somebody.screen("signature")
    somebody.check("signature")
    somebody.press("verify.sign.yes")  # nothing is drawn yet
    expect(page.locator('#alert[data-code="SIGNATURE_EMPTY"]')).to_be_visible()
    somebody.draw_signature()
    somebody.press("verify.sign.yes")

    assert somebody.result("VERIFIED") == ["CAPTURE_INTERRUPTED"]
    somebody.check("result-verified")
    attestation_id = somebody.attestation_id()
    assert decoded(page.locator(".qr")) == ATTESTATION_URI + attestation_id
    page.reload()
    assert somebody.result("VERIFIED") == ["CAPTURE_INTERRUPTED"]
    statement = room.statements()[0]  # the cloud is away, and nobody had to wait for it
    assert statement.attestation_id == attestation_id
    assert statement.outcome == OUTCOME_VERIFIED
    expect(page.locator("#device")).to_contain_text(re.compile(r"\d+ por enviar"))
    somebody.leave()
    assert len(somebody.checked) == 11


@pytest.mark.timeout(600)
def test_by_keyboard_alone_in_chinese_to_the_earlier_record_and_out(
    page: Page, room: KioskRoom, enter: Enter
) -> None:
    somebody = Somebody(page, room)
    room.write_scene("keyboard", scene_of("grace_hopper", "live", seed=102))
    page.goto(f"{room.origin}/sign-in")
    somebody.speak("zh")
    page.locator(f'input[name="who"][value="{CLERK}"]').focus()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.type(CLERK_PIN)
    page.keyboard.press("Enter")
    expect(page.locator(".function").first).to_be_visible()

    begin_by_keyboard(somebody, "keyboard")
    somebody.capture()
    tab_to(page, "#stop")
    page.keyboard.press("Enter")
    expect(page.locator("#stop-dialog")).to_be_visible()
    somebody.check("stop-dialog")
    tab_to(page, '[data-stop="PERSON"]')
    page.keyboard.press("Enter")
    assert somebody.result("ABORTED") == ["PERSON_STOPPED"]
    somebody.check("result-stopped")
    somebody.leave()

    begin_by_keyboard(somebody, "keyboard")
    somebody.screen("earlier")
    expect(page.locator(".records li")).to_have_count(1)
    somebody.check("earlier")
    other = Somebody(enter(room), room, "zh")  # somebody opens the kiosk once more
    expect(page.locator("#other-page")).to_be_visible()
    somebody.check("other-page")
    other.screen("earlier")
    page.locator("#use-here").click()
    expect(page.locator("#other-page")).to_be_hidden()
    expect(other.page.locator("#other-page")).to_be_visible()
    other.page.context.close()
    tab_to(page, 'button[value="false"]')
    page.keyboard.press("Enter")
    assert somebody.result("ABORTED") == ["EXITED_AT_EARLIER_RECORDS"]
    somebody.leave()


@pytest.mark.timeout(600)
@pytest.mark.req("E014")
def test_after_the_second_failure_other_ways_and_two_people_are_offered(
    somebody: Somebody, room: KioskRoom
) -> None:
    """A printed photo, then a stranger, then another way, all with one card; the language changes midway."""
    page = somebody.page
    room.write_scene("printed", scene_of("astronaut", "print", seed=103))
    room.write_scene("stranger", scene_of("astronaut", "live", seed=103, person="grace_hopper"))

    somebody.begin("printed")
    expect(page.locator(".paper")).to_have_text(CONSENT["en"])
    somebody.speak("zh")
    somebody.screen("consent")
    expect(page.locator(".paper")).to_have_text(CONSENT["zh"])
    somebody.press("verify.consent.yes")
    somebody.capture()
    somebody.speak("en")
    assert "SPOOF" in " ".join(somebody.result("SPOOF"))
    somebody.check("result-spoof")
    assert not page.locator("#other-ways, #manual").count()

    room.scene("stranger")
    somebody.press("verify.again")
    somebody.screen("consent")
    somebody.press("verify.consent.yes")
    somebody.screen("earlier")
    somebody.press("verify.earlier.go_on")
    assert somebody.result("NOT_MATCHED") == ["SCORE_BELOW_THRESHOLD"]
    somebody.check("result-not-matched")
    manual = page.locator("#manual")
    expect(manual).to_have_attribute("href", f"/manual?attempt={somebody.attestation_id()}")

    page.locator("#other-ways").click()
    expect(page.locator("#ways[open]")).to_be_visible()
    somebody.check("other-ways")
    page.get_by_label(somebody.text("verify.way.NO_SCREEN")).check()
    page.get_by_label(somebody.text("verify.more_time")).check()
    page.locator("#begin").click()
    somebody.screen("consent")
    somebody.press("verify.consent.no")
    assert somebody.result("ABORTED") == ["CONSENT_REFUSED"]
    assert page.locator("#other-ways").is_visible()
    assert not page.locator("#manual").count()  # nobody decides against somebody's own no
    somebody.leave()


@pytest.mark.timeout(300)
def test_a_card_that_is_lifted_is_waited_for(somebody: Somebody, room: KioskRoom) -> None:
    page = somebody.page
    room.write_scene("nobody", NOBODY)
    somebody.begin("nobody")
    room.card_of("astronaut")
    room.card("lift")
    somebody.press("verify.consent.yes")
    somebody.screen("card")
    somebody.prompt(Prompt.PLACE_CARD)
    somebody.check("card")
    page.reload()
    somebody.prompt(Prompt.PLACE_CARD)
    room.card_of("astronaut")
    somebody.capture()  # the card is read; nobody stands there
    page.locator("#stop").click()
    page.locator('[data-stop="OPERATOR"]').click()
    assert somebody.result("ABORTED") == ["OPERATOR_STOPPED"]
    somebody.leave()


@pytest.mark.timeout(300)
def test_without_a_camera_no_session_begins_and_nothing_is_recorded(
    somebody: Somebody, room: KioskRoom
) -> None:
    page = somebody.page
    before = len(room.statements())
    room.write_scene("nobody", NOBODY)
    room.scene("nobody")
    room.camera("unplug")
    page.goto(f"{room.origin}/verify")
    page.locator("#begin").click()
    somebody.screen("fault")
    expect(page.locator(".code")).to_have_text(somebody.text("shell.code", code="NO_CAMERA"))
    somebody.check("fault")
    room.camera("replug")
    somebody.press("shell.home")
    expect(page.locator(".function").first).to_be_visible()
    assert len(room.statements()) == before


def test_a_page_that_is_not_there_says_so(somebody: Somebody, room: KioskRoom) -> None:
    for language in LANGUAGES:
        somebody.speak(language)
        somebody.page.goto(f"{room.origin}/no-such-page")
        expect(somebody.page.locator("h1")).to_have_text(somebody.text("shell.missing.title"))
        somebody.check("missing")


def scene_of(card: str, kind: str, *, seed: int, person: str = "") -> str:
    """A scenario whose card nobody else has: its number comes from the seed."""
    return (
        f'seed = {seed}\n[card]\nportrait = "{card}"\n'
        f'[person]\nkind = "{kind}"\nportrait = "{person or card}"\n'
    )


def begin_by_keyboard(somebody: Somebody, scene: str) -> None:
    page = somebody.page
    somebody.room.scene(scene)
    tab_to(page, '[data-function="VERIFY"]')
    page.keyboard.press("Enter")
    expect(page.locator("#begin")).to_be_visible()
    tab_to(page, "#begin")
    page.keyboard.press("Enter")
    somebody.screen("consent")
    expect(page.locator("h1:focus")).to_have_text(somebody.text("verify.consent.title"))
    tab_to(page, 'button[value="true"]')
    page.keyboard.press("Enter")


def tab_to(page: Page, selector: str) -> None:
    """Go there with the Tab key."""
    for _ in range(60):
        if page.locator(f"{selector}:focus").count():
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{selector} cannot be reached by keyboard")
