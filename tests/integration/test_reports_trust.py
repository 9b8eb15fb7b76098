"""What a third party is told of contracts whose signers were revoked, or whose time-stamps are of others; and
that a clock that is set right makes no report that contradicts itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from cloud.signatures import jobs
from tests.integration.test_reports_evidence import verify
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.documents import Notary
from tests.support.field_office import wait_until
from tests.support.reports import checked, get_report, roots_of, unpacked
from tests.support.signing import (
    ask_code,
    begin,
    contract_of,
    download,
    judged,
    open_invitation,
    sent_contract,
    sign_request,
    sign_with_code,
    signer_of,
    signing,
    signing_refused,
)
from tests.support.stamp_server import running_stamps
from verifield.documents.verdict import Kind, Outcome
from verifield.v1 import contract_service_pb2 as contract_pb
from verifield.v1 import document_service_pb2 as document_pb
from verifield.v1 import signing_service_pb2 as pb


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "MAKE_EVERY_S", 0.2)
        with running_cloud(tmp_path_factory.mktemp("trust") / "data") as running:
            yield running


class Third:
    """A third party, who has files and no service."""

    def __init__(self, folder: Path, cloud: RunningCloud) -> None:
        self._folder = folder
        self.root = self._file("root.pem", cloud.root_pem)

    def _file(self, name: str, content: bytes) -> str:
        (self._folder / name).write_bytes(content)
        return str(self._folder / name)

    def report(self, report: bytes, contract: bytes, *words: str) -> tuple[int, dict[str, Any]]:
        given = (self._file("report.zip", report), "--root", self.root)
        return verify(*given, "--contract", self._file("contract.pdf", contract), *words)


@pytest.fixture
def third(tmp_path: Path, cloud: RunningCloud) -> Third:
    return Third(tmp_path, cloud)


def revoke(cloud: RunningCloud, content: bytes, place: int = 0) -> Notary:
    """Take back the certificate of a party's signature, for not being who was named."""
    notary = Notary.running(cloud)
    personal = [one for one in judged(cloud, content).signatures if one.kind is Kind.PERSONAL]
    reason = document_pb.SIGNER_REVOCATION_REASON_WRONG_IDENTITY
    notary.store.run(lambda connection: notary.authority.revoke(connection, personal[place].serial, reason))
    return notary


@pytest.mark.req("R157")
def test_a_report_tells_of_a_signer_who_was_revoked(
    cloud: RunningCloud, third: Third, tmp_path: Path
) -> None:
    sender = signer_of(cloud)
    sent = sent_contract(cloud, sender, [])
    sign_with_code(cloud, sender, sent)
    contract = download(cloud, sender, sent.contract_id)
    before, _ = get_report(cloud, sender, sent.contract_id)
    assert third.report(before, contract)[0] == 0

    notary = revoke(cloud, contract)
    newest = tmp_path / "signers.crl"
    newest.write_bytes(notary.store.run(notary.authority.crl))
    for report, words in (
        (before, ("--revocations", str(newest))),  # the report could not know it yet
        (get_report(cloud, sender, sent.contract_id)[0], ()),
    ):
        status, said = third.report(report, contract, *words)
        assert (status, said["error"]["code"]) == (5, "REPORT_REVOKED")
    after, _ = get_report(cloud, sender, sent.contract_id)
    pages = PdfReader(BytesIO(unpacked(after)["report.pdf"])).pages
    assert "Revoked" in "".join(page.extract_text() for page in pages)


def test_nobody_signs_behind_a_signature_that_counts_for_nothing(cloud: RunningCloud) -> None:
    sender, other = signer_of(cloud), signer_of(cloud)
    sent = sent_contract(cloud, sender, [other])
    sign_with_code(cloud, sender, sent)
    open_invitation(cloud, other)
    started = begin(cloud, other, sent)
    code = ask_code(cloud, other, started.signing.signing_id)
    revoke(cloud, download(cloud, sender, sent.contract_id))
    refused = signing_refused(cloud, other, "Sign", sign_request(started, sms_code=code))
    assert refused.reason == "SIGNATURE_REVOKED"
    found = contract_of(cloud, sender, sent.contract_id).contract
    assert found.state == contract_pb.CONTRACT_STATE_PARTIALLY_SIGNED


def test_a_report_with_time_stamps_of_others_needs_their_roots(tmp_path: Path) -> None:
    """Without them nothing is said; it is not called forged."""
    with (
        running_stamps(tmp_path) as stamps,
        running_cloud(tmp_path / "data", **stamps.settings) as cloud,
    ):
        sender = signer_of(cloud)
        sent = sent_contract(cloud, sender, [])
        sign_with_code(cloud, sender, sent)
        report, _ = get_report(cloud, sender, sent.contract_id)
        contract = download(cloud, sender, sent.contract_id)
        third = Third(tmp_path, cloud)
        assert third.report(report, contract, "--stamp-root", str(stamps.roots))[0] == 0
        status, said = third.report(report, contract)
    assert (status, said["error"]["code"]) == (6, "REPORT_PDF_UNKNOWN")
    assert "STAMP_UNTRUSTED" in said["error"]["message"]


@pytest.mark.req("R157")
def test_a_clock_that_is_set_right_makes_no_report_that_contradicts_itself(
    cloud: RunningCloud, third: Third
) -> None:
    """The service's clock was ahead when the contract was sent: the signature waits until it is not earlier
    than what it rests on."""
    sender = signer_of(cloud)
    earlier = cloud.clock.offset
    cloud.clock.offset = earlier + timedelta(minutes=3)
    try:
        sent = sent_contract(cloud, sender, [])
    finally:
        cloud.clock.offset = earlier
    told = sign_with_code(cloud, sender, sent)
    assert told.state == pb.SIGNING_STATE_TIMESTAMP_PENDING
    cloud.clock.offset = earlier + timedelta(minutes=4)
    request = pb.GetSigningRequest(signing_id=told.signing_id)
    wait_until(lambda: signing(cloud, sender, "GetSigning", request).signing.state == pb.SIGNING_STATE_SIGNED)
    report, _ = get_report(cloud, sender, sent.contract_id)
    contract = download(cloud, sender, sent.contract_id)
    assert judged(cloud, contract).outcome is Outcome.VALID
    assert checked(report, roots_of(cloud), contract).missing == ()
    assert third.report(report, contract)[0] == 0
