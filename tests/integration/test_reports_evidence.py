"""Evidence reports: what they say, that they hold without the service, and that nothing passes for one."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import pytest
import typer
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from pypdf import PdfReader
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from typer.testing import CliRunner

from cloud.authority import Authority
from cloud.reports import gather
from tests.support import pdf_samples
from tests.support.accounts import SignedIn
from tests.support.cloud import CloudDevice, RunningCloud, refusal, running_cloud
from tests.support.identity import Seen, evidence_of
from tests.support.reports import checked, get_report, packed, roots_of, unpacked
from tests.support.signing import (
    Sent,
    begin,
    contract_of,
    contracts,
    download,
    judged,
    open_invitation,
    sent_contract,
    sign_request,
    sign_with_code,
    signer_of,
    signing,
    upload,
)
from verifield import papers_cli
from verifield.documents.verdict import Kind, TimeSource
from verifield.dsse import encode_envelope, pae, parse_envelope
from verifield.errors import VerifieldError
from verifield.report_facts import ReportFacts, encode_report, parse_report
from verifield.reports import MANIFEST_TYPE
from verifield.v1 import audit_service_pb2, badge_pb2, report_pb2
from verifield.v1 import contract_service_pb2 as contract_pb
from verifield.v1 import report_service_pb2 as pb
from verifield.v1 import signing_service_pb2 as signing_pb

JSON, PDF, MANIFEST = "report.json", "report.pdf", "MANIFEST"


@dataclass(frozen=True)
class Signed:
    """A contract of two: the sender signed with a code, the other one with a face at a device."""

    sender: SignedIn
    other: SignedIn
    device: CloudDevice
    sent: Sent
    half: bytes
    half_report: bytes
    contract: bytes
    report: bytes

    @property
    def record(self) -> str:
        return next(name for name in unpacked(self.report) if name.startswith("records/"))


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("reports") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def signed(cloud: RunningCloud) -> Signed:
    sender, other, device = signer_of(cloud), signer_of(cloud), cloud.enroll()
    sent = sent_contract(cloud, sender, [other])
    sign_with_code(cloud, sender, sent)
    half = download(cloud, sender, sent.contract_id)
    half_report, _ = get_report(cloud, sender, sent.contract_id)
    open_invitation(cloud, other)
    started = begin(cloud, other, sent)
    evidence = evidence_of(device, Seen(other.person.elements), nonce=started.signing.nonce)
    answer = signing(cloud, other, "Sign", sign_request(started, face=evidence))
    assert answer.signing.state == signing_pb.SIGNING_STATE_SIGNED
    cloud.deliver(device, [evidence.envelope])  # its chain goes on as well
    report, _ = get_report(cloud, sender, sent.contract_id)
    contract = download(cloud, sender, sent.contract_id)
    return Signed(sender, other, device, sent, half, half_report, contract, report)


@pytest.fixture(scope="module")
def service_keys(cloud: RunningCloud, tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The keys of the service: whoever has them can sign what is not so, and the check still says no."""
    folder = tmp_path_factory.mktemp("keys")
    shutil.copytree(cloud.data / "keys", folder / "keys")
    return Authority.open(folder, server_names=["localhost"], now=datetime.now(UTC))


def signed_anew(files: dict[str, bytes], authority: Authority) -> bytes:
    """A report of these files under a fresh manifest of the service's own key."""
    files = dict(files)
    old = badge_pb2.SignedManifest.FromString(files.pop(MANIFEST))
    manifest = report_pb2.ReportManifest.FromString(parse_envelope(old.envelope).payload)
    facts = parse_report(files[JSON])
    manifest.report_id, manifest.contract_id = facts.report_id, facts.contract.contract_id
    manifest.document_sha256 = facts.contract.document_sha256
    manifest.revision_sha256 = facts.contract.revision_sha256
    del manifest.files[:]
    for name, content in files.items():
        manifest.files.add(name=name, size_bytes=len(content), sha256=sha256(content).digest())
    payload = manifest.SerializeToString(deterministic=True)
    signature = authority.certification_key.sign(pae(MANIFEST_TYPE, payload), ec.ECDSA(SHA256()))
    envelope = encode_envelope(payload_type=MANIFEST_TYPE, payload=payload, signatures=[signature])
    chain = authority.chain_of(authority.certification.certificate)
    new = badge_pb2.SignedManifest(envelope=envelope, certificates=chain)
    return packed({MANIFEST: new.SerializeToString(), **files})


def lied(report: bytes, authority: Authority, lie: Callable[[ReportFacts], ReportFacts]) -> bytes:
    """The report with other facts, which the service itself signed."""
    files = unpacked(report)
    files[JSON] = encode_report(lie(parse_report(files[JSON])))
    return signed_anew(files, authority)


def code_of(report: bytes, cloud: RunningCloud, contract: bytes | None = None) -> str:
    with pytest.raises(VerifieldError) as error:
        checked(report, roots_of(cloud), contract)
    return error.value.code


def verify(*words: str) -> tuple[int, dict[str, Any]]:
    """The command of a third party, who has files and no service."""
    answer = CliRunner().invoke(_app(), ["report", *words, "--json"])
    return answer.exit_code, json.loads(answer.output.splitlines()[-1])


def _app() -> typer.Typer:
    app = typer.Typer()
    app.command("report")(papers_cli.report)
    app.command("badge")(papers_cli.badge)
    return app


@pytest.mark.req("R157")
def test_a_report_has_all_that_a_third_party_needs_and_holds_offline(
    cloud: RunningCloud, signed: Signed, tmp_path: Path
) -> None:
    found = checked(signed.report, roots_of(cloud), signed.contract)
    facts = found.facts
    assert (found.missing, found.contract_checked) == ((), True)
    # identities: verified names, masked numbers
    for party, who in zip(facts.parties, (signed.sender, signed.other), strict=True):
        assert party.identity is not None
        assert party.identity.name == party.name == who.person.name
        assert party.identity.verified is not None
        assert who.person.id_number not in unpacked(signed.report)[JSON].decode()
        assert party.identity.id_number.startswith(who.person.id_number[:3])
    # evidence of each authentication, bound to the document
    code, _, face, _ = facts.signatures
    assert [code.method, face.method] == ["SMS_CODE", "FACE"]
    assert code.evidence_id
    assert face.device_id == signed.device.device_id
    assert facts.contract.document_sha256 == signed.sent.document_sha256
    # hashes and times; each signature has a certificate and a time-stamp of its own
    assert facts.contract.revision_sha256 == sha256(signed.contract).digest()
    assert [one.number for one in facts.revisions] == [0, 1, 2]
    assert all(one.certificate and one.stamp and one.signed <= facts.made for one in facts.signatures)
    assert [one.event for one in facts.timeline][-1] == "COMPLETED"
    # the device's record, with its place in the log: what the record says was checked by all steps
    assert face.file == signed.record
    files = {"report.zip": signed.report, "contract.pdf": signed.contract, "root.pem": cloud.root_pem}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    words = (str(tmp_path / "report.zip"), "--root", str(tmp_path / "root.pem"))
    status, said = verify(*words, "--contract", str(tmp_path / "contract.pdf"))
    assert (status, said["ok"], said["contract_checked"], said["not_checked"]) == (0, True, True, {})
    status, said = verify(*words)
    assert (status, said["contract_checked"]) == (0, False)
    assert list(said["not_checked"].values()) == ["The contract itself: give its file with --contract."]
    plain = CliRunner().invoke(_app(), ["report", *words])
    assert plain.output.splitlines()[-1] == (
        "not_checked: 1: The contract itself: give its file with --contract."
    )


def test_the_pages_say_the_same_and_are_signed_by_the_platform(cloud: RunningCloud, signed: Signed) -> None:
    for language, word in (
        (pb.REPORT_LANGUAGE_EN, "Evidence report"),
        (pb.REPORT_LANGUAGE_ZH, "电子签约证据报告"),
        (pb.REPORT_LANGUAGE_ES, "Informe de evidencias"),
    ):
        report, _ = get_report(cloud, signed.other, signed.sent.contract_id, language=language)
        found = checked(report, roots_of(cloud), signed.contract)
        files = unpacked(report)
        text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(files[PDF])).pages)
        plain = "".join(text.split())
        assert "".join(word.split()) in plain
        digest = sha256(files[JSON]).hexdigest()
        assert digest in plain
        assert digest.encode() in files[PDF]  # the signature names it too
        for one in found.facts.signatures:
            assert one.certificate in plain
            assert one.nonce.hex() in plain
        for party in found.facts.parties:
            assert party.name in plain


@pytest.mark.req("R128")
def test_the_sending_time_is_the_same_everywhere_and_stays(cloud: RunningCloud, signed: Signed) -> None:
    """In the API, the audit chain and the report; the document itself was stamped at that time."""
    contract_id = signed.sent.contract_id
    for who in (signed.sender, signed.other):
        told = contract_of(cloud, who, contract_id).contract.send_time.ToDatetime(UTC)
        assert told.microsecond % 1000 == 0
        for report in (signed.half_report, signed.report):  # before others signed, and behind it
            facts = checked(report, roots_of(cloud)).facts
            assert facts.contract.sent == facts.revisions[0].time == told
    request = audit_service_pb2.ListAuditEventsRequest(
        action="contracts.send", subject=f"contracts/{contract_id}"
    )
    [event] = cloud.operator.call(cloud.operator.audit.ListAuditEvents, request).events
    said = {one.key: one.value for one in event.facts}
    assert datetime.fromisoformat(said["sent"]) == told
    assert said["sha256"] == signed.sent.document_sha256.hex()
    certified = judged(cloud, signed.contract).signatures[0]
    assert (certified.kind, certified.time_source) == (Kind.PLATFORM, TimeSource.TIME_STAMP)
    assert certified.time is not None
    assert abs(certified.time - told) < timedelta(minutes=1)  # frozen first, and sent right after it

    again = contract_pb.SendContractRequest(contract_id=contract_id)
    with pytest.raises(grpc.RpcError) as error:
        contracts(cloud, signed.sender, "SendContract", again)
    assert refusal(error.value)[1].reason == "CONTRACT_STATE"
    engine = create_engine(cloud.database_url)
    with pytest.raises(DBAPIError, match="never change"), engine.begin() as connection:
        connection.execute(text("UPDATE contracts SET sent_us = sent_us + 1000"))
    engine.dispose()
    assert contract_of(cloud, signed.sender, contract_id).contract.send_time.ToDatetime(UTC) == told


@pytest.mark.req("R151")
def test_what_a_party_downloads_is_what_is_stored_and_has_a_report(
    cloud: RunningCloud, signed: Signed
) -> None:
    contract_id = signed.sent.contract_id
    request = audit_service_pb2.ListAuditEventsRequest(
        action="contracts.download", subject=f"contracts/{contract_id}"
    )

    def downloads(who: SignedIn) -> int:
        events = cloud.operator.call(cloud.operator.audit.ListAuditEvents, request).events
        return [event.caller for event in events].count(f"account/{who.account_id}")

    for who in (signed.sender, signed.other):
        before = downloads(who)
        content = download(cloud, who, contract_id)
        found = contract_of(cloud, who, contract_id).contract
        assert found.state == contract_pb.CONTRACT_STATE_COMPLETED
        assert sha256(content).digest() == found.revision_sha256
        assert downloads(who) == before + 1
        report, first = get_report(cloud, who, contract_id)
        assert not first.half_signed
        assert checked(report, roots_of(cloud), content).contract_checked


def test_nobody_is_told_of_who_has_done_nothing_yet(cloud: RunningCloud, signed: Signed) -> None:
    """The sender knows a name and a telephone number: the report says no more, nor that they are known."""
    known = signer_of(cloud)
    sent = sent_contract(cloud, signed.sender, [known])
    for opened in (False, True):
        if opened:
            open_invitation(cloud, known)
        facts = checked(get_report(cloud, signed.sender, sent.contract_id)[0], roots_of(cloud)).facts
        assert [party.identity for party in facts.parties] == [None, None]
        assert facts.parties[1].name == known.person.name


def test_a_timeline_without_end_makes_no_report_that_cannot_be_checked(
    cloud: RunningCloud, signed: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "EVENTS_OF_EACH_END", 2)
    report, _ = get_report(cloud, signed.other, signed.sent.contract_id)
    whole = checked(signed.report, roots_of(cloud)).facts.timeline
    assert checked(report, roots_of(cloud)).facts.timeline == (*whole[:2], *whole[-2:])
    assert len(whole) > 4


def test_a_file_without_signatures_or_with_others_does_not_pass(
    cloud: RunningCloud, signed: Signed, service_keys: Authority, tmp_path: Path
) -> None:
    """What the service's own key vouches for is held against what stands in the PDF files."""

    def code(report: bytes) -> str:
        for name, content in {"r": report, "c": signed.contract, "root": cloud.root_pem}.items():
            (tmp_path / name).write_bytes(content)
        words = (str(tmp_path / "r"), "--root", str(tmp_path / "root"), "--contract", str(tmp_path / "c"))
        status, said = verify(*words)
        assert status == 4
        return str(said["error"]["code"])

    plain = unpacked(signed.report) | {PDF: pdf_samples.plain()}
    assert code(signed_anew(plain, service_keys)) == "REPORT_PDF_UNSIGNED"

    def one_less(facts: ReportFacts) -> ReportFacts:
        return replace(facts, signatures=facts.signatures[:-1])

    silent = lied(signed.report, service_keys, one_less)
    assert checked(silent, roots_of(cloud))  # nothing but the contract's file tells of it
    assert code(silent) == "REPORT_CONTRADICTION"


def test_before_all_have_signed_it_tells_of_no_concluded_contract(
    cloud: RunningCloud, signed: Signed
) -> None:
    found = checked(signed.half_report, roots_of(cloud), signed.half)
    assert found.facts.contract.state == "PARTIALLY_SIGNED"
    assert code_of(signed.half_report, cloud, signed.contract) == "REPORT_OTHER_CONTRACT"
    sent = sent_contract(cloud, signed.sender, [signed.other])
    unsigned, first = get_report(cloud, signed.other, sent.contract_id)
    assert first.half_signed
    assert (
        checked(unsigned, roots_of(cloud), download(cloud, signed.sender, sent.contract_id)).facts.signatures
        == ()
    )


def test_a_report_goes_to_those_who_have_to_do_with_the_contract(cloud: RunningCloud, signed: Signed) -> None:
    for who, contract_id, reason in (
        (signer_of(cloud), signed.sent.contract_id, "CONTRACT_OTHERS"),
        (signed.sender, upload(cloud, signed.sender, pdf_samples.plain()).contract_id, "CONTRACT_STATE"),
    ):
        with pytest.raises(grpc.RpcError) as error:
            get_report(cloud, who, contract_id)
        assert refusal(error.value)[1].reason == reason


def test_another_contract_and_an_earlier_state_of_this_one_are_refused(
    cloud: RunningCloud, signed: Signed, tmp_path: Path
) -> None:
    other = sent_contract(cloud, signed.sender, [signed.other])
    assert code_of(signed.report, cloud, download(cloud, signed.sender, other.contract_id)) == (
        "REPORT_OTHER_CONTRACT"
    )
    assert code_of(signed.report, cloud, signed.contract + b"\n") == "REPORT_OTHER_CONTRACT"
    assert code_of(signed.report, cloud, signed.half) == "REPORT_EARLIER"
    for name, content in {"r": signed.report, "c": signed.half, "root": cloud.root_pem}.items():
        (tmp_path / name).write_bytes(content)
    status, said = verify(
        str(tmp_path / "r"), "--root", str(tmp_path / "root"), "--contract", str(tmp_path / "c")
    )
    assert (status, said["error"]["code"]) == (6, "REPORT_EARLIER")


def test_no_changed_report_passes(cloud: RunningCloud, signed: Signed) -> None:
    files = unpacked(signed.report)

    def cases() -> Iterator[tuple[str, dict[str, bytes]]]:
        yield "REPORT_DIGEST", files | {JSON: files[JSON].replace(b"SMS_CODE", b"FACE____")}
        yield "REPORT_DIGEST", files | {PDF: files[PDF] + b" "}
        yield "REPORT_DIGEST", files | {signed.record: files[signed.record][:-1] + b"x"}
        yield "REPORT_FILES", files | {"more.txt": b"more"}
        yield "REPORT_FILES", {name: one for name, one in files.items() if name != signed.record}
        yield "REPORT_ARCHIVE", {name: one for name, one in files.items() if name != MANIFEST}
        other = unpacked(signed.half_report)
        yield "REPORT_FILES", files | {MANIFEST: other[MANIFEST]}
        yield "REPORT_DIGEST", other | {PDF: files[PDF]}

    for code, changed_files in cases():
        assert code_of(packed(changed_files), cloud) == code
    assert code_of(b"no archive", cloud) == "REPORT_ARCHIVE"
    assert code_of(signed.report[:-30], cloud) == "REPORT_ARCHIVE"
    flipped = bytearray(signed.report)
    flipped[100] ^= 1  # in the manifest
    with pytest.raises(VerifieldError):
        checked(bytes(flipped), roots_of(cloud))


def test_a_report_of_another_service_is_not_trusted(
    cloud: RunningCloud, signed: Signed, tmp_path: Path
) -> None:
    other = Authority.open(tmp_path, server_names=["localhost"], now=datetime.now(UTC))
    assert code_of(signed_anew(unpacked(signed.report), other), cloud) == "CHAIN"


@pytest.mark.parametrize(
    ("code", "lie"),
    [
        ("REPORT_BINDING", lambda one: replace(one, challenge=bytes(16))),
        ("REPORT_BINDING", lambda one: replace(one, nonce=bytes(32))),
        ("REPORT_BINDING", lambda one: replace(one, document_sha256=bytes(32))),
        ("REPORT_CONTRADICTION", lambda one: replace(one, before_sha256=bytes(32))),
        ("REPORT_CONTRADICTION", lambda one: replace(one, after_sha256=bytes(32))),
        ("REPORT_CONTRADICTION", lambda one: replace(one, party_number=7)),
        ("REPORT_CONTRADICTION", lambda one: replace(one, party_number=1)),
        ("REPORT_CONTRADICTION", lambda one: replace(one, signed=one.authenticated - timedelta(hours=1))),
        ("REPORT_CONTRADICTION", lambda one: replace(one, signed=one.signed + timedelta(days=1))),
        ("REPORT_RECORD", lambda one: replace(one, evidence_id="019ca5a0-0000-7000-8000-000000000002")),
        ("REPORT_RECORD", lambda one: replace(one, device_id="another")),
        ("REPORT_RECORD", lambda one: replace(one, evidence_sha256=bytes(32))),
        ("REPORT_RECORD", lambda one: replace(one, task_id="019ca5a0-0000-7000-8000-000000000002")),
        ("REPORT_FILES", lambda one: replace(one, file="records/no.bundle")),
    ],
)
def test_what_the_service_itself_would_sign_wrongly_contradicts_the_evidence(
    cloud: RunningCloud, signed: Signed, service_keys: Authority, code: str, lie: Callable[[Any], Any]
) -> None:
    """Of the first mark of the face: everything is held against something that the service cannot make up."""

    def change(facts: ReportFacts) -> ReportFacts:
        first, second, third, fourth = facts.signatures
        return replace(facts, signatures=(first, second, lie(third), fourth))

    assert code_of(lied(signed.report, service_keys, change), cloud) == code


def test_revisions_and_names_have_to_fit(
    cloud: RunningCloud, signed: Signed, service_keys: Authority
) -> None:
    def refused(lie: Callable[[ReportFacts], ReportFacts], contract: bytes | None = None) -> str:
        return code_of(lied(signed.report, service_keys, lie), cloud, contract)

    assert checked(lied(signed.report, service_keys, lambda facts: facts), roots_of(cloud), signed.contract)
    assert refused(lambda facts: replace(facts, revisions=facts.revisions[1:])) == "REPORT_CONTRADICTION"
    assert refused(lambda facts: replace(facts, revisions=facts.revisions[::2])) == "REPORT_CONTRADICTION"
    assert refused(lambda facts: replace(facts, signatures=facts.signatures[:2])) == "REPORT_CONTRADICTION"
    for unread in ({"read": None}, {"read_sha256": b""}, {"read_sha256": bytes(32)}):

        def never_read(facts: ReportFacts, unread: Any = unread) -> ReportFacts:
            return replace(facts, parties=(facts.parties[0], replace(facts.parties[1], **unread)))

        assert refused(never_read) == "REPORT_CONTRADICTION"
    for order in ((2, 3, 0, 1), (1, 2, 3)):
        assert refused(
            lambda facts, order=order: replace(facts, signatures=tuple(facts.signatures[at] for at in order))
        ) == ("REPORT_CONTRADICTION")
    assert refused(lambda facts: replace(facts, made=facts.made + timedelta(seconds=1))) == "REPORT_MANIFEST"

    def last(facts: ReportFacts) -> ReportFacts:
        *before, end = facts.signatures
        return replace(facts, signatures=(*before, replace(end, after_sha256=bytes(32))))

    # what the last signature left is told by nothing but the contract's file
    assert refused(last, signed.contract) == "REPORT_CONTRADICTION"


def test_a_record_that_the_log_does_not_have_yet_is_told_as_missing(cloud: RunningCloud) -> None:
    sender, device = signer_of(cloud), cloud.enroll()
    sent = sent_contract(cloud, sender, [signer_of(cloud)])
    started = begin(cloud, sender, sent)
    evidence = evidence_of(device, Seen(sender.person.elements), nonce=started.signing.nonce)
    signing(cloud, sender, "Sign", sign_request(started, face=evidence))
    early, _ = get_report(cloud, sender, sent.contract_id)
    found = checked(early, roots_of(cloud))
    assert len(found.missing) == 2  # both marks rest on it
    assert all("not come" in sentence for sentence in found.missing)
    cloud.deliver(device, [evidence.envelope])
    later, _ = get_report(cloud, sender, sent.contract_id)
    assert checked(later, roots_of(cloud)).missing == ()


def test_each_report_stands_in_the_audit_chain(cloud: RunningCloud, signed: Signed) -> None:
    _, first = get_report(cloud, signed.other, signed.sent.contract_id)
    request = audit_service_pb2.ListAuditEventsRequest(action="contracts.report", page_size=1)
    [event] = cloud.operator.call(cloud.operator.audit.ListAuditEvents, request).events
    assert event.subject == f"contracts/{signed.sent.contract_id}"
    assert event.caller == f"account/{signed.other.account_id}"
    assert {one.key: one.value for one in event.facts} == {"report": first.report_id}
