"""A sender prepares a contract at the device, in a real browser against a running service.

Marks are dragged, moved with keys and by a tap, kept apart, undone, still there after a reload, and frozen
where they were seen.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from edge.contracts.pages import look_at_pages
from edge.kiosk.texts import LANGUAGES
from edge.models.store import ModelStore
from tests.browser.conftest import Enter
from tests.support.accounts import PASSWORD
from tests.support.contracts import (
    Office,
    contracting,
    draft,
    mark,
    myself,
    party,
)
from tests.support.contracts import Somebody as Sender
from tests.support.kiosk_cloud import CloudKioskRoom, cloud_kiosk, owner_of
from tests.support.kiosk_page import Somebody
from tests.support.pdf_samples import changed, plain
from tests.support.screen_checks import check_accessible, check_fits
from verifield.v1 import contract_service_pb2 as pb

TITLE = "Lease of a flat"
A4_TURNED = (842.0, 595.0)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, model_store: ModelStore) -> Iterator[CloudKioskRoom]:
    with cloud_kiosk(tmp_path_factory.mktemp("prepare"), model_store, owner_of("astronaut", 31)) as room:
        yield room


@pytest.fixture(scope="module")
def office(room: CloudKioskRoom) -> Iterator[Office]:
    with contracting(room.running) as office:
        yield office


@pytest.fixture
def visitor(room: CloudKioskRoom, enter: Enter) -> Iterator[Somebody]:
    visitor = Somebody(enter(room), room)
    visitor.speak("en")
    visitor.page.goto(f"{room.origin}/prepare")
    yield visitor
    visitor.speak("en")
    visitor.page.goto(f"{room.origin}/prepare")
    if visitor.page.locator("#close").count():
        visitor.page.locator("#close").click()
    if not visitor.page.locator('[data-step="login"]').count():
        visitor.press("prepare.leave")
        expect(visitor.page.locator(".function").first).to_be_visible()


def enter_account(visitor: Somebody, sender: Sender, password: str = PASSWORD) -> Page:
    page = visitor.page
    page.locator("#identifier").fill(sender.phone)
    page.locator("#password").fill(password)
    visitor.press("accounts.login.go")
    return page


def open_draft(visitor: Somebody, contract_id: str) -> Page:
    page = visitor.page
    page.locator(f'[data-contract="{contract_id}"] button').click()
    ready(page)
    return page


def ready(page: Page) -> None:
    """A page of the draft is there: its picture too, and it listens."""
    expect(page.locator("html[data-ready] #desk")).to_be_visible()
    expect(page.locator("#picture[src]")).to_have_js_property("complete", value=True)


def at(page: Page, x: float, y: float) -> tuple[float, float]:
    """A place of the page, as shares of it, on the screen."""
    box = page.locator("#sheet").bounding_box()
    assert box is not None
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def drag(page: Page, source: Locator, x: float, y: float) -> None:
    """Press, move and let go, and wait for the device's answer."""
    before = int(page.locator("#desk").get_attribute("data-changes") or 0)
    source.scroll_into_view_if_needed()
    box = source.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(*at(page, x, y), steps=6)
    page.mouse.up()
    answered(page, before + 1)


def answered(page: Page, changes: int) -> None:
    expect(page.locator("#desk")).to_have_attribute("data-changes", str(changes))


def press(page: Page, *keys: str) -> None:
    """Keys, each of which is a change that the device answers."""
    for key in keys:
        before = int(page.locator("#desk").get_attribute("data-changes") or 0)
        page.keyboard.press(key)
        answered(page, before + 1)


def places(page: Page) -> dict[int, tuple[float, ...]]:
    """Left, top, width and height of the marks of this page as they are seen, in shares of it."""
    found: dict[int, tuple[float, ...]] = {}
    sheet = page.locator("#sheet").bounding_box()
    assert sheet is not None
    for element in page.locator(".place[data-mark]").all():
        box = element.bounding_box()
        assert box is not None
        found[int(element.get_attribute("data-mark") or 0)] = (
            (box["x"] - sheet["x"]) / sheet["width"],
            (box["y"] - sheet["y"]) / sheet["height"],
            box["width"] / sheet["width"],
            box["height"] / sheet["height"],
        )
    return found


@pytest.mark.timeout(600)
@pytest.mark.req("E065")
def test_marks_are_dragged_moved_and_kept_apart_and_frozen_where_they_were_seen(
    visitor: Somebody, room: CloudKioskRoom, office: Office
) -> None:
    sender, other = office.person(), office.person()
    content = changed(plain(2), lambda pdf: pdf.pages[1].obj.update({"/Rotate": 90}))
    contract_id = draft(sender, [myself(), party(other)], content=content, title=TITLE, marks=[])
    check_accessible(visitor.page)
    page = enter_account(visitor, sender, "not-the-password")
    expect(page.locator('#refused[data-code="BAD_PASSWORD"]')).to_be_visible()
    enter_account(visitor, sender)
    expect(page.locator('[data-step="drafts"]')).to_be_visible()
    check_accessible(page)
    open_draft(visitor, contract_id)
    check_accessible(page)

    own = page.locator('[data-add="SIGNATURE"][data-party="1"]')
    others = page.locator('[data-add="SIGNATURE"][data-party="2"]')
    drag(page, own, 0.3, 0.2)
    x, y, width, height = places(page)[1]
    assert (x + width / 2, y + height / 2) == pytest.approx((0.3, 0.2), abs=0.005)
    drag(page, others, 0.32, 0.21)  # upon it
    expect(page.locator('#alert[data-code="MARKS_OVERLAP"]')).to_be_visible()
    assert len(places(page)) == 1
    before = places(page)[1]
    drag(page, page.locator('[data-mark="1"] .grip'), before[0] + 0.4, before[1] + 0.09)
    assert places(page)[1][2:] == pytest.approx((0.4, 0.09), abs=0.02)
    drag(page, page.locator('[data-mark="1"]'), 0.5, 0.12)

    others.focus()  # from here on without a mouse: laid at a free place, and moved from there
    press(page, "Enter")
    second = page.locator('[data-mark="2"]')
    expect(second).to_be_focused()
    laid = places(page)[2]
    press(page, "ArrowRight", "ArrowUp", "Shift+ArrowUp", "+")
    moved = places(page)[2]
    assert moved[0] - laid[0] == pytest.approx(6 / 595, abs=0.003)
    assert laid[1] - moved[1] == pytest.approx(7 / 842, abs=0.003)
    assert moved[2] > laid[2]
    expect(page.locator("#said")).to_contain_text("mm from the top")
    check_accessible(page)
    press(page, "Delete")
    assert len(places(page)) == 1
    press(page, "Control+z")
    assert places(page)[2] == pytest.approx(moved, abs=0.003)

    second.focus()
    before_tap = int(page.locator("#desk").get_attribute("data-changes") or 0)
    picture = page.locator("#picture").bounding_box()
    assert picture is not None
    page.locator("#picture").click(position={"x": picture["width"] * 0.7, "y": picture["height"] * 0.5})
    answered(page, before_tap + 1)  # by a tap, for who can neither drag nor type
    assert places(page)[2][0] + moved[2] / 2 == pytest.approx(0.7, abs=0.02)
    page.get_by_role("button", name="To the left", exact=True).click()
    answered(page, before_tap + 2)
    first_page = places(page)
    page.reload()
    ready(page)
    assert places(page) == {
        number: pytest.approx(box, abs=0.003) for number, box in first_page.items()
    }  # nothing was lost
    check_fits(page)

    page.locator("#next").click()
    page.wait_for_url("**/prepare/page/2")
    ready(page)
    date = page.locator('[data-add="SIGN_DATE"][data-party="2"]')
    drag(page, date, 0.25, 0.3)
    second_page = places(page)
    for language in LANGUAGES:
        visitor.speak(language)
        ready(page)
        check_accessible(page)
    visitor.speak("en")
    page.locator("#check").click()
    page.wait_for_url("**/prepare/check")
    expect(page.locator('[data-placed="yes"]')).to_have_count(2)
    check_accessible(page)
    page.locator("#send").click()
    expect(page.locator("[data-sent]")).to_have_text(f"'{TITLE}' was sent")
    check_accessible(page)

    sent = sender.get(contract_id)
    assert sent.contract.state == pb.CONTRACT_STATE_SENT
    assert {one.state for one in sent.marks} == {pb.CONTRACT_MARK_STATE_FROZEN}
    found = look_at_pages(sender.download(contract_id)[0])  # as the device shows it to those who sign
    seen = [*first_page.values(), *second_page.values()]
    frozen = [(one, paper) for paper in found for one in paper.marks]
    assert len(frozen) == len(seen) == 3
    for (one, paper), (left, top, width, height) in zip(frozen, seen, strict=True):
        assert one.left * paper.width == pytest.approx(left * paper.width, abs=1)
        assert one.top * paper.height == pytest.approx(top * paper.height, abs=1)
        assert one.width * paper.width == pytest.approx(width * paper.width, abs=1)
        assert one.height * paper.height == pytest.approx(height * paper.height, abs=1)
    assert (found[1].width, found[1].height) == A4_TURNED


@pytest.mark.timeout(600)
def test_what_is_missing_or_was_changed_elsewhere_is_told_and_sends_nothing(
    visitor: Somebody, office: Office
) -> None:
    sender, other = office.person(), office.person()
    nobody = draft(sender, [], title="Without signers", marks=[])
    contract_id = draft(sender, [myself(), party(other)], title=TITLE, marks=[mark(1)])
    page = enter_account(visitor, sender)
    page.locator(f'[data-contract="{nobody}"] button').click()
    expect(page.locator('#refused[data-code="DRAFT_WITHOUT_SIGNERS"]')).to_be_visible()
    check_accessible(page)
    open_draft(visitor, contract_id)
    assert len(places(page)) == 1
    page.locator("#check").click()
    expect(page.locator('[data-signer="2"][data-placed="no"]')).to_be_visible()
    expect(page.locator("#send")).to_have_count(0)
    visitor_back = page.get_by_role("link", name=visitor.text("prepare.back_to_pages"))
    visitor_back.click()
    ready(page)
    page.locator('[data-add="SIGNATURE"][data-party="2"]').press("Enter")
    answered(page, 1)
    sender.call.PlaceMarks(pb.PlaceMarksRequest(contract_id=contract_id, marks=[mark(2, y=200)]))
    page.locator("#check").click()
    page.locator("#send").click()
    expect(page.locator('#refused[data-code="ETAG_MISMATCH"]')).to_be_visible()
    check_accessible(page)
    assert sender.get(contract_id).contract.state == pb.CONTRACT_STATE_DRAFT
    page.locator("#again").click()
    ready(page)
    assert len(places(page)) == 1
    page.locator('[data-add="SIGNATURE"][data-party="1"]').press("Enter")
    answered(page, 1)
    page.locator("#close").click()  # kept by the service, and not sent
    expect(page.locator('[data-step="drafts"]')).to_be_visible()
    assert len(sender.get(contract_id).marks) == 2
    assert sender.get(contract_id).contract.state == pb.CONTRACT_STATE_DRAFT
