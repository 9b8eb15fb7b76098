"""Whose visit it is, and how long anything of it stays on a screen; and what a page is told of a bug."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from argon2 import PasswordHasher

from edge.attest.clock import SystemClock
from edge.kiosk import counter, visits
from edge.kiosk.security import HEADERS
from edge.kiosk.texts import LANGUAGES
from edge.operators import pins
from edge.operators.machine import IDLE_LIMIT_NS
from tests.support.kiosk_counter import INFO, WITHIN_S, StandIn
from tests.support.local_device import AGENT, CLERK, LocalDevice
from tests.support.local_kiosk import Client, LocalKiosk, local_kiosk
from verifield.v1 import account_service_pb2 as accounts
from verifield.v1 import certification_service_pb2 as certifications

NUMBER, PASSWORD = "11010119900307803X", "sieben-Kamele-7"


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKiosk]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pins, "_HASHER", PasswordHasher(time_cost=1, memory_cost=64, parallelism=4))
        device = LocalDevice.open(tmp_path_factory.mktemp("visits") / "device")
        device.add_operators()
        with local_kiosk(device) as local:
            yield local


@pytest.fixture
def client(local: LocalKiosk) -> Iterator[Client]:
    with local.client() as client:
        client.post("/language", language="en")
        client.sign_in(CLERK)
        yield client
        client.post("/sign-out")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    service = StandIn()
    service.serve(monkeypatch)
    return service


class Accounts:
    """The service to a person who signs in to an account that is active."""

    language = "en"

    def __init__(self) -> None:
        self.called: list[str] = []
        self.signed_out = threading.Event()

    def ask(self, _config: Any, _language: Any, work: Callable[[Any], Any]) -> Any:
        return work(self)

    def call(self, _stub: Any, method: str, _request: Any, *, token: str = "") -> Any:
        assert token == ("" if method == "Login" else "the customer's")
        self.called.append(method)
        if method == "SignOut":
            self.signed_out.set()
        answer = accounts.LoginResponse(next_step=accounts.NEXT_STEP_NONE)
        answer.session.token = "the customer's"
        answers: dict[str, Any] = {
            "Login": answer,
            "SignOut": accounts.SignOutResponse(),
            "ListCertificationTypes": certifications.ListCertificationTypesResponse(),
            "ListHistory": certifications.ListHistoryResponse(),
        }
        return answers[method]


@pytest.fixture
def holder(monkeypatch: pytest.MonkeyPatch) -> Accounts:
    service = Accounts()
    monkeypatch.setattr(visits, "ask", service.ask)
    return service


def shown_customer(client: Client) -> None:
    """The counter shows a customer's information."""
    for path, values in (("begin", {}), ("card", {}), ("refresh", {}), ("decide", {"choice": "CONTINUE"})):
        assert client.post(f"/coop/{path}", **values).json == {"go": "/coop"}, path
    assert INFO.address in client.get("/coop").text


def cancelled(client: Client, service: StandIn) -> None:
    """Wait until the service's session has ended too: beside the answers, for nobody waits for it."""
    for _ in range(1000):
        if service.count("CancelSession"):
            return
        client.get("/sign-in")
    raise AssertionError("the service's session goes on")


def test_signing_out_ends_the_visit_and_the_next_operator_sees_nothing_of_it(
    client: Client, service: StandIn
) -> None:
    shown_customer(client)
    client.post("/sign-out")
    client.until("/coop", lambda said: said["visit"] == 0)
    cancelled(client, service)
    client.sign_in(AGENT)
    page = client.get("/coop").text
    assert "data-step" not in page
    assert INFO.address not in page
    assert client.post("/coop/confirm").code == "CARD_REQUIRED"


def test_another_operator_who_signs_in_meanwhile_sees_nothing_of_it(client: Client, service: StandIn) -> None:
    shown_customer(client)
    client.sign_in(AGENT)
    assert "data-step" not in client.get("/coop").text
    cancelled(client, service)


def test_the_same_operator_goes_on_after_signing_in_once_more(client: Client, service: StandIn) -> None:
    shown_customer(client)
    client.sign_in(CLERK)
    assert INFO.address in client.get("/coop").text
    assert service.count("CancelSession") == 0


def test_the_account_of_a_certification_is_left_with_the_operator(client: Client, holder: Accounts) -> None:
    client.get("/certifications")
    client.post("/certifications/login", identifier=NUMBER, password=PASSWORD)
    assert 'data-step="list"' in client.get("/certifications").text
    client.post("/sign-out")
    assert holder.signed_out.wait(WITHIN_S)
    client.sign_in(AGENT)
    assert 'data-step="login"' in client.get("/certifications").text
    called = len(holder.called)
    assert client.post("/certifications/list").code == "STEP_OVER"
    assert len(holder.called) == called


def test_an_account_is_left_with_the_operator(client: Client, holder: Accounts) -> None:
    client.post("/accounts/begin", what="login")
    client.post("/accounts/login", identifier=NUMBER, password=PASSWORD)
    assert 'data-step="done"' in client.get("/accounts").text
    client.post("/sign-out")
    assert holder.signed_out.wait(WITHIN_S)
    client.sign_in(AGENT)
    assert "data-step" not in client.get("/accounts").text


def test_an_operator_who_was_idle_for_too_long_has_left_their_visit(
    client: Client, service: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown_customer(client)
    awake = SystemClock.monotonic_ns
    monkeypatch.setattr(SystemClock, "monotonic_ns", lambda self: awake(self) + IDLE_LIMIT_NS + 10**9)
    assert client.get("/queue").path.startswith("/sign-in")
    client.until("/coop", lambda said: said["visit"] == 0)
    cancelled(client, service)


def test_pages_are_told_that_a_visit_ran_out_and_that_another_began(
    client: Client, service: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown_customer(client)
    first = client.until("/coop", lambda said: said["visit"] and not said["waits"])["/coop"]["visit"]
    assert f'data-flow="/coop" data-visit="{first}"' in client.get("/coop").text
    monkeypatch.setattr(visits, "IDLE_S", 0.0)
    client.get("/coop")
    client.until("/coop", lambda said: said["visit"] == 0)
    cancelled(client, service)
    monkeypatch.undo()
    service.serve(monkeypatch)
    client.post("/coop/begin")
    second = client.until("/coop", lambda said: said["visit"])["/coop"]["visit"]
    assert second not in (0, first)


# Bugs


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_bug_is_told_in_plain_words_behind_the_guards_headers_and_logged(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, language: str
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    client.post("/language", language=language)
    monkeypatch.setattr(counter, "ask", fail)
    with caplog.at_level(logging.ERROR):
        posted = client.post("/coop/begin")
    assert (posted.status, posted.code) == (500, "INTERNAL_FAULT")
    assert posted.json["error"]["text"]
    monkeypatch.setattr(visits.Visits, "page", fail)
    monkeypatch.setattr(counter, "to_sign_in", fail)
    loaded = client.get("/coop")
    assert loaded.status == 500
    assert "INTERNAL_FAULT" in loaded.text
    assert f'<html lang="{language}"' in loaded.text
    for answer in (posted, loaded):
        assert "No space left" not in answer.text
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert [True for one in caplog.records if one.exc_info and isinstance(one.exc_info[1], OSError)]


def test_half_a_surrogate_pair_is_no_text(client: Client, service: StandIn) -> None:
    shown_customer(client)
    assert client.post("/coop/customer", address="\ud800").code == "BAD_REQUEST"
    assert client.post("/coop/customer", address=INFO.address, more=["\udc00"]).code == "BAD_REQUEST"
    assert client.post("/accounts/login", identifier="\ud800", password="x").code == "BAD_REQUEST"
    assert client.post("/sign-in", who=AGENT, pin="\ud800").code == "BAD_REQUEST"
    assert client.post("/coop/customer", address="😀").json == {"go": "/coop"}
