"""A card is waited for outside of a session: pages go on, the reader is taken, and who has left gets none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from edge.errors import EdgeError, HardwareError
from edge.kiosk import card
from edge.kiosk.cloud_line import CloudRefusal
from edge.kiosk.office import Office
from edge.kiosk.server import Kiosk
from edge.model import IdDocument
from edge.ports import Screen
from tests.support.kiosk_counter import CARD, WITHIN_S, StandIn
from tests.support.local_device import LocalDevice
from tests.support.local_kiosk import Client, LocalKiosk, Page, local_kiosk
from verifield.v1 import account_service_pb2 as accounts

CARD_S = 20.0
"""After which the reader gives up: a page that had to wait for that finds it waiting no longer."""


@dataclass
class PatientReader:
    """A reader that waits until a card is ``laid`` on it. ``opened``: how often it was."""

    opened: int = 0
    waiting: threading.Event = field(default_factory=threading.Event)
    laid: threading.Event = field(default_factory=threading.Event)

    def read_document(self, timeout_s: float, screen: Screen) -> IdDocument:
        self.waiting.set()
        laid = self.laid.wait(CARD_S)
        self.waiting.clear()
        if not laid:
            raise HardwareError("NO_CARD", "No card was laid down.", hint="Lay it down.")
        return CARD

    def close(self) -> None: ...


class Service(StandIn):
    """Also to a person whose four elements have to be given once more."""

    def Login(self) -> accounts.LoginResponse:  # noqa: N802 (the contract's names)
        self.refusals["VerifyFourElements"] = [CloudRefusal("ELEMENTS_MISMATCH")]
        answer = accounts.LoginResponse(next_step=accounts.NEXT_STEP_VERIFY_ELEMENTS)
        answer.session.token = "session"
        return answer

    def VerifyFourElements(self) -> None: ...  # noqa: N802

    def SignOut(self) -> None: ...  # noqa: N802


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKiosk]:
    with local_kiosk(LocalDevice.open(tmp_path_factory.mktemp("card") / "device")) as local:
        yield local


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    service = Service()
    service.serve(monkeypatch)
    return service


@pytest.fixture
def reader(service: StandIn, monkeypatch: pytest.MonkeyPatch) -> PatientReader:
    reader = PatientReader()

    def opened(*_: Any, **__: Any) -> PatientReader:
        reader.opened += 1
        return reader

    monkeypatch.setattr(card, "open_card_reader", opened)
    return reader


@pytest.fixture
def client(local: LocalKiosk, reader: PatientReader) -> Iterator[Client]:
    with local.client() as client:
        yield client
        client.post("/coop/leave")
        client.post("/accounts/leave")


@contextmanager
def waited_for(client: Client, reader: PatientReader, flow: str) -> Iterator[Future[Page]]:
    """A card is waited for, and laid down at the end."""
    with ThreadPoolExecutor(1) as pages:
        answer = pages.submit(client.post, f"{flow}/card")
        try:
            assert reader.waiting.wait(WITHIN_S)
            yield answer
            assert reader.waiting.is_set(), "all of it was done while the card was waited for"
        finally:
            reader.laid.set()
    assert answer.result().json == {"go": flow}


def test_pages_go_on_while_a_card_is_waited_for(client: Client, reader: PatientReader) -> None:
    client.post("/coop/begin")
    with waited_for(client, reader, "/coop"):
        assert client.get("/queue").status == 200
        assert "data-waits" in client.get("/coop").text
    assert 'data-step="records"' in client.get("/coop").text


def test_a_card_that_is_laid_down_after_its_visit_was_left_goes_nowhere(
    client: Client, service: StandIn, reader: PatientReader
) -> None:
    client.post("/coop/begin")
    with waited_for(client, reader, "/coop"):
        assert client.post("/coop/leave").json == {"go": "/"}
        client.post("/coop/begin")
    assert 'data-step="card"' in client.get("/coop").text
    assert service.count("SubmitCard") == 0


def test_nor_to_an_account_that_was_left(client: Client, service: StandIn, reader: PatientReader) -> None:
    client.post("/accounts/begin", what="login")
    client.post("/accounts/login", identifier="x", password="sieben-Kamele-7")
    asked = service.count("VerifyFourElements")
    assert 'data-step="elements"' in client.get("/accounts").text
    with waited_for(client, reader, "/accounts"):
        assert client.post("/accounts/leave").json == {"go": "/"}
    assert service.count("VerifyFourElements") == asked


def test_the_reader_is_opened_for_one_card_at_a_time(
    local: LocalKiosk, client: Client, reader: PatientReader
) -> None:
    client.post("/coop/begin")
    client.post("/accounts/begin", what="register")
    with waited_for(client, reader, "/coop"):
        client.post("/accounts/card")
        assert 'data-code="STEP_RUNNING"' in client.get("/accounts").text
        assert client.post("/verify").code == "STEP_RUNNING"
        assert not local.kiosk.hub.view.busy
        assert reader.opened == 1
    assert client.post("/accounts/card").json == {"go": "/accounts"}
    assert 'data-step="portrait"' in client.get("/accounts").text
    assert reader.opened == 2


def test_a_session_that_has_begun_has_the_reader(local: LocalKiosk) -> None:
    done = threading.Event()

    def session(_office: Office) -> None:
        assert done.wait(WITHIN_S)

    local.kiosk.hold(session)
    try:
        assert refusal(local.kiosk) == "KIOSK_BUSY"
    finally:
        done.set()
    local.kiosk.office.submit(lambda _office: None).result(WITHIN_S)
    assert refusal(local.kiosk) == ""


def refusal(kiosk: Kiosk) -> str:
    try:
        with kiosk.reader_alone():
            return ""
    except EdgeError as error:
        return error.code
