"""Applying for a certification in a real browser, with documents photographed by the device's camera."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from cloud.accounts.states import State
from edge.kiosk.texts import LANGUAGES
from edge.models.store import ModelStore
from tests.browser.conftest import SIZE, Enter
from tests.support.accounts import PASSWORD, SignedIn, as_account, new_citizen, registered
from tests.support.certifications import certifying
from tests.support.kiosk_cloud import CloudKioskRoom, cloud_kiosk
from tests.support.kiosk_page import Somebody
from tests.support.screen_checks import check_fits
from verifield.v1 import certification_service_pb2 as pb
from verifield.v1.certification_service_pb2_grpc import CertificationServiceStub

ADDRESS = "北京市海淀区虚构路1号"
SMALL = {"width": 320, "height": 640}
PAPER = """
seed = 4
[person]
kind = "print"
portrait = "astronaut"
"""
"""Something printed is held before the camera."""


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, model_store: ModelStore) -> Iterator[CloudKioskRoom]:
    with cloud_kiosk(tmp_path_factory.mktemp("certifications"), model_store) as room:
        room.write_scene("paper", PAPER)
        room.scene("paper")
        yield room


@pytest.fixture
def holder(room: CloudKioskRoom) -> SignedIn:
    """Somebody with an active account and a verified identity."""
    made = registered(room.running, new_citizen())
    with certifying(room.running, reviewers=0) as office:
        office.verify(made.account_id)
    return made


@pytest.fixture
def visitor(room: CloudKioskRoom, enter: Enter) -> Iterator[Somebody]:
    """Before the sign-in of the flow, come from the menu, in English."""
    visitor = Somebody(enter(room), room)
    visitor.speak("en")
    visitor.page.locator('[data-function="CERTIFICATION"]').click()
    at(visitor, "login")
    yield visitor
    if visitor.page.locator("[data-step]").count():
        visitor.press("accounts.leave")
        expect(visitor.page.locator(".function").first).to_be_visible()


def at(visitor: Somebody, step: str, *, check: bool = True) -> Page:
    """Wait for a step's page, let axe-core look at it, and see that it fits on a small screen."""
    page = visitor.page
    expect(page.locator(f'[data-step="{step}"]')).to_be_visible()
    expect(page.locator("html[data-ready]")).to_be_attached()
    if check:
        visitor.check(step)
        page.set_viewport_size(SMALL)
        check_fits(page)
        page.set_viewport_size(SIZE)
    return page


def sign_in(visitor: Somebody, holder: SignedIn) -> Page:
    page = visitor.page
    page.locator("#identifier").fill(holder.person.id_number)
    page.locator("#password").fill(PASSWORD)
    visitor.press("accounts.login.go")
    return at(visitor, "list")


def fill(visitor: Somebody, name: str, value: str) -> None:
    """Answer the question of one field."""
    page = visitor.page
    expect(page.locator(f'form[data-field="{name}"]')).to_be_visible()
    expect(page.locator("html[data-ready]")).to_be_attached()
    page.locator("#value").fill(value)
    visitor.press("shell.next")


def seen(visitor: Somebody) -> None:
    """Wait for the camera's pictures."""
    expect(visitor.page.locator("#document[data-frames]")).to_be_attached()


def photograph(visitor: Somebody) -> None:
    """Take, look, keep."""
    at(visitor, "camera", check=False)
    seen(visitor)
    visitor.press("cert.take")
    at(visitor, "look", check=False)
    visitor.press("cert.keep")
    at(visitor, "documents", check=False)


@pytest.mark.timeout(600)
def test_somebody_applies_with_documents_photographed_and_sees_number_and_state(
    visitor: Somebody, room: CloudKioskRoom, holder: SignedIn
) -> None:
    page = sign_in(visitor, holder)
    assert {one.get_attribute("data-type") for one in page.locator("[data-type]").all()} == {
        "PERSONAL",
        "ORGANISATION",
    }
    page.locator('[data-type="PERSONAL"]').click()
    at(visitor, "form")
    fill(visitor, "address", ADDRESS)
    fill(visitor, "occupation", "")
    fill(visitor, "email", "no address")
    expect(page.locator('#refused[data-code="FORM_INVALID"]')).to_be_visible()
    expect(page.locator('#value[aria-invalid="true"]')).to_have_value("no address")
    visitor.check("wrong")
    fill(visitor, "email", "someone@example.org")

    at(visitor, "documents")
    visitor.speak("zh")
    page.locator("#next").click()
    at(visitor, "camera")
    seen(visitor)
    visitor.press("cert.take")
    at(visitor, "look")
    shot = page.locator("#shot")
    expect(shot).to_be_visible()
    assert shot.evaluate("one => one.decode().then(() => one.naturalWidth)") >= 640
    visitor.press("cert.again")
    at(visitor, "camera", check=False)
    seen(visitor)
    visitor.press("cert.take")
    at(visitor, "look", check=False)
    address = str(page.locator("#shot").get_attribute("src"))
    taken = page.evaluate(
        "async path => [...new Uint8Array(await (await fetch(path)).arrayBuffer())]", address
    )
    visitor.press("cert.keep")
    at(visitor, "documents", check=False)
    expect(page.locator('[data-kind="id_card_front"]')).to_have_attribute("data-count", "1")
    assert page.request.get(f"{room.origin}{address}").status == 404  # it stays nowhere here
    page.locator("#next").click()
    photograph(visitor)
    visitor.speak("es")
    visitor.check("documents")
    visitor.press("shell.next")
    at(visitor, "declaration")
    visitor.press("cert.declare")
    at(visitor, "check")
    expect(page.locator(".facts")).to_contain_text(ADDRESS)
    visitor.press("cert.submit")
    at(visitor, "status")
    number = page.locator("#number").inner_text()
    expect(page.locator('#timeline [data-event="SUBMITTED"]')).to_be_visible()

    with as_account(room.running, holder) as stub:
        service = stub(CertificationServiceStub)
        status = service.GetApplicationStatus(pb.GetApplicationStatusRequest(application_id=number))
        assert status.application.state in (pb.APPLICATION_STATE_SUBMITTED, pb.APPLICATION_STATE_IN_REVIEW)
        kept = service.GetApplication(pb.GetApplicationRequest(application_id=number))
    assert {one.name: one.value for one in kept.form} == {"address": ADDRESS, "email": "someone@example.org"}
    assert [one.kind for one in kept.materials] == ["id_card_front", "id_card_back"]
    assert kept.materials[0].media_type == "image/jpeg"
    assert kept.materials[0].sha256 == hashlib.sha256(bytes(taken)).digest()
    said = (room.folder / "logs" / "kiosk.log").read_text()
    for personal in (ADDRESS, holder.person.id_number, "someone@example.org", PASSWORD):
        assert personal not in said


@pytest.mark.timeout(600)
def test_what_cannot_be_photographed_is_told_in_every_language_and_goes_on_when_it_can(
    visitor: Somebody, room: CloudKioskRoom, holder: SignedIn
) -> None:
    page = sign_in(visitor, holder)
    page.locator('[data-type="PERSONAL"]').click()
    fill(visitor, "address", ADDRESS)
    fill(visitor, "occupation", "")
    fill(visitor, "email", "")
    at(visitor, "documents", check=False)
    page.locator("#next").click()
    at(visitor, "camera", check=False)
    seen(visitor)
    room.camera("black")
    try:
        for language in LANGUAGES:
            visitor.speak(language)
            expect(page.locator("#lost")).to_contain_text(visitor.text("reason.CAMERA_BLACK"))
            visitor.check("black")
            visitor.press("cert.take")
            expect(page.locator('#alert[data-code="CAMERA_BLACK"]')).to_be_visible()
    finally:
        room.camera("replug")
    expect(page.locator("#lost")).to_be_empty()
    photograph(visitor)
    expect(page.locator('[data-kind="id_card_front"]')).to_have_attribute("data-count", "1")

    # Who stops goes on later: what was kept lies in the account, and the form with it.
    visitor.press("accounts.leave")
    expect(page.locator(".function").first).to_be_visible()
    page.goto(f"{room.origin}/certifications")
    at(visitor, "login", check=False)
    sign_in(visitor, holder)
    page.locator("[data-application] button").click()
    at(visitor, "form", check=False)
    expect(page.locator("#value")).to_have_value(ADDRESS)
    for name, value in (("address", ADDRESS), ("occupation", ""), ("email", "")):
        fill(visitor, name, value)
    at(visitor, "documents", check=False)
    expect(page.locator('[data-kind="id_card_front"]')).to_have_attribute("data-count", "1")
    page.locator('[data-kind="id_card_front"] [data-post="/certifications/remove"]').click()
    expect(page.locator('[data-kind="id_card_front"]')).to_have_attribute("data-count", "0")


@pytest.mark.timeout(600)
def test_an_account_that_has_steps_left_is_led_to_accounts(visitor: Somebody, room: CloudKioskRoom) -> None:
    person = registered(room.running, new_citizen(), state=State.PHONE_VERIFIED)
    page = visitor.page
    page.locator("#identifier").fill(person.person.id_number)
    page.locator("#password").fill(PASSWORD)
    visitor.press("accounts.login.go")
    expect(page.locator('#refused[data-code="ACCOUNT_UNFINISHED"]')).to_be_visible()
    for language in LANGUAGES:
        visitor.speak(language)
        visitor.check("unfinished")


@pytest.mark.timeout(600)
def test_what_a_reviewer_asks_for_is_shown_photographed_and_handed_in_again(
    visitor: Somebody, room: CloudKioskRoom
) -> None:
    page = visitor.page
    with certifying(room.running, reviewers=1) as office:
        applicant = office.applicant()
        application_id = applicant.submitted()
        office.ask(application_id)
        sign_in(visitor, applicant.signed_in)
        page.locator(f'[data-application="{application_id}"] button').click()
        at(visitor, "status")
        for language in LANGUAGES:
            visitor.speak(language)
            visitor.check("supplement")
            expect(page.locator("#supplement")).to_contain_text("back of the identity card")
        visitor.press("cert.go_on")
        at(visitor, "documents", check=False)
        page.locator('[data-kind="id_card_back"] [data-post="/certifications/document"]').click()
        photograph(visitor)
        expect(page.locator('[data-kind="id_card_back"]')).to_have_attribute("data-count", "2")
        visitor.press("shell.next")
        at(visitor, "declaration", check=False)
        visitor.press("cert.declare")
        at(visitor, "check", check=False)
        visitor.press("cert.submit")
        at(visitor, "status", check=False)
        expect(page.locator('#timeline [data-event="RESUBMITTED"]')).to_be_visible()
        office.reject(application_id)
        visitor.press("cert.look_again")
        expect(page.locator('[data-reason="UNREADABLE"]')).to_be_visible()
        at(visitor, "status")
        expect(page.get_by_role("heading", level=1)).to_have_text(visitor.text("cert.state.NOT_PASSED"))
