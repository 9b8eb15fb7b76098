"""The service as the counter of the kiosk meets it: one customer, one bank, and all that is asked of it.

    service = StandIn()
    service.serve(monkeypatch)

It keeps no rule: ``tests/browser/test_kiosk_counter.py`` has the real one.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from edge.kiosk import card, counter, visits
from edge.kiosk.cloud_line import CloudLine, CloudRefusal
from edge.model import IdDocument
from edge.ports import Screen
from edge.texts import Language
from tests.support.appliance import document
from verifield.v1 import bank_pb2, customer_service_pb2
from verifield.v1 import coop_service_pb2 as pb

CARD = document()
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
SIGNED = [[60 + 20 * number, 100 + 40 * (number % 2), 30 * number] for number in range(12)]
WITHIN_S = 60.0


class LyingCard:
    """A reader on which the customer's card lies."""

    def read_document(self, timeout_s: float, screen: Screen) -> IdDocument:
        return CARD

    def close(self) -> None: ...


@dataclass
class StandIn(CloudLine):
    """Answers each method; ``refusals``: what it is refused for before that, in their order.

    ``slow``: the method that waits for ``answers``, once it was ``reached``.
    """

    language: Language = "en"
    refusals: dict[str, list[CloudRefusal]] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    notices: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    slow: str = ""
    reached: threading.Event = field(default_factory=threading.Event)
    answers: threading.Event = field(default_factory=threading.Event)

    def serve(self, patched: pytest.MonkeyPatch) -> None:
        """Take the place of the service and of the card reader."""
        for module in (counter, visits):
            patched.setattr(module, "ask", lambda _config, _language, work: work(self))
        patched.setattr(card, "open_card_reader", lambda *_, **__: LyingCard())

    def call(self, stub: Any, method: str, request: Any, *, token: str = "") -> Any:
        self.asked.append((method, request))
        if method == self.slow:
            self.reached.set()
            assert self.answers.wait(WITHIN_S)
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

    def UpsertCustomer(self) -> Any:  # noqa: N802
        return customer_service_pb2.UpsertCustomerResponse(customer=CUSTOMER)

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
