"""What the kiosk keeps of a sender's draft, for whom and for how long, and what it refuses; over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import PasswordHasher

from edge.kiosk import visits
from edge.kiosk.cloud_line import CloudRefusal
from edge.kiosk.texts import LANGUAGES, Texts
from edge.operators import pins
from tests.support.kiosk_sender import TITLE, SenderService
from tests.support.local_device import AGENT, CLERK, LocalDevice
from tests.support.local_kiosk import Client, LocalKiosk, local_kiosk
from tests.support.pdf_samples import plain

WITHIN_S = 60.0
ADD = {"do": "add", "page": 1, "party": 1, "kind": "SIGNATURE"}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKiosk]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pins, "_HASHER", PasswordHasher(time_cost=1, memory_cost=64, parallelism=4))
        device = LocalDevice.open(tmp_path_factory.mktemp("prepare") / "device")
        device.add_operators()
        with local_kiosk(device) as local:
            yield local


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> SenderService:
    service = SenderService()
    monkeypatch.setattr(visits, "ask", service.ask)
    return service


@pytest.fixture
def client(local: LocalKiosk, service: SenderService) -> Iterator[Client]:
    with local.client() as client:
        client.post("/language", language="en")
        client.sign_in(CLERK)
        yield client
        service.refusal = None
        client.post("/prepare/leave")
        client.post("/sign-out")


def opened(client: Client) -> None:
    """A draft is open at its first page."""
    assert client.post("/prepare/login", identifier="sender", password="word").json == {"go": "/prepare"}
    assert client.post("/prepare/open", contract="c-1").json == {"go": "/prepare"}
    assert client.get("/prepare").path == "/prepare/page/1"


def test_the_network_is_away_and_nothing_is_lost(client: Client, service: SenderService) -> None:
    opened(client)
    assert len(client.post("/prepare/marks", **ADD).json["board"]["marks"]) == 1
    service.refusal = CloudRefusal("CLOUD_AWAY", away=True)
    client.post("/prepare/close")
    for language in LANGUAGES:
        client.post("/language", language=language)
        page = client.get("/prepare").text
        assert 'data-code="CLOUD_AWAY"' in page
        assert Texts(language)("prepare.away") in page
    assert '"newest": 1' in client.get("/prepare/page/1").text
    service.refusal = None
    client.post("/prepare/close")
    [kept] = service.placed()
    assert (kept.contract_id, kept.etag, len(kept.marks)) == ("c-1", "1", 1)
    assert kept.request_id


def test_who_works_at_the_kiosk_after_the_sender_sees_nothing_and_the_marks_are_kept(
    client: Client, service: SenderService
) -> None:
    opened(client)
    client.post("/prepare/marks", **ADD)
    client.post("/sign-out")
    client.sign_in(AGENT)
    assert 'data-step="login"' in client.get("/prepare").text
    assert client.get("/prepare/page/1").path == "/prepare"
    assert client.post("/prepare/marks", **ADD).code == "VISIT_OVER"
    assert service.signed_out.wait(WITHIN_S)
    assert len(service.placed()) == 1


def test_no_mark_is_moved_while_the_contract_is_sent(client: Client, service: SenderService) -> None:
    opened(client)
    client.post("/prepare/marks", **ADD)
    [mark, _] = client.post("/prepare/marks", **{**ADD, "party": 2}).json["board"]["marks"]
    with ThreadPoolExecutor(1) as pages:
        sent = pages.submit(client.post, "/prepare/send")
        assert service.sending.wait(WITHIN_S)
        move = {"do": "move", "page": 1, "mark": mark["number"], "x": 0.7, "y": 0.8}
        assert client.post("/prepare/marks", **move).code == "STEP_RUNNING"
        assert client.post("/prepare/close").code == "STEP_RUNNING"
        service.may_answer.set()
        assert sent.result().json == {"go": "/prepare"}
    [frozen] = service.placed()
    assert frozen.marks[0].box.x / 595 == pytest.approx(mark["left"], abs=0.001)
    assert TITLE in client.get("/prepare").text


def test_who_goes_away_is_signed_out_and_the_marks_are_kept(
    client: Client, service: SenderService, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(client)
    monkeypatch.setattr(visits, "IDLE_S", 0.0)
    client.post("/prepare/marks", **ADD)
    assert service.signed_out.wait(WITHIN_S)
    assert len(service.placed()) == 1
    assert 'data-step="login"' in client.get("/prepare").text


def test_what_no_page_asks_for_is_refused_and_changes_nothing(client: Client, service: SenderService) -> None:
    opened(client)
    client.post("/prepare/marks", **ADD)
    for bad in (
        {"do": "fly", "mark": 1},
        {"do": "move", "mark": 1, "x": float("nan"), "y": 0.5},
        {"do": "move", "mark": 1, "x": "0.5", "y": 0.5},
        {"do": "move", "mark": 1, "x": 1e9, "y": 0.5},
        {"do": "nudge", "mark": 1, "across": 7, "down": 0},
        {"do": "add", "party": 1, "kind": "STICKER"},
        {"do": "add", "party": True, "kind": "SIGNATURE"},
        {"do": "undo", "page": 3},
        {},
    ):
        assert client.post("/prepare/marks", **{"page": 1, **bad}).code == "BAD_REQUEST", bad
    assert client.post("/prepare/marks", page=1, do="remove", mark=9).code == "MARK_UNKNOWN"
    assert client.post("/prepare/marks", page=1, do="add", party=3, kind="SIGNATURE").code == "MARK_PARTY"
    assert client.post("/prepare/marks", page=1, do="add", party=1, kind="SEAL").code == "MARK_NO_SEAL"
    assert client.post("/prepare/open", contract="c-2").code == "BAD_REQUEST"
    board = client.post("/prepare/marks", page=1, do="undo").json["board"]
    assert board["marks"] == []
    assert client.post("/prepare/marks", page=1, do="undo").code == "NOTHING_TO_UNDO"
    assert client.get("/prepare/picture/1?w=77", accept="*/*").status == 400
    assert client.get("/prepare/picture/1?w=640", accept="*/*").content.startswith(b"\x89PNG")
    client.post("/prepare/send")
    assert 'data-code="MARKS_MISSING"' in client.get("/prepare/check").text
    assert service.placed() == []


def test_a_file_that_is_not_the_one_that_was_uploaded_is_not_shown(
    client: Client, service: SenderService
) -> None:
    service.content = plain(3)
    client.post("/prepare/login", identifier="sender", password="word")
    client.post("/prepare/open", contract="c-1")
    assert 'data-code="CLOUD_ANSWER"' in client.get("/prepare").text
    assert client.get("/prepare/page/1").path == "/prepare"
