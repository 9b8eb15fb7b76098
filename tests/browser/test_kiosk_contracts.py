"""A contract that waits at the device: read page by page in a real browser, signed with card and face."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from edge.kiosk import sessions
from edge.models.store import ModelStore
from edge.state.signatures import SignatureState
from tests.browser.conftest import Enter
from tests.support.booth_session import booth_pipeline
from tests.support.evidence import DOCUMENT
from tests.support.local_device import CLERK, PINS, LocalDevice
from tests.support.local_kiosk import LocalKiosk, local_kiosk
from tests.support.screen_checks import check_accessible, check_fits, sign_in, speak
from verifield.tasks import commit_number, mask_name
from verifield.v1.attestation_pb2 import DOCUMENT_TYPE_RESIDENT_ID
from verifield.v1.task_pb2 import TaskPerson

SALT = bytes(range(32))
SESSION_MS = 300_000


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, model_store: ModelStore) -> Iterator[LocalKiosk]:
    device = LocalDevice.open(tmp_path_factory.mktemp("contracts") / "device")
    device.add_operators()
    with pytest.MonkeyPatch.context() as patched, local_kiosk(device) as local:
        patched.setattr(sessions, "open_pipeline", booth_pipeline)
        yield local


def owner() -> TaskPerson:
    """The holder of the card in the booth."""
    hidden = commit_number(DOCUMENT.number, salt=SALT)
    return TaskPerson(
        masked_name=mask_name(DOCUMENT.name),
        document_type=DOCUMENT_TYPE_RESIDENT_ID,
        number_digest=hidden.digest,
        number_salt=hidden.salt,
    )


def read_to_the_end(page: Page) -> None:
    """With the keyboard, until the device knows that all of the page was in view."""
    expect(page.locator("#picture")).to_have_js_property("complete", value=True)
    page.locator("#frame").focus()
    page.keyboard.press("End")
    expect(page.locator("#reader[data-seen=yes]")).to_be_visible()


@pytest.mark.timeout(600)
@pytest.mark.req("E065")
def test_a_contract_is_read_page_by_page_and_signed(local: LocalKiosk, enter: Enter) -> None:
    room: Any = local
    task = local.device.send_contract("signed here", person=owner())
    path = f"/contracts/{task.task_id}"
    page = enter(room)
    sign_in(page, local.origin, CLERK, PINS[CLERK])
    page.goto(f"{local.origin}/contracts", wait_until="load")
    check_accessible(page)
    page.get_by_role("link", name="Read 'Lease of a flat'").press("Enter")
    page.wait_for_url(f"**{path}/page/1")
    expect(page.get_by_role("img", name="Picture of page 1 of the contract")).to_be_visible()
    check_accessible(page)
    onward = page.get_by_role("link", name="Read on")
    onward.click()  # the one button leads down the page first
    page.wait_for_function("document.getElementById('frame').scrollTop > 0")
    read_to_the_end(page)
    page.get_by_role("link", name="Next page").press("Enter")
    page.wait_for_url(f"**{path}/page/2")
    page.goto(local.origin + path, wait_until="load")  # as after a crash of the page: it goes on where it was
    assert page.url.endswith("/page/2")
    speak(page, "zh")
    check_accessible(page)
    page.goto(f"{local.origin}{path}/sign")
    expect(page.locator("[data-missing]")).to_have_text("还没有看的页：2, 3。")
    page.get_by_role("link", name="转到第 2 页").click()
    page.wait_for_url(f"**{path}/page/2")
    read_to_the_end(page)
    page.get_by_role("link", name="下一页").press("Enter")
    page.wait_for_url(f"**{path}/page/3")
    speak(page, "es")
    expect(page.locator("rect.mark")).to_have_count(2)
    expect(page.get_by_role("listitem").filter(has_text="Fecha de la firma")).to_be_visible()
    check_accessible(page)
    check_fits(page)
    read_to_the_end(page)
    page.get_by_role("link", name="Leído todo: firmar").press("Enter")
    page.wait_for_url(f"**{path}/sign")
    check_accessible(page)
    speak(page, "en")
    expect(page.get_by_role("heading", level=1)).to_contain_text("do they want to sign it?")
    page.get_by_role("button", name="Yes, sign").click()
    page.wait_for_url("**/session")
    expect(page.locator("[data-outcome]")).to_have_attribute("data-outcome", "VERIFIED", timeout=SESSION_MS)
    with local.device.state() as state:
        row = state.signatures.of_task(task.task_id)
    assert row is not None
    assert (row.state, row.about.document_sha256) == (SignatureState.QUEUED, task.document_sha256)
    page.wait_for_load_state("load")
    page.get_by_role("button", name="Finish").click()
    page.wait_for_url("**/contracts")
    expect(page.locator(f"[data-signed='{task.task_id}']")).to_contain_text("Signed; waits to be sent")
    expect(page.locator(f"[data-task='{task.task_id}']")).to_have_count(0)
    check_accessible(page)
    page.goto(local.origin + path)
    expect(page.get_by_role("main")).to_contain_text("This contract was signed at this device already.")
