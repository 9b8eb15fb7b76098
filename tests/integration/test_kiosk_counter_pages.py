"""The counter's pages over HTTP, with a stand-in for the service: lost answers, steps back, two at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from edge.kiosk.cloud_line import CloudRefusal
from edge.kiosk.texts import LANGUAGES, Texts
from edge.remedies import told
from edge.texts import Language
from tests.support.kiosk_counter import BANK, CARD, CUSTOMER, INFO, SIGNED, WITHIN_S, StandIn
from tests.support.local_device import LocalDevice
from tests.support.local_kiosk import Client, LocalKiosk, local_kiosk

AWAY = CloudRefusal("CLOUD_AWAY", away=True)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKiosk]:
    with local_kiosk(LocalDevice.open(tmp_path_factory.mktemp("kiosk") / "device")) as local:
        yield local


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    service = StandIn()
    service.serve(monkeypatch)
    return service


@pytest.fixture
def client(local: LocalKiosk, service: StandIn) -> Iterator[Client]:
    with local.client() as client:
        client.post("/language", language="en")
        yield client
        client.post("/coop/leave")


def step(client: Client, path: str, expected: str, **values: Any) -> str:
    """Post, and be at a step; its page."""
    assert client.post(f"/coop/{path}", **values).json == {"go": "/coop"}, path
    shown = client.get("/coop").text
    assert f'data-step="{expected}"' in shown, path
    return shown


def test_a_known_customer_comes_through_although_answers_are_lost(client: Client, service: StandIn) -> None:
    lost = ("ListRecords", "GetSessionCustomer", "ListBanks", "GetNotices", "IssueRequest")
    service.refusals = {method: [AWAY] for method in lost}
    service.refusals["ConfirmNotices"] = [CloudRefusal("NOTICE_OUTDATED", told="Read the new notice.")]
    step(client, "begin", "card")
    assert client.post("/coop/decide", choice="CONTINUE").code == "CARD_REQUIRED"
    step(client, "card", "records")
    step(client, "refresh", "records")  # what could not be shown is asked for again
    shown = step(client, "refresh", "records")
    assert 'data-record="2026-000007"' in shown
    assert Texts("en")("counter.record.state.2") in shown
    assert 'data-code="CLOUD_AWAY"' in step(client, "decide", "records", choice="CONTINUE")
    assert client.post("/coop/decide", choice="BOTH").code == "BAD_REQUEST"
    assert INFO.address in step(client, "decide", "customer", choice="CONTINUE")
    assert client.post("/coop/customer", address=" ").code == "FIELD_EMPTY"
    step(client, "customer", "confirm", address=INFO.address, occupation=INFO.occupation)
    assert service.count("UpsertCustomer") == 0  # nothing has changed
    step(client, "change", "customer")
    step(client, "customer", "confirm", address=INFO.address, occupation=INFO.occupation)
    step(client, "confirm", "confirm")
    step(client, "confirm", "bank")
    for language, name in (("zh", BANK.name_zh), ("es", BANK.name_es), ("en", BANK.name_en)):
        client.post("/language", language=language)
        assert name in client.get("/coop").text
    assert client.post("/coop/bank", bank="other").code == "BAD_REQUEST"
    assert CUSTOMER.organisations[0].name in step(client, "bank", "company", bank="b")
    step(client, "change", "bank")
    step(client, "bank", "company", bank="b")
    assert client.post("/coop/company", organisation="x").code == "BAD_REQUEST"
    assert client.post("/coop/company", name="").code == "FIELD_EMPTY"
    shown = step(client, "company", "period", organisation="o")
    assert Texts("en")("counter.period.one.Y") in shown
    assert Texts("en")("counter.period.M", n=6) in shown
    assert client.post("/coop/period", period="P9Y").code == "BAD_REQUEST"
    step(client, "period", "period", period="P1Y")
    assert "Notice 1" in step(client, "period", "notice", period="P1Y")
    shown = step(client, "notice", "notice")
    assert "Notice 2" in shown
    assert "Read the new notice." in shown
    step(client, "notice", "sign")
    assert client.post("/coop/sign", width=900, height=250, strokes=[]).code == "SIGNATURE_EMPTY"
    assert client.post("/coop/issue").code == "SIGNATURE_REQUIRED"
    step(client, "sign", "issue", width=900, height=250, strokes=[SIGNED])
    shown = step(client, "issue", "done")
    assert "2026-000008" in shown
    assert Texts("en")("counter.unlinked") not in shown
    assert Texts("en")("counter.period.one.Y") in shown
    assert client.post("/coop/issue").code == "STEP_OVER"
    for method in ("Decide", "ConfirmCustomer", "CompleteInfo", "IssueRequest"):  # sent twice, done once
        ids = {request.request_id for name, request in service.asked if name == method}
        assert (service.count(method), len(ids)) == (2, 1), method
    assert service.count("CancelSession") == 0


def test_nothing_changes_while_it_is_on_its_way_and_the_receipt_shows_what_was_sent(
    client: Client, service: StandIn
) -> None:
    step(client, "begin", "card")
    step(client, "card", "records")
    step(client, "refresh", "records")
    step(client, "decide", "customer", choice="CONTINUE")
    step(client, "customer", "confirm", address=INFO.address, occupation=INFO.occupation)
    step(client, "confirm", "bank")
    step(client, "bank", "company", bank="b")
    step(client, "company", "period", name="Company A")
    service.slow = "CompleteInfo"
    with ThreadPoolExecutor(2) as fingers:
        first = fingers.submit(client.post, "/coop/period", period="P1Y")
        assert service.reached.wait(WITHIN_S)
        for language in LANGUAGES:
            client.post("/language", language=language)
            refused, known = client.post("/coop/change"), told("STEP_RUNNING")
            assert known is not None
            assert refused.json["error"]["text"] == known.text[language]
        client.post("/language", language="en")
        for path, values in (
            ("company", {"name": "Company B"}),
            ("bank", {"bank": "b"}),
            ("period", {"period": "P6M"}),
        ):
            assert client.post(f"/coop/{path}", **values).code == "STEP_RUNNING", path
        again = fingers.submit(client.post, "/coop/period", period="P1Y")
        service.answers.set()
        assert first.result().json == {"go": "/coop"}
        assert again.result().code in {"", "STEP_OVER"}  # it came before the end, or after
    assert service.count("CompleteInfo") == 1
    step(client, "notice", "sign")
    shown = step(client, "sign", "done", width=900, height=250, strokes=[SIGNED])
    [sent] = [request for method, request in service.asked if method == "CompleteInfo"]
    assert (sent.organisation_name, sent.period) == ("Company A", "P1Y")
    assert "Company A" in shown
    assert Texts("en")("counter.period.one.Y") in shown


def test_who_leaves_in_the_middle_is_cancelled_at_the_service_and_forgotten(
    client: Client, service: StandIn
) -> None:
    step(client, "begin", "card")
    step(client, "card", "records")
    assert client.post("/coop/leave").json == {"go": "/"}
    shown = client.get("/coop").text
    assert CARD.number not in shown
    assert "data-step" not in shown
    until = time.monotonic() + WITHIN_S
    while not service.count("CancelSession"):  # beside the answer, for nobody waits for it
        assert time.monotonic() < until
        client.get("/coop")
    assert client.post("/coop/decide", choice="EXIT").code == "CARD_REQUIRED"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_session_whose_time_is_over_says_so(client: Client, service: StandIn, language: Language) -> None:
    client.post("/language", language=language)
    service.refusals["Decide"] = [CloudRefusal("COOP_SESSION_ENDED", told="Begin anew.")]
    step(client, "begin", "card")
    step(client, "card", "records")
    step(client, "refresh", "records")
    assert Texts(language)("counter.ended.TIME_LIMIT") in step(client, "decide", "ended", choice="EXIT")
