"""Accounts at the device in a real browser, against a running service; the telephone only gets messages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from cloud.accounts.states import State
from cloud.elements import Validity
from edge.app import open_identity
from edge.kiosk.texts import LANGUAGES
from edge.models.store import ModelStore
from tests.browser.conftest import Enter
from tests.support.accounts import PASSWORD, as_account, new_citizen, registered
from tests.support.authorities import somebody
from tests.support.kiosk_cloud import CloudKioskRoom, cloud_kiosk, owner_of
from tests.support.kiosk_page import Somebody
from tests.support.spool import last_code, spooled, wait_for
from verifield.v1 import account_service_pb2 as pb
from verifield.v1 import feedback_service_pb2
from verifield.v1.otp_service_pb2 import CODE_PURPOSE_REGISTER, SendCodeRequest
from verifield.v1.otp_service_pb2_grpc import OtpServiceStub

PORTRAIT, SEED = "astronaut", 31
OTHER = somebody(7)  # whose telephone it is
CODES_AN_HOUR = 3


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, model_store: ModelStore) -> Iterator[CloudKioskRoom]:
    people = (owner_of(PORTRAIT, SEED), OTHER)
    with cloud_kiosk(tmp_path_factory.mktemp("accounts"), model_store, *people) as room:
        yield room


@pytest.fixture
def visitor(room: CloudKioskRoom, enter: Enter) -> Somebody:
    """At the choice of the account flow, in English."""
    visitor = Somebody(enter(room), room)
    visitor.speak("en")
    visitor.page.goto(f"{room.origin}/accounts")
    if visitor.page.locator("[data-step]").count():
        leave(visitor)
    return visitor


def leave(visitor: Somebody) -> None:
    visitor.press("accounts.leave")
    expect(visitor.page.locator(".function").first).to_be_visible()
    visitor.page.goto(f"{visitor.room.origin}/accounts")


def at(visitor: Somebody, step: str) -> Page:
    """Wait for a step's page."""
    page = visitor.page
    expect(page.locator(f'[data-step="{step}"]')).to_be_visible()
    expect(page.locator("html[data-ready]")).to_be_attached()
    return page


def refused(visitor: Somebody, code: str) -> None:
    expect(visitor.page.locator(f'#refused[data-code="{code}"]')).to_be_visible()


def state_of(room: CloudKioskRoom, phone: str) -> int:
    operator = room.running.operator
    listed = operator.call(operator.accounts.ListAccounts, pb.ListAccountsRequest())
    [found] = [one for one in listed.accounts if one.phone.endswith(phone[-4:])]
    return int(found.state)


@pytest.mark.timeout(600)
@pytest.mark.req("R049")
def test_a_feature_phone_in_somebody_elses_name_is_enough_to_register_at_the_device(
    visitor: Somebody, room: CloudKioskRoom
) -> None:
    room.comes(PORTRAIT, SEED)
    visitor.check("accounts")
    visitor.press("accounts.begin.register")
    at(visitor, "elements")
    visitor.check("elements")
    visitor.press("accounts.read_card")
    at(visitor, "portrait")
    visitor.check("portrait")
    visitor.press("accounts.portrait.take")
    page = at(visitor, "contact")
    visitor.check("contact")
    page.locator("#phone").fill(OTHER.phone)
    page.locator("#password").fill(PASSWORD)
    visitor.press("accounts.send")

    at(visitor, "code")
    visitor.check("code")
    code = last_code(room.running, OTHER.phone)
    wrong = "000000" if code != "000000" else "111111"
    page.locator("#code").fill(wrong)
    visitor.press("accounts.code.go")
    refused(visitor, "CODE_WRONG")
    page.locator("#code").fill(code)
    visitor.press("accounts.code.go")
    at(visitor, "face")
    visitor.check("face")
    visitor.press("accounts.face.go")
    assert visitor.result("VERIFIED") == []
    visitor.press("verify.finish")
    page.wait_for_url(re.compile(r"/(accounts)?$"))  # the stream's word may come before the answer's
    page.goto(f"{room.origin}/accounts")
    at(visitor, "done")
    expect(page.get_by_role("heading", level=1)).to_have_text(visitor.text("accounts.done"))
    assert state_of(room, OTHER.phone) == pb.ACCOUNT_STATE_ACTIVE
    visitor.check("done")
    leave(visitor)
    expect(page.locator("[data-step]")).to_have_count(0)
    visitor.press("accounts.begin.register")
    at(visitor, "elements")
    visitor.press("accounts.read_card")  # it was not lifted since, and is, because the device asks for it
    at(visitor, "portrait")
    leave(visitor)
    owner, said = owner_of(PORTRAIT, SEED), (room.folder / "logs" / "kiosk.log").read_text()
    for personal in (owner.name, owner.id_number, OTHER.phone.removeprefix("+86"), PASSWORD, code):
        assert personal not in said


@pytest.mark.timeout(600)
@pytest.mark.req("R052")
def test_who_is_not_found_reads_three_remedies_in_their_order(visitor: Somebody) -> None:
    visitor.press("accounts.begin.login")
    page = at(visitor, "login")
    visitor.check("login")
    page.locator("#identifier").fill("nobody-of-that-name")
    page.locator("#password").fill(PASSWORD)
    visitor.press("accounts.login.go")
    refused(visitor, "LOGIN_USER_NOT_FOUND")
    codes = ["CONFIRM_REGISTERED", "CHECK_IDENTIFIER_KIND", "USE_ID_NUMBER"]
    for language in LANGUAGES:
        visitor.speak(language)
        shown = page.locator("ol.remedies li")
        assert [one.get_attribute("data-remedy") for one in shown.all()] == codes
        assert shown.all_inner_texts() == [visitor.text(f"accounts.remedy.{code}") for code in codes]
        visitor.check("remedies")


@pytest.mark.timeout(600)
@pytest.mark.req("R061")
def test_a_long_term_card_that_is_not_found_shows_the_four_elements_to_check(
    visitor: Somebody, room: CloudKioskRoom
) -> None:
    card = Validity(new_citizen().validity.valid_from, None)
    person = new_citizen(validity=card)  # whom the people's registry does not know
    registered(room.running, person, state=State.PHONE_VERIFIED)
    visitor.press("accounts.begin.login")
    page = at(visitor, "login")
    page.locator("#identifier").fill(person.id_number)
    page.locator("#password").fill(PASSWORD)
    visitor.press("accounts.login.go")
    at(visitor, "elements")
    names = ["name", "id_number", "valid_from", "valid_to"]
    for _ in range(2):
        refused(visitor, "VERIFICATION_DATA_MISSING")
        shown = page.locator("ul.check li")
        assert [one.get_attribute("data-element") for one in shown.all()] == names
        assert shown.all_inner_texts() == [visitor.text(f"accounts.element.{name}") for name in names]
        expect(page.locator("html[data-ready]")).to_be_attached()
        page.locator("#name").fill(person.name)
        page.locator("#number").fill(person.id_number)
        page.locator("#valid-from").fill("2020-01-02")
        page.locator('[name="long_term"]').check(force=True)
        with page.expect_navigation():
            visitor.press("shell.next")
    for language in LANGUAGES:
        visitor.speak(language)
        visitor.check("check-list")


@pytest.mark.timeout(600)
def test_an_account_of_an_earlier_system_is_activated_at_the_device(
    visitor: Somebody, room: CloudKioskRoom
) -> None:
    person = new_citizen()
    made = registered(room.running, person, state=State.SYNCED_INACTIVE, source=pb.ACCOUNT_SOURCE_SYNCED)
    visitor.press("accounts.begin.activate")
    page = at(visitor, "number")
    visitor.check("number")
    page.locator("#number").fill(person.id_number)
    visitor.press("shell.next")
    at(visitor, "old_phone")
    page.locator("#phone").fill("+8613999990000")
    visitor.press("accounts.send.only")
    refused(visitor, "ACTIVATION_PHONE_MISMATCH")
    assert spooled(room.running, to="+8613999990000") == []
    visitor.check("old-phone")
    page.locator("#phone").fill(person.phone)
    visitor.press("accounts.send.only")
    at(visitor, "code")
    wait_for(room.running, to=person.phone)
    page.locator("#code").fill(last_code(room.running, person.phone))
    visitor.press("accounts.code.go")
    at(visitor, "password")
    visitor.check("password")
    page.locator("#password").fill("drei-Pinguine-3")
    visitor.press("accounts.activate")
    at(visitor, "done")
    assert state_of(room, person.phone) == pb.ACCOUNT_STATE_ACTIVE
    assert made.account_id


@pytest.mark.timeout(600)
@pytest.mark.req("R036")
def test_where_no_message_comes_the_hint_and_the_wait_are_shown_and_nothing_is_sent_by_itself(
    visitor: Somebody, room: CloudKioskRoom
) -> None:
    person, service = new_citizen(), room.running
    made = registered(service, person, state=State.DRAFT)
    for number in range(1, CODES_AN_HOUR + 1):  # none of which came: the next wait is long enough to be seen
        with as_account(service, made) as stub:
            stub(OtpServiceStub).SendCode(SendCodeRequest(purpose=CODE_PURPOSE_REGISTER))
        wait_for(service, number, to=person.phone)
        service.clock.offset += timedelta(seconds=61)
    visitor.press("accounts.begin.login")
    page = at(visitor, "login")
    page.locator("#identifier").fill(person.phone)
    page.locator("#password").fill(PASSWORD)
    visitor.press("accounts.login.go")
    at(visitor, "code")
    for language, signal in (("zh", "信号良好"), ("es", "buena cobertura"), ("en", "good signal")):
        visitor.speak(language)  # type: ignore[arg-type]
        expect(page.locator("#hint")).to_contain_text(signal)
        left = int(page.locator("#wait").get_attribute("data-wait") or 0)
        assert 0 < left <= 3600
        visitor.check("no-message")
    page.clock.install()
    page.reload()
    at(visitor, "code")
    expect(page.locator("#wait")).to_contain_text(re.compile(r"in [1-9]\d*:\d\d "))
    expect(page.locator("#resend")).to_be_disabled()
    page.clock.fast_forward(3_600_000)
    expect(page.locator("#wait")).to_have_text(visitor.text("accounts.code.now"))
    expect(page.locator("#resend")).to_be_enabled()
    with page.expect_navigation():
        page.locator("#resend").click()  # by the page's clock; the device's own says that it is too early
    at(visitor, "code")
    assert int(page.locator("#wait").get_attribute("data-wait") or 0) > 0
    assert len(spooled(service, to=person.phone)) == CODES_AN_HOUR


@pytest.mark.timeout(600)
@pytest.mark.req("R113")
def test_words_about_the_process_are_stored_with_their_context_and_a_number_is_given(
    visitor: Somebody, room: CloudKioskRoom
) -> None:
    page = visitor.page
    page.goto(room.origin)
    page.locator('[data-function="FEEDBACK"]').click()
    page.wait_for_url("**/feedback")
    for language in LANGUAGES:
        visitor.speak(language)
        visitor.check("feedback")
    page.locator("#subject").select_option("SMS_CODE")
    page.locator("#text").fill("Der Hinweis auf guten Empfang hat geholfen.")
    visitor.press("feedback.send")
    page.wait_for_url("**/feedback?given")
    ack = page.locator("#ack").inner_text()
    operator = room.running.operator
    listed = operator.call(operator.feedback.ListFeedback, feedback_service_pb2.ListFeedbackRequest())
    [kept] = [one for one in listed.feedback if one.ack_number == ack]
    assert kept.category == feedback_service_pb2.FEEDBACK_CATEGORY_SMS_CODE
    assert kept.text == "Der Hinweis auf guten Empfang hat geholfen."
    assert (kept.context.app, kept.context.screen, kept.context.language) == (
        "kiosk",
        "feedback",
        visitor.language,
    )
    assert kept.device_id == open_identity(room.settings).device_id
    assert kept.account_id == ""
