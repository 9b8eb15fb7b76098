"""The service as a sender at the kiosk meets it: one draft of two pages, for two signers.

    service = SenderService()
    monkeypatch.setattr(edge.kiosk.visits, "ask", service.ask)

It keeps no rule: ``tests/browser/test_kiosk_prepare_screen.py`` has the real one.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edge.kiosk.cloud_line import CloudRefusal
from tests.support.pdf_samples import plain
from verifield.v1 import account_service_pb2 as accounts
from verifield.v1 import contract_service_pb2 as pb

TITLE = "Lease of a flat"
PDF = plain(2, text=TITLE)
WITHIN_S = 60.0
SIGNER = pb.CONTRACT_PARTY_ROLE_SIGNER


@dataclass
class SenderService:
    """Answers as the service does, to the calls of one sender. ``refusal``: what it says instead.

    ``sending``: a contract is being sent; the answer waits for ``may_answer``.
    """

    contract: pb.Contract = field(
        default_factory=lambda: pb.Contract(
            contract_id="c-1",
            state=pb.CONTRACT_STATE_DRAFT,
            page_count=2,
            upload_sha256=hashlib.sha256(PDF).digest(),
            etag="1",
        )
    )
    called: list[tuple[str, Any]] = field(default_factory=list)
    refusal: CloudRefusal | None = None
    content: bytes = PDF
    signed_out: threading.Event = field(default_factory=threading.Event)
    sending: threading.Event = field(default_factory=threading.Event)
    may_answer: threading.Event = field(default_factory=threading.Event)
    language = "en"

    def ask(self, _config: Any, _language: Any, work: Callable[[Any], Any]) -> Any:
        return work(self)

    def call(self, _stub: Any, method: str, request: Any, *, token: str = "") -> Any:
        if self.refusal is not None:
            raise self.refusal
        assert token == ("" if method == "Login" else "the sender's")
        self.called.append((method, request))
        answers: dict[str, Callable[[Any], Any]] = {
            "Login": self._login,
            "SearchContracts": self._search,
            "GetContract": self._get,
            "PlaceMarks": self._place,
            "SendContract": self._send,
            "SignOut": self._sign_out,
        }
        return answers[method](request)

    def collect(self, _stub: Any, method: str, request: Any, *, most: int, token: str = "") -> list[Any]:
        assert method == "DownloadContract"
        assert most >= len(self.content)
        half = len(self.content) // 2
        return [
            pb.DownloadContractResponse(chunk=part) for part in (self.content[:half], self.content[half:])
        ]

    def placed(self) -> list[pb.PlaceMarksRequest]:
        return [request for method, request in self.called if method == "PlaceMarks"]

    def _login(self, _request: Any) -> Any:
        answer = accounts.LoginResponse(next_step=accounts.NEXT_STEP_NONE)
        answer.session.token = "the sender's"
        return answer

    def _search(self, _request: Any) -> Any:
        entry = pb.ContractEntry(contract=self.contract, details=pb.ContractDetails(title=TITLE))
        return pb.SearchContractsResponse(entries=[entry])

    def _get(self, _request: Any) -> Any:
        return pb.GetContractResponse(
            contract=self.contract,
            details=pb.ContractDetails(title=TITLE),
            pages=[pb.PageSize(width=595, height=842)] * 2,
            parties=[
                pb.ContractParty(number=1, name="王芳", role=SIGNER),
                pb.ContractParty(number=2, name="李强", role=SIGNER),
            ],
        )

    def _place(self, _request: Any) -> Any:
        self.contract.etag = str(int(self.contract.etag) + 1)
        return pb.PlaceMarksResponse(contract=self.contract)

    def _send(self, _request: Any) -> Any:
        self.sending.set()
        assert self.may_answer.wait(WITHIN_S)
        return pb.SendContractResponse(contract=self.contract)

    def _sign_out(self, _request: Any) -> Any:
        self.signed_out.set()
        return accounts.SignOutResponse()
