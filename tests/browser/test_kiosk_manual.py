"""Two people decide by hand in a real browser: with the keyboard, with the finger, in three languages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Enter
from tests.support.local_device import CLERK, PINS, SUPERVISOR, LocalDevice
from tests.support.local_kiosk import LocalKiosk, local_kiosk
from tests.support.screen_checks import check_accessible, check_fits, sign_in, speak


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKiosk]:
    device = LocalDevice.open(tmp_path_factory.mktemp("manual") / "device")
    device.add_operators()
    with local_kiosk(device) as local:
        yield local


@pytest.mark.req("E065")
def test_two_people_decide_by_hand(local: LocalKiosk, enter: Enter) -> None:
    room: Any = local
    attempt = local.device.attempt().attestation_id
    page = enter(room)
    check_accessible(page)
    sign_in(page, local.origin, CLERK, PINS[CLERK])
    page.get_by_role("link", name="Decide by hand").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/manual")
    speak(page, "zh")
    expect(page.get_by_role("heading", level=1)).to_have_text("核定哪一次核验？")
    check_accessible(page)
    page.get_by_role("link", name="没有看到人脸").first.press("Enter")
    page.wait_for_url(f"**/manual/{attempt}")
    speak(page, "es")
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "¿Es la persona del documento la que está aquí?"
    )
    check_accessible(page)
    page.get_by_role("link", name="Sí, es la misma: aceptar").press("Enter")
    page.wait_for_url(f"**/manual/{attempt}/accept")
    speak(page, "en")
    expect(page.locator("[data-choice]")).to_have_text("Your choice: accept.")
    check_accessible(page)
    check_fits(page)
    page.get_by_role("radio", name=SUPERVISOR).check(force=True)
    page.locator("#pin").press_sequentially("111999")
    page.keyboard.press("Enter")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The sign-in failed; try again.")
    expect(page.locator("[data-choice]")).to_have_text("Your choice: accept.")  # nothing is lost by it
    page.locator("#pin").fill("")
    for digit in PINS[SUPERVISOR]:
        page.locator(f"button[data-digit='{digit}']").click()
    page.get_by_role("button", name="Sign, both of us").click()
    page.wait_for_url("**/receipt/*")
    expect(page.get_by_role("heading", level=1)).to_have_text("Receipt")
    expect(page.locator(".lead")).to_have_text("Decided by two people.")
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    check_accessible(page)
    page.goto(f"{local.origin}/manual/{attempt}")
    expect(page.get_by_role("main")).to_contain_text("Two people have decided about this attempt already.")
    expect(page.get_by_role("main")).to_contain_text("let the person try again")
    expect(page.get_by_role("link", name="Home")).to_be_visible()


def test_the_ledger_is_the_supervisors(local: LocalKiosk, enter: Enter) -> None:
    room: Any = local
    page = enter(room)
    sign_in(page, local.origin, CLERK, PINS[CLERK])
    page.goto(f"{local.origin}/manual")
    expect(page.get_by_role("link", name="Ledger of decisions by hand")).to_have_count(0)
    page.goto(f"{local.origin}/manual/ledger")
    expect(page.get_by_role("main")).to_contain_text("Let a supervisor sign in and do it.")
    page.wait_for_load_state("load")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in")
    sign_in(page, local.origin, SUPERVISOR, PINS[SUPERVISOR])
    page.goto(f"{local.origin}/manual")
    page.get_by_role("link", name="Ledger of decisions by hand").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Ledger of decisions by hand")
    check_accessible(page)
