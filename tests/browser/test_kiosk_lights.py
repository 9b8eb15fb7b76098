"""What the page draws of the stream: pictures, colours, words, the time left. The kiosk is this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from edge.config import EdgeConfig
from edge.kiosk.preview import encode_preview
from edge.kiosk.security import Keys
from edge.kiosk.server import Kiosk
from edge.kiosk.serving import bind, serve_in_thread
from edge.kiosk.state import Question, Stage
from edge.model import Prompt
from edge.texts import PROMPTS
from tests.browser.conftest import SIZE, WAIT_MS

TRIES = 40
COLOURS = ((255, 108, 108), (108, 255, 255), (255, 255, 255))


@pytest.fixture
def kiosk(tmp_path: Path) -> Iterator[Kiosk]:
    with bind(0) as listener:
        kiosk = Kiosk(EdgeConfig(data_dir=tmp_path), keys=Keys(listener.getsockname()[1]))
        server, thread = serve_in_thread(kiosk, listener)
        yield kiosk
        server.should_exit = True
        thread.join()
        kiosk.close()


@pytest.fixture
def page(kiosk: Kiosk, browser: Browser) -> Iterator[Page]:
    """In a session whose camera looks at somebody."""
    kiosk.hub.update(session=1, stage=Stage.CAPTURE, prompt=Prompt.LOOK_AT_CAMERA)
    with browser.new_context(viewport=SIZE) as context:
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        page.goto(kiosk.keys.launch_url)
        page.goto(f"{kiosk.keys.launch_url.partition('/enter')[0]}/session")
        expect(page.locator("html[data-ready]")).to_be_attached()
        yield page


def test_the_screen_takes_the_colours_of_the_light_and_says_so(kiosk: Kiosk, page: Page) -> None:
    kiosk.hub.update(prompt=Prompt.WATCH_SCREEN)
    expect(page.locator("#prompt")).to_have_text(PROMPTS[Prompt.WATCH_SCREEN]["en"].lstrip("☀ "))
    for colour in COLOURS:
        assert any(kiosk.hub.light(colour) for _ in range(TRIES))  # painted, says the page
        red, green, blue = colour
        expect(page.locator("#light")).to_have_css("background-color", f"rgb({red}, {green}, {blue})")
        expect(page.locator("header")).to_be_hidden()  # nothing else lights the face
        expect(page.locator("#prompt")).to_be_visible()
    assert kiosk.hub.can_light
    assert any(kiosk.hub.light(None) for _ in range(TRIES))
    expect(page.locator("#light")).to_be_hidden()
    expect(page.locator("header")).to_be_visible()


def test_pictures_are_drawn_as_in_a_mirror_and_the_arrows_with_them(kiosk: Kiosk, page: Page) -> None:
    pixels = np.zeros((480, 640, 3), np.uint8)
    pixels[:, :320] = (0, 0, 255)  # red, in the left half of the camera's picture
    kiosk.hub.offer_frame(encode_preview(pixels))
    expect(page.locator("#preview[data-frames]")).to_be_visible()
    look = "() => [...document.querySelector('#preview').getContext('2d').getImageData(60, 60, 1, 1).data]"
    red, green, blue, _ = page.evaluate(look)
    assert (red > 200, green < 60, blue < 60) == (True, True, True)
    mirrored = page.locator("#preview").evaluate("canvas => getComputedStyle(canvas).transform")
    assert mirrored == "matrix(-1, 0, 0, 1, 0, 0)"
    for prompt, shown, hidden in (
        (Prompt.TURN_LEFT, ".arrow-left", ".arrow-right"),
        (Prompt.TURN_RIGHT, ".arrow-right", ".arrow-left"),
    ):
        kiosk.hub.update(prompt=prompt)
        expect(page.locator("#prompt")).to_have_text(PROMPTS[prompt]["en"].lstrip("←→ "))
        expect(page.locator(shown)).to_be_visible()
        expect(page.locator(hidden)).to_be_hidden()


def test_when_the_camera_has_done_its_part_nobody_need_pose(kiosk: Kiosk, page: Page) -> None:
    kiosk.hub.update(prompt=Prompt.LOOK_STRAIGHT, still=True)
    expect(page.locator("#prompt")).to_have_text("One moment…")
    kiosk.hub.update(prompt=Prompt.CAMERA_LOST)  # which is why there is no picture
    expect(page.locator("#prompt")).to_have_text(PROMPTS[Prompt.CAMERA_LOST]["en"])


def test_the_time_that_is_left_is_said_when_it_is_short(kiosk: Kiosk, page: Page) -> None:
    now = kiosk.hub.now
    question = Question(1, "field", now + 3000, 3000, {"name": "phone", "again": False})
    kiosk.hub.update(stage=Stage.QUESTION, prompt=None, question=question)
    expect(page.locator("#field")).to_be_focused()
    expect(page.locator("#left")).to_be_hidden()
    question = Question(2, "field", now + 1, 3000, {"name": "phone", "again": True})
    kiosk.hub.update(question=question)
    expect(page.locator("#field-again")).to_be_visible()
    expect(page.locator("#left")).to_be_visible()
    expect(page.locator("#left-words")).to_have_text("0 s left")
