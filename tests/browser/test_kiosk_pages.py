"""What somebody meets on the kiosk's pages: small and low screens, another language halfway, a device started
anew, an answer that was refused. The kiosk is this process."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from playwright.sync_api import Browser, Locator, Page, expect

from edge.config import EdgeConfig
from edge.kiosk.security import Keys
from edge.kiosk.server import Kiosk
from edge.kiosk.serving import bind, serve_in_thread
from edge.kiosk.state import Question, Stage
from edge.kiosk.texts import LANGUAGES, Texts
from edge.model import Prompt
from edge.operators import pins
from edge.texts import Language
from tests.browser.conftest import Enter
from tests.support.kiosk import CONSENT
from tests.support.local_device import CLERK, PINS, LocalDevice
from tests.support.local_kiosk import LocalKiosk, local_kiosk
from tests.support.screen_checks import check_accessible, check_fits, sign_in, speak

PHONE = {"width": 360, "height": 740}
SIZES = (PHONE, {"width": 412, "height": 740}, {"width": 1024, "height": 600}, {"width": 1280, "height": 800})
LEFT_S = 25.0  # of a question: little enough to be said
SCREENS = ("card", "capture", "consent", "field", "signature")
QUESTIONS = itertools.count(1)
STRANGER = "Open this page with the address that the device gave when it started."


class Consent:
    def in_language(self, language: Language) -> str:
        return CONSENT[language]


SHOWN: dict[str, dict[str, Any]] = {
    "consent": {"text": Consent()},
    "field": {"name": "phone", "again": False},
    "signature": {},
}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKiosk]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pins, "_HASHER", PasswordHasher(time_cost=1, memory_cost=64, parallelism=4))
        device = LocalDevice.open(tmp_path_factory.mktemp("pages") / "device", language="en")
        device.add_operators()
        with local_kiosk(device) as local:
            yield local


@pytest.fixture
def page(local: LocalKiosk, enter: Enter) -> Iterator[Page]:
    local.kiosk.hub.set_language("en")
    room: Any = local
    yield enter(room)
    local.kiosk.hub.update(stage=Stage.NONE, prompt=None, question=None)


def shows(local: LocalKiosk, page: Page, name: str, **shown: Any) -> None:
    """A session's screen, drawn whole."""
    hub = local.kiosk.hub
    number = next(QUESTIONS)
    question = Question(number, name, hub.now + LEFT_S, LEFT_S, SHOWN.get(name, {}) | shown)
    if name == "card":
        hub.update(session=number, stage=Stage.CARD, prompt=Prompt.PLACE_CARD, question=None)
    elif name == "capture":
        hub.update(session=number, stage=Stage.CAPTURE, prompt=Prompt.TURN_LEFT, question=None)
    else:
        hub.update(session=number, stage=Stage.QUESTION, prompt=None, question=question)
    page.wait_for_url(f"{local.origin}/session")  # where a page goes by itself
    key = f"[data-key^='{number}-{name}-']"
    expect(page.locator(f"#screen > {key}")).to_be_attached()


def box(part: Locator) -> dict[str, float]:
    found = part.bounding_box()
    assert found is not None
    return {
        "left": found["x"],
        "top": found["y"],
        "right": found["x"] + found["width"],
        "bottom": found["y"] + found["height"],
    }


def overlap(one: dict[str, float], other: dict[str, float]) -> bool:
    return (
        min(one["right"], other["right"]) - max(one["left"], other["left"]) > 1
        and min(one["bottom"], other["bottom"]) - max(one["top"], other["top"]) > 1
    )


def draw(page: Page) -> None:
    """A wave over the pad."""
    page.locator("#sign").scroll_into_view_if_needed()
    pad = box(page.locator("#sign"))
    across, down = pad["right"] - pad["left"], pad["bottom"] - pad["top"]
    page.mouse.move(pad["left"] + 0.1 * across, pad["top"] + 0.3 * down)
    page.mouse.down()
    for step in range(20):
        height = 0.3 if step % 4 < 2 else 0.6
        page.mouse.move(pad["left"] + (0.1 + 0.04 * step) * across, pad["top"] + height * down)
    page.mouse.up()


def ink(page: Page) -> int:
    """Pixels of the pad that are drawn on."""
    return int(
        page.locator("#sign").evaluate(
            """pad => pad.getContext("2d").getImageData(0, 0, pad.width, pad.height)
                         .data.filter((value, at) => at % 4 === 3 && value > 0).length"""
        )
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_stopping_and_the_time_that_is_left_are_in_sight_and_cover_nothing_for_ever(
    local: LocalKiosk, page: Page, language: Language
) -> None:
    speak(page, language)
    for size, name in itertools.product(SIZES, SCREENS):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        shows(local, page, name)
        check_fits(page)
        parts = [page.locator("#stop")] + ([] if name in ("card", "capture") else [page.locator("#left")])
        for part in parts:
            seen = box(part)
            assert seen["top"] >= 0, (size, name)
            assert seen["bottom"] <= size["height"], (size, name)
        page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
        last = page.locator("#prompt, #screen > .stage").filter(visible=True).last
        assert not overlap(box(last), box(page.locator("#foot"))), (size, name)
        page.evaluate("window.scrollTo(0, 0)")
        for button in page.locator("#screen button").filter(visible=True).all():
            button.focus()
            assert not overlap(box(button), box(page.locator("#foot"))), (size, name)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_narrow_screen_has_a_high_pad_and_nothing_lies_over_the_words_below_it(
    local: LocalKiosk, page: Page, language: Language
) -> None:
    speak(page, language)
    for size in SIZES:
        page.set_viewport_size(size)  # type: ignore[arg-type]
        shows(local, page, "signature")
        summary = page.locator(".typed summary")
        assert not overlap(box(page.locator("#sign-clear")), box(summary)), size
        pad = box(page.locator("#sign"))
        assert pad["bottom"] - pad["top"] >= 130, size
        summary.click()
        assert not overlap(box(page.locator("#sign-clear")), box(page.locator(".typed"))), size


def test_a_signature_on_a_narrow_screen_is_sent_in_the_proportions_of_its_pad(
    local: LocalKiosk, page: Page
) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    shows(local, page, "signature")
    pad = box(page.locator("#sign"))
    draw(page)
    with page.expect_request("**/session/answer") as sent:
        page.get_by_role("button", name="Sign", exact=True).click()
    given = json.loads(sent.value.post_data or "")
    seen = (pad["right"] - pad["left"]) / (pad["bottom"] - pad["top"])
    assert given["width"] / given["height"] == pytest.approx(seen, rel=0.02)
    points = [point for stroke in given["strokes"] for point in stroke]
    assert (points[0][0], points[0][1]) == pytest.approx(
        (0.1 * given["width"], 0.3 * given["height"]), abs=0.01 * given["width"]
    )


def test_the_ways_of_a_verification_are_kept_apart_on_a_narrow_screen(local: LocalKiosk, page: Page) -> None:
    sign_in(page, local.origin, CLERK, PINS[CLERK])
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.goto(f"{local.origin}/verify", wait_until="load")
    page.locator("#ways summary").click()
    for language in LANGUAGES:
        speak(page, language)
        page.locator("#ways").evaluate("ways => { ways.open = true }")
        words = [box(one) for one in page.locator(".way span").all()]
        assert all(below["top"] - above["bottom"] >= 16 for above, below in itertools.pairwise(words))
        for one in page.locator(".way").all():
            sign, text = box(one.locator("input")), box(one.locator("span"))
            assert abs(sign["top"] - text["top"]) <= 4  # beside its first line


def test_what_was_typed_in_a_page_stays_in_another_language(local: LocalKiosk, page: Page) -> None:
    sign_in(page, local.origin, CLERK, PINS[CLERK])
    page.goto(f"{local.origin}/feedback", wait_until="load")
    page.locator("#text").fill("It took long.")
    page.locator("#subject").select_option("FACE")
    for language in ("es", "zh"):
        speak(page, language)
        texts = Texts(language)  # type: ignore[arg-type]
        expect(page.get_by_role("heading", level=1)).to_have_text(texts("feedback.title"))
        expect(page.locator("#subject option:checked")).to_have_text(texts("feedback.subject.FACE"))
        expect(page.locator(f"[data-language={language}]")).to_have_attribute("aria-pressed", "true")
        expect(page.locator("#text")).to_have_value("It took long.")
    check_accessible(page)
    assert page.evaluate("sessionStorage.length + localStorage.length") == 0


def test_a_pin_does_not_outlive_the_language_in_which_it_was_typed(local: LocalKiosk, page: Page) -> None:
    page.goto(f"{local.origin}/sign-in", wait_until="load")
    page.wait_for_selector("html[data-ready]", state="attached")
    page.get_by_role("radio", name=CLERK).check(force=True)
    page.locator("#pin").press_sequentially("48")
    speak(page, "es")
    expect(page.get_by_role("radio", name=CLERK)).to_be_checked()
    expect(page.locator("#pin")).to_have_value("")


def test_what_was_drawn_or_typed_in_a_session_stays_in_another_language(
    local: LocalKiosk, page: Page
) -> None:
    shows(local, page, "field")
    page.locator("#field").fill("13800138")
    speak(page, "es")
    expect(page.locator("#field")).to_have_value("13800138")
    expect(page.locator("#field-label")).to_have_text("Teléfono móvil")

    shows(local, page, "signature")
    draw(page)
    drawn = ink(page)
    assert drawn > 0
    speak(page, "en")
    expect(page.get_by_role("heading", name="Your signature")).to_be_visible()
    expect(page.locator("#stop")).to_have_text("Stop")
    assert ink(page) == drawn
    with page.expect_request("**/session/answer") as sent:
        page.get_by_role("button", name="Sign", exact=True).click()
    assert len(json.loads(sent.value.post_data or "")["strokes"]) == 1

    shows(local, page, "consent")  # it is recorded in the language in which it was read
    speak(page, "zh")
    expect(page.locator(".paper")).to_have_text(CONSENT["zh"])
    expect(page.locator("input[name=language]")).to_have_value("zh")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_number_that_is_refused_comes_back_with_what_is_wanted(
    local: LocalKiosk, page: Page, language: Language
) -> None:
    speak(page, language)
    shows(local, page, "field")
    page.locator("#field").fill("138x")
    page.locator("form[data-answer] .button").click()
    shows(local, page, "field", again=True)
    expect(page.locator("#field")).to_have_value("138x")
    expect(page.locator("#field-again")).to_have_text(Texts(language)("verify.field.again.phone"))
    shows(local, page, "field")  # of somebody else
    expect(page.locator("#field")).to_have_value("")


@contextmanager
def started(folder: Path, port: int) -> Iterator[Kiosk]:
    with bind(port) as listener:
        kiosk = Kiosk(EdgeConfig(data_dir=folder), keys=Keys(listener.getsockname()[1]))
        server, thread = serve_in_thread(kiosk, listener)
        yield kiosk
        server.should_exit = True
        thread.join()
        kiosk.close()


def test_a_page_of_a_device_that_was_started_anew_says_what_to_do(browser: Browser, tmp_path: Path) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        with started(tmp_path, 0) as kiosk:
            port = kiosk.keys.port
            kiosk.hub.update(session=1, stage=Stage.CAPTURE)
            page.goto(kiosk.keys.launch_url)
            page.goto(f"http://127.0.0.1:{port}/session")
            expect(page.locator("html[data-ready]")).to_be_attached()
        expect(page.locator("#offline")).to_be_visible()
        loads: list[str] = []
        page.on("framenavigated", lambda frame: loads.append(frame.url))
        with started(tmp_path, port):
            expect(page.get_by_text(STRANGER)).to_be_visible()
            page.wait_for_timeout(2500)  # longer than it waits between two tries
            assert len(loads) == 1


def test_a_press_in_a_page_that_the_device_does_not_know_says_what_to_do(
    local: LocalKiosk, page: Page
) -> None:
    expect(page.locator("html[data-ready]")).to_be_attached()
    page.context.clear_cookies()
    page.locator("[data-language=es]").click()
    expect(page.get_by_text(STRANGER)).to_be_visible()
