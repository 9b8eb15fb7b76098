"""Real Chromium, driving the kiosk's real process, with the simulator as hardware.

Fixtures: ``browser`` (one Chromium for a module), ``room`` (a device with every step and operators),
``page`` (a fresh browser context that has entered the kiosk of ``room``), ``enter(room)`` for other rooms.
``WAIT_MS``: every wait is for a condition, with this limit.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from edge.models.store import ModelStore
from tests.support.kiosk import KioskRoom, kiosk_room

CHROMIUM = shutil.which("chromium")
WAIT_MS = 60_000
POLICY = "Content Security Policy"
SIZE = {"width": 1280, "height": 800}

Enter = Callable[[KioskRoom], Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for the tests of a module; they are skipped where there is none.

    Not one for all: while it is there, an event loop counts as running in this thread, and no test beside it
    could start its own.
    """
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here; scripts/debian.sh installs it")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, model_store: ModelStore) -> Iterator[KioskRoom]:
    with kiosk_room(tmp_path_factory.mktemp("kiosk")) as room:
        yield room


@pytest.fixture
def enter(browser: Browser) -> Iterator[Enter]:
    """Open a page of a room's kiosk; what its console complains of fails the test."""
    contexts = []
    complaints: list[str] = []

    def open_page(room: KioskRoom) -> Page:
        context = browser.new_context(viewport=SIZE, locale="en-GB", reduced_motion="reduce")
        context.set_default_timeout(WAIT_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if POLICY in said.text else None)
        page.goto(room.url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def page(room: KioskRoom, enter: Enter) -> Page:
    return enter(room)
