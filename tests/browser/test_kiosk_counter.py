"""The super counter in a real browser, against a running service and its authorities: the card first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import grpc
import pytest
from playwright.sync_api import Page, expect

from cloud.bank.notices import PROMPT
from demo.processes import wait_until
from edge.app import open_identity
from edge.kiosk.cloud_line import _open_channel
from edge.kiosk.texts import LANGUAGES
from edge.models.store import ModelStore
from edge.reader.cards import parse_text
from tests.browser.conftest import SIZE, Enter
from tests.support.authorities import Somebody as Citizen
from tests.support.bank import COMPANY, new_id, picture_of, reason_of, strokes
from tests.support.bank_rows import dump
from tests.support.kiosk_cloud import CloudKioskRoom, cloud_kiosk, owner_of
from tests.support.kiosk_page import Somebody
from tests.support.screen_checks import check_fits
from verifield.v1 import bank_pb2, bank_service_pb2, customer_service_pb2
from verifield.v1 import coop_service_pb2 as pb
from verifield.v1.coop_service_pb2_grpc import CoopServiceStub
from verifield.v1.customer_service_pb2_grpc import CustomerServiceStub
from verifield.v1.identity_pb2 import FaceEvidence
from verifield_sim.cards import card_for

PORTRAIT, SEED = "astronaut", 41
OTHER_SEED = 42  # whose card names another authority than the register
ADDRESS = "模拟市样本区虚构路1号"
TRIES = 5
SMALL = {"width": 320, "height": 640}
LATER = {
    "face": {},
    "refresh": {},
    "decide": {"choice": "CONTINUE"},
    "customer": {"address": ADDRESS},
    "change": {},
    "confirm": {},
    "bank": {"bank": "1"},
    "company": {"name": COMPANY},
    "period": {"period": "P6M"},
    "notice": {},
    "sign": {"width": 10, "height": 10, "strokes": []},
    "issue": {},
}
"""Every step of the flow but the reading of the card, with what its page posts."""

POST = "async ([path, values]) => (await import('/static/kiosk.js')).post(path, values)"


def customer_of(seed: int, **changes: Any) -> Citizen:
    """Whose card the simulator lays down, as the central bank's register has them."""
    text = parse_text(card_for(PORTRAIT, seed=seed).text)
    end = text.valid_to.isoformat() if text.valid_to else "long-term"
    other = {"valid_from": text.valid_from.isoformat(), "valid_to": end}
    return replace(owner_of(PORTRAIT, seed), **{"issuer": text.issuer, "other": other, **changes})


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, model_store: ModelStore) -> Iterator[CloudKioskRoom]:
    people = (customer_of(SEED), customer_of(OTHER_SEED, issuer="模拟市另一分局"))
    with cloud_kiosk(tmp_path_factory.mktemp("counter"), model_store, *people) as room:
        bank = bank_pb2.Bank(
            code="sample",
            name_zh="模拟样本银行",
            name_en="Sample Bank",
            name_es="Banco de Muestra",
            periods=["P90D", "P6M", "P1Y"],
            enabled=True,
        )
        operator = room.running.operator
        operator.call(operator.bank.PutBank, bank_service_pb2.PutBankRequest(bank=bank))
        yield room


@pytest.fixture
def customer(room: CloudKioskRoom, enter: Enter) -> Iterator[Somebody]:
    """At the first page of the counter, come from the menu, in English."""
    customer = Somebody(enter(room), room)
    customer.speak("en")
    customer.page.locator('[data-module="ENTERPRISE"] [data-function="COOP_VERIFY"]').click()
    customer.page.wait_for_url("**/coop")
    yield customer
    customer.page.goto(f"{room.origin}/coop")
    if customer.page.locator("[data-step]").count():
        leave(customer)


def leave(customer: Somebody) -> None:
    """Go home, and wait until the session is over at the service, too."""
    customer.page.locator('[data-post="/coop/leave"]').click()
    expect(customer.page.locator(".function").first).to_be_visible()
    room = customer.room
    assert isinstance(room, CloudKioskRoom)
    wait_until("the session is cancelled", lambda: not waiting(room), timeout_s=60.0)


def waiting(room: CloudKioskRoom) -> list[str]:
    """Sessions of the service in which the card is to be read."""
    sessions = [row[0] for row in dump(room.running, "coop_sessions")["coop_sessions"]]
    with _open_channel(open_identity(room.settings)) as channel:
        ask = CoopServiceStub(channel).GetSession
        states = {one: ask(pb.GetSessionRequest(session_id=one)).session.state for one in sessions}
    return [one for one, state in states.items() if state == pb.COOP_STATE_CARD_READ]


def at(customer: Somebody, step: str) -> Page:
    """Wait for a step's page, let axe-core look at it, and see that it fits on a small screen."""
    page = customer.page
    expect(page.locator(f'[data-step="{step}"]')).to_be_visible()
    expect(page.locator("html[data-ready]")).to_be_attached()
    customer.check(step)
    page.set_viewport_size(SMALL)
    check_fits(page)
    page.set_viewport_size(SIZE)
    return page


def begin(customer: Somebody) -> Page:
    customer.press("counter.begin")
    return at(customer, "card")


def pass_face(customer: Somebody) -> None:
    """From the question for the face to the earlier records; a busy machine may need more than one look."""
    page = customer.page
    for _ in range(TRIES):
        at(customer, "face")
        customer.press("accounts.face.go")
        customer.screen("result")
        shown = page.locator("#screen [data-outcome]")
        expect(shown).to_be_visible()
        verified = shown.get_attribute("data-outcome") == "VERIFIED"
        customer.press("verify.finish")
        expect(page.locator("[data-step]")).to_be_visible()
        if verified:
            break
    at(customer, "records")


def later_calls(session_id: str) -> list[tuple[Any, str, Any]]:
    """Every later step of the service, with a request that is well formed."""
    written, salt = strokes(), bytes(32)
    face = FaceEvidence(
        envelope=b"1",
        certificates=[b"1"],
        number_salt=salt,
        valid_from="2020-01-01",
        valid_to="long-term",
        valid_from_salt=salt,
        valid_to_salt=salt,
        picture=b"1",
        picture_salt=salt,
    )
    matched, decision, info = (
        pb.COOP_LOCAL_MATCH_MATCHED,
        pb.COOP_DECISION_CONTINUE,
        customer_service_pb2.CustomerInfo(address=ADDRESS),
    )
    named: list[tuple[str, Any]] = [
        ("GetAuthorityPhoto", pb.GetAuthorityPhotoRequest()),
        ("SubmitFace", pb.SubmitFaceRequest(evidence=face, local_match=matched)),
        ("GetCoopDetails", pb.GetCoopDetailsRequest()),
        ("ListRecords", pb.ListRecordsRequest()),
        ("Decide", pb.DecideRequest(decision=decision)),
        ("ConfirmCustomer", pb.ConfirmCustomerRequest(version=1)),
        ("CompleteInfo", pb.CompleteInfoRequest(bank_id=new_id(), organisation_name="x", period="P6M")),
        ("GetNotices", pb.GetNoticesRequest()),
        ("ConfirmNotices", pb.ConfirmNoticesRequest(notice_sha256=salt)),
        ("ConfirmSignature", pb.ConfirmSignatureRequest(strokes=written, image=picture_of(written))),
        ("IssueRequest", pb.IssueRequestRequest()),
        ("DownloadRequest", pb.DownloadRequestRequest()),
    ]
    calls = [(CoopServiceStub, name, request) for name, request in named]
    calls.append(
        (CustomerServiceStub, "UpsertCustomer", customer_service_pb2.UpsertCustomerRequest(info=info))
    )
    calls.append(
        (CustomerServiceStub, "GetSessionCustomer", customer_service_pb2.GetSessionCustomerRequest())
    )
    for _stub, _name, request in calls:
        request.session_id = session_id
    return calls


@pytest.mark.timeout(600)
@pytest.mark.req("R005")
def test_without_a_card_every_later_step_is_refused_and_the_prompt_is_shown_and_said(
    customer: Somebody, room: CloudKioskRoom
) -> None:
    page = customer.page
    for path, values in LATER.items():  # before a session, too
        assert page.evaluate(POST, [f"/coop/{path}", values])["error"]["code"] == "CARD_REQUIRED"
    for language in LANGUAGES:
        customer.speak(language)
        customer.check("counter")
        page = begin(customer)
        said = page.locator("#said")
        expect(said).to_have_text(PROMPT[language])
        assert (said.get_attribute("role"), said.get_attribute("aria-live")) == ("status", "assertive")
        for path, values in LATER.items():
            answer = page.evaluate(POST, [f"/coop/{path}", values])
            assert answer["error"]["code"] == "CARD_REQUIRED", path
            assert answer["error"]["text"] == page.locator("#alert strong").inner_text()
        leave(customer)
        page.goto(f"{room.origin}/coop")
    begin(customer)
    [session_id] = waiting(room)
    with _open_channel(open_identity(room.settings)) as channel:
        for stub, name, request in later_calls(session_id):
            with pytest.raises(grpc.RpcError) as refused:
                getattr(stub(channel), name)(request, timeout=30)
            assert reason_of(refused.value) == (grpc.StatusCode.FAILED_PRECONDITION, "CARD_REQUIRED"), name


@pytest.mark.timeout(600)
def test_the_prompt_is_spoken_where_somebody_switched_it_on(customer: Somebody) -> None:
    page = customer.page
    page.add_init_script(
        "window.spoken = [];speechSynthesis.speak = words => window.spoken.push([words.lang, words.text]);"
    )
    begin(customer)
    page.reload()
    at(customer, "card")
    assert page.evaluate("window.spoken") == []
    customer.press("counter.aloud")
    assert page.evaluate("window.spoken") == [["en", PROMPT["en"]]]
    page.reload()
    at(customer, "card")
    assert page.evaluate("window.spoken") == [["en", PROMPT["en"]]]
    customer.press("counter.aloud")
    expect(page.locator("#aloud")).to_have_attribute("aria-pressed", "false")


@pytest.mark.timeout(600)
def test_a_customer_is_verified_for_a_bank_and_signs_the_request(
    customer: Somebody, room: CloudKioskRoom
) -> None:
    page = customer.page
    room.comes(PORTRAIT, SEED)
    begin(customer)
    customer.press("counter.card.read")
    pass_face(customer)
    expect(page.locator("#no-records")).to_be_visible()
    expect(page.locator("#details")).to_contain_text(customer_of(SEED).id_number)
    customer.speak("es")
    customer.press("counter.continue")
    at(customer, "customer")
    page.locator("#address").fill(ADDRESS)
    customer.press("shell.next")
    at(customer, "confirm")
    customer.press("counter.confirm.yes")
    at(customer, "bank")
    page.get_by_text("Banco de Muestra").click()
    customer.press("shell.next")
    at(customer, "company")
    page.locator("#name").fill(COMPANY)
    customer.press("shell.next")
    at(customer, "period")
    customer.speak("zh")
    page.get_by_text(customer.text("counter.period.M", n=6)).click()
    customer.press("shell.next")
    at(customer, "notice")
    customer.press("verify.notice.yes")
    at(customer, "sign")
    customer.press("counter.sign.yes")
    expect(page.locator('#alert[data-code="SIGNATURE_EMPTY"]')).to_be_visible()
    customer.draw_signature()
    customer.press("counter.sign.yes")
    at(customer, "done")
    number = page.locator("#number").inner_text()
    operator = room.running.operator
    request = bank_service_pb2.CheckRecordRequest(number=number)
    record = operator.call(operator.bank.CheckRecord, request).record
    assert record.state == bank_pb2.COOP_RECORD_STATE_VALID
    assert (record.organisation_name, record.period) == (COMPANY, "P6M")
    leave(customer)

    # The same customer comes again: the record is shown, and who exits changes nothing.
    page.goto(f"{room.origin}/coop")
    begin(customer)
    customer.press("counter.card.read")  # it was not lifted since, and is, because the device asks for it
    pass_face(customer)
    shown = page.locator("[data-record]")
    expect(shown).to_have_count(1)
    expect(shown).to_have_attribute("data-record", number)
    expect(shown).to_contain_text(COMPANY)
    customer.press("counter.exit")
    at(customer, "ended")
    expect(page.get_by_role("heading", level=1)).to_have_text(customer.text("counter.ended.CLOSED_BY_USER"))
    said = (room.folder / "logs" / "kiosk.log").read_text()
    for personal in (customer_of(SEED).name, customer_of(SEED).id_number, ADDRESS, COMPANY):
        assert personal not in said


@pytest.mark.timeout(600)
def test_a_card_that_the_register_does_not_know_so_ends_the_session_and_says_what_is_wrong(
    customer: Somebody, room: CloudKioskRoom
) -> None:
    page = customer.page
    room.comes(PORTRAIT, OTHER_SEED)
    begin(customer)
    customer.press("counter.card.read")
    at(customer, "ended")
    for language in LANGUAGES:
        customer.speak(language)
        customer.check("ended")
        expect(page.get_by_role("heading", level=1)).to_have_text(customer.text("counter.ended.ITEMS"))
        wrong = page.locator("[data-item]")
        assert [one.get_attribute("data-item") for one in wrong.all()] == ["ISSUER"]
    for path in ("face", "decide", "issue"):
        answer = page.evaluate(POST, [f"/coop/{path}", LATER[path]])
        assert answer["error"]["code"] == "STEP_OVER", path
