"""A screen that nobody touches, in a real browser: what it showed of a person goes when their visit does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from argon2 import PasswordHasher
from playwright.sync_api import Page, expect

from edge.attest.clock import SystemClock
from edge.kiosk import visits
from edge.operators import pins
from edge.operators.machine import IDLE_LIMIT_NS
from tests.browser.conftest import Enter
from tests.support.kiosk_counter import INFO, StandIn
from tests.support.local_device import CLERK, LocalDevice
from tests.support.local_kiosk import LocalKiosk, local_kiosk
from tests.support.screen_checks import check_accessible


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKiosk]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pins, "_HASHER", PasswordHasher(time_cost=1, memory_cost=64, parallelism=4))
        device = LocalDevice.open(tmp_path_factory.mktemp("idle") / "device")
        device.add_operators()
        with local_kiosk(device) as local:
            yield local


@pytest.fixture
def page(local: LocalKiosk, enter: Enter, monkeypatch: pytest.MonkeyPatch) -> Page:
    """The counter shows a customer's information."""
    StandIn().serve(monkeypatch)
    with local.client() as client:
        client.post("/language", language="en")
        client.sign_in(CLERK)
        for name, values in (
            ("begin", {}),
            ("card", {}),
            ("refresh", {}),
            ("decide", {"choice": "CONTINUE"}),
        ):
            assert client.post(f"/coop/{name}", **values).json == {"go": "/coop"}, name
    room: Any = local
    page = enter(room)
    page.goto(f"{local.origin}/coop")
    expect(page.locator("#main:not([inert]) [name=address]")).to_have_value(INFO.address)
    return page


def test_a_screen_that_nobody_touches_shows_nothing_of_the_customer(
    local: LocalKiosk, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    with local.client() as client:
        monkeypatch.setattr(visits, "IDLE_S", 0.0)
        client.get("/coop")  # the last touch
    expect(page.locator("html[data-ready]:not([data-visit])")).to_be_attached()
    expect(page.locator("[name=address]")).to_have_count(0)


def test_an_operator_who_was_idle_for_too_long_leaves_nothing_of_the_customer_on_the_screen(
    local: LocalKiosk, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    awake = SystemClock.monotonic_ns
    monkeypatch.setattr(SystemClock, "monotonic_ns", lambda self: awake(self) + IDLE_LIMIT_NS + 10**9)
    with local.client() as client:
        assert client.get("/queue").path.startswith("/sign-in")
    expect(page).to_have_url(f"{local.origin}/sign-in?to=/coop")
    expect(page.locator("[name=address]")).to_have_count(0)


def test_who_leaves_comes_home_although_the_visit_is_over(local: LocalKiosk, page: Page) -> None:
    page.locator('[data-post="/coop/leave"]').click()
    expect(page).to_have_url(f"{local.origin}/")
    expect(page.locator(".function").first).to_be_visible()


def test_a_contract_that_nobody_touches_leaves_the_screen_after_a_warning_that_any_key_takes_away(
    local: LocalKiosk, enter: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = local.device.send_contract("left open").task_id
    with local.client() as client:
        client.post("/language", language="en")
        client.sign_in(CLERK)
    room: Any = local
    page = enter(room)
    page.goto(f"{local.origin}/contracts/{task}/page/1")
    expect(page.locator("#main:not([inert]) #picture")).to_be_visible()
    warning = page.get_by_role("alert").filter(has_text="signed out in 30 s")
    expect(warning).to_have_count(0)
    awake = SystemClock.monotonic_ns
    late_ns = IDLE_LIMIT_NS - 29 * 10**9
    monkeypatch.setattr(SystemClock, "monotonic_ns", lambda self: awake(self) + late_ns)
    expect(warning).to_be_visible()
    check_accessible(page)
    page.keyboard.press("Shift")
    expect(warning).to_have_count(0)
    assert local.kiosk.operator is not None
    monkeypatch.setattr(SystemClock, "monotonic_ns", lambda self: awake(self) + 3 * IDLE_LIMIT_NS)
    expect(page).to_have_url(f"{local.origin}/sign-in?to=/contracts/{task}/page/1")
    assert local.kiosk.operator is None


def test_who_is_refused_for_not_being_signed_in_is_led_to_signing_in(local: LocalKiosk, page: Page) -> None:
    refusal = {"error": {"code": "NOT_SIGNED_IN", "text": "You are no longer signed in.", "hint": ""}}
    page.route("**/coop/leave", lambda route: route.fulfill(status=400, json=refusal))
    page.locator('[data-post="/coop/leave"]').click()
    expect(page).to_have_url(f"{local.origin}/sign-in?to=/coop")
