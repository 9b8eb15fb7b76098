"""The device's own screens in a real browser: records, health, people expected, the stick, a small screen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from edge.kiosk import health
from edge.kiosk.hints import Battery
from edge.kiosk.sticks import Stick
from tests.browser.conftest import Enter
from tests.support.local_device import AGENT, PINS, LocalDevice
from tests.support.local_kiosk import LocalKiosk, local_kiosk
from tests.support.screen_checks import check_accessible, check_fits, sign_in, speak

SMALLEST = {"width": 320, "height": 568}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKiosk]:
    """An agent's portable device: some records, nobody's network, a battery that runs low."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(health, "read_battery", lambda: Battery(18, plugged=False))
        device = LocalDevice.open(tmp_path_factory.mktemp("portable") / "device")
        device.add_operators()
        device.verified()
        with local_kiosk(device, portable=True, watch=True) as local:
            yield local


@pytest.mark.req("E065")
def test_every_screen_fits_the_smallest_device_in_every_language(local: LocalKiosk, enter: Enter) -> None:
    room: Any = local
    attempt, task = local.device.attempt().attestation_id, local.device.expect_account()
    contract = local.device.send_contract().task_id
    page = enter(room)
    page.set_viewport_size(SMALLEST)
    check_fits(page)
    sign_in(page, local.origin, AGENT, PINS[AGENT])
    hints = page.locator("#hints")
    expect(hints).to_contain_text("Battery 18 %, low: plug it in soon")
    paths = (
        *("/", "/queue", "/health", "/manual", f"/manual/{attempt}", f"/manual/{attempt}/refuse"),
        *("/tasks", f"/tasks/{task}", "/contracts", f"/contracts/{contract}/page/3", "/stick"),
        f"/receipt/{attempt}",
    )
    for language in ("zh", "es", "en"):
        speak(page, language)
        for path in paths:
            page.goto(local.origin + path)
            expect(page.get_by_role("heading", level=1)).to_be_visible()
            check_fits(page)
            if looked_at_in(path, language):
                check_accessible(page)
    expect(hints).to_be_visible()


def looked_at_in(path: str, language: str) -> bool:
    """Whether this screen is looked at with axe in this language: each is in one, all three are used."""
    return sum(path.encode()) % 3 == ("zh", "es", "en").index(language)


def test_records_and_health_say_what_waits_and_what_to_do(local: LocalKiosk, enter: Enter) -> None:
    room: Any = local
    page = enter(room)
    sign_in(page, local.origin, AGENT, PINS[AGENT])
    waiting = len([one for one in states(local) if one == "PENDING"])
    page.goto(f"{local.origin}/queue")
    expect(page.locator("[data-figure=pending] dd")).to_have_text(str(waiting))
    expect(page.locator("[data-figure=receipt] dd")).to_have_text("None")
    page.locator("li[data-outcome=VERIFIED] a").first.press("Enter")
    page.wait_for_url("**/receipt/*")
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    page.goto(f"{local.origin}/health")
    expect(page.locator("[data-health]")).to_have_attribute("data-health", "bad")
    camera = page.locator("[data-item=camera]")
    expect(camera).to_contain_text("What to do:")
    expect(page.locator("[data-item=certificate]")).to_have_attribute("data-state", "ok")
    check_accessible(page)


def test_records_leave_on_a_stick(local: LocalKiosk, enter: Enter, tmp_path: Path) -> None:
    room: Any = local
    page = enter(room)
    sign_in(page, local.origin, AGENT, PINS[AGENT])
    page.goto(f"{local.origin}/stick", wait_until="load")
    expect(page.get_by_role("main")).to_contain_text("No USB stick is there.")
    local.sticks.append(Stick("FIELD", tmp_path, 10**9))
    try:
        page.get_by_role("link", name="Look again").click()
        check_accessible(page)
        page.wait_for_load_state("load")
        page.get_by_role("button", name="Write the records to 'FIELD'").press("Enter")
        expect(page.get_by_role("status")).to_contain_text("You can take the stick out now.")
        check_accessible(page)
        assert [path.suffix for path in tmp_path.iterdir()] == [".verifield"]
        page.wait_for_load_state("load")
        page.get_by_role("button", name="Finish").click()
        page.wait_for_url(f"{local.origin}/")
    finally:
        local.sticks.clear()


def states(local: LocalKiosk) -> list[str]:
    with local.device.recorder() as recorder:
        return [record.state.value for record in recorder.outbox.newest(limit=100)]
