"""The counter's pages over HTTP, with a stand-in for the service: lost answers, steps back."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from edge.kiosk import counter, visits
from edge.kiosk.cloud_line import CloudLine, CloudRefusal
from edge.kiosk.counter_steps import EdgeCard
from edge.kiosk.texts import LANGUAGES, Texts
from edge.texts import Language
from tests.support.local_device import LocalDevice
from tests.support.local_kiosk import Client, LocalKiosk, local_kiosk
from verifield.v1 import bank_pb2, customer_service_pb2
from verifield.v1 import coop_service_pb2 as pb

CARD = EdgeCard("11010119900307803X", "测试甲", "模拟市公安局", "2020-01-01", "长期", b"photo")
BANK = bank_pb2.Bank(
    bank_id="b",
    name_zh="模拟样本银行",
    name_en="Sample Bank",
    name_es="Banco de Muestra",
    periods=["P1Y", "P6M"],
)
INFO = customer_service_pb2.CustomerInfo(address="虚构路1号", occupation="样本")
CUSTOMER = customer_service_pb2.Customer(
    customer_id="c",
    version=3,
    name=CARD.name,
    info=INFO,
    organisations=[customer_service_pb2.CustomerOrganisation(organisation_id="o", name="模拟样本有限公司")],
)
WITHIN_S = 60.0
AWAY = CloudRefusal("CLOUD_AWAY", away=True)
SIGNED = [[60 + 20 * number, 100 + 40 * (number % 2), 30 * number] for number in range(12)]


@dataclass
class StandIn(CloudLine):
    """Answers each method; ``refusals``: what it is refused for before that, in their order."""

    language: Language = "en"
    refusals: dict[str, list[CloudRefusal]] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    notices: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def call(self, stub: Any, method: str, request: Any, *, token: str = "") -> Any:
        self.asked.append((method, request))
        if self.refusals.get(method):
            raise self.refusals[method].pop(0)
        own = getattr(self, method, None)
        return own() if own is not None else getattr(pb, f"{method}Response")()

    def StartSession(self) -> pb.StartSessionResponse:  # noqa: N802 (the contract's names)
        return pb.StartSessionResponse(session=pb.CoopSession(session_id="s"), prompt="Please put it down.")

    def SubmitCard(self) -> pb.SubmitCardResponse:  # noqa: N802
        return pb.SubmitCardResponse(session=pb.CoopSession(state=pb.COOP_STATE_FACE_PASSED))

    def ListRecords(self) -> pb.ListRecordsResponse:  # noqa: N802
        record = bank_pb2.CoopRecord(number="2026-000007", bank_name="Sample Bank", state=2, outcome=1)
        return pb.ListRecordsResponse(records=[record])

    def GetSessionCustomer(self) -> Any:  # noqa: N802
        return customer_service_pb2.GetSessionCustomerResponse(customer=CUSTOMER)

    def ListBanks(self) -> pb.ListBanksResponse:  # noqa: N802
        return pb.ListBanksResponse(banks=[BANK])

    def CompleteInfo(self) -> pb.CompleteInfoResponse:  # noqa: N802
        return pb.CompleteInfoResponse(linked=True)

    def GetNotices(self) -> pb.GetNoticesResponse:  # noqa: N802
        version = next(self.notices)
        notice = bank_pb2.Notice(version=version, language="en", text=f"Notice {version}", sha256=bytes(32))
        return pb.GetNoticesResponse(notice=notice)

    def IssueRequest(self) -> pb.IssueRequestResponse:  # noqa: N802
        return pb.IssueRequestResponse(number="2026-000008")

    def count(self, method: str) -> int:
        return sum(name == method for name, _ in self.asked)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKiosk]:
    with local_kiosk(LocalDevice.open(tmp_path_factory.mktemp("kiosk") / "device")) as local:
        yield local


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    service = StandIn()
    for module in (counter, visits):
        monkeypatch.setattr(module, "ask", lambda _config, _language, work: work(service))
    monkeypatch.setattr(counter, "read_card", lambda _office, _hub: CARD)
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
    assert client.post("/coop/issue").code == "STEP_OVER"
    for method in ("Decide", "ConfirmCustomer", "CompleteInfo", "IssueRequest"):  # sent twice, done once
        ids = {request.request_id for name, request in service.asked if name == method}
        assert (service.count(method), len(ids)) == (2, 1), method
    assert service.count("CancelSession") == 0


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
