"""DocumentService of a running service, its commands, and the same check without the service."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from sqlalchemy import Connection
from typer.testing import CliRunner, Result

from cloud.access.roles import Role
from cloud.cli import app as commands
from cloud.errors import Reason, ServiceError
from cloud.organisations.desk import Organisations
from cloud.signatures.ground import SignerProof
from cloud.signers.authority import Subject
from cloud.store import signers as rows
from cloud.verifications.desk import Verifications
from tests.support import tampering
from tests.support.accounts import Room, in_database, registered
from tests.support.cloud import RunningCloud, refusal, running_cloud
from tests.support.documents import NAME, Notary, named, place, plain
from tests.support.identity import verified
from tests.support.organisations import new_uscc, verified_organisation
from tests.support.people import add_person, channel_of
from tests.support.seals import open_seals
from verifield.cli import main
from verifield.documents.identifiers import ORGANISATION_ID
from verifield.v1 import document_service_pb2 as pb
from verifield.v1.document_service_pb2_grpc import DocumentServiceStub

TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(
        tmp_path_factory.mktemp("cloud") / "data", signer_list_url="http://lists.example/signers.crl"
    ) as running:
        yield running


@pytest.fixture(scope="module")
def notary(cloud: RunningCloud) -> Notary:
    return Notary.running(cloud)


@pytest.fixture(scope="module")
def closed(notary: Notary) -> bytes:
    frozen = notary.frozen([place("name1", "first"), place("name2", "second", at=1)])
    first = notary.signed(frozen, [named("name1")])
    return notary.finished(notary.signed(first, [named("name2", "Li")], notary.identity("Li")))


@pytest.fixture
def run(cloud: RunningCloud) -> Callable[..., Result]:
    def command(*words: str) -> Result:
        return CliRunner().invoke(commands, [*words, "--data", str(cloud.data)])

    return command


def pieces(content: bytes, language: int = 0, size: int = 48 * 1024) -> Iterator[pb.VerifyDocumentRequest]:
    for at in range(0, len(content), size):
        yield pb.VerifyDocumentRequest(language=language, content=content[at : at + size])  # type: ignore[arg-type]


def verify(cloud: RunningCloud, content: bytes, language: int = 0) -> pb.VerifyDocumentResponse:
    with cloud.public_channel() as channel:
        return DocumentServiceStub(channel).VerifyDocument(pieces(content, language), timeout=TIMEOUT_S)


@pytest.mark.req("R145")
def test_anybody_learns_whether_a_copy_is_good(cloud: RunningCloud, notary: Notary, closed: bytes) -> None:
    good = verify(cloud, closed)
    assert good.outcome == pb.DOCUMENT_OUTCOME_VALID
    assert good.complete
    assert [one.signer for one in good.signatures] == [
        "Verifield platform", NAME, "Li", "Verifield time-stamps",
    ]  # fmt: skip
    assert all(one.time.ToDatetime(UTC) <= notary.now for one in good.signatures)
    altered = verify(cloud, tampering.painted_over(closed), pb.DOCUMENT_LANGUAGE_ZH)
    assert altered.outcome == pb.DOCUMENT_OUTCOME_ALTERED
    assert altered.text.startswith("请勿采信")
    assert {one.code for one in altered.findings} >= {"CONTENT_CHANGED"}
    assert {one.field for one in altered.findings} >= {"name1", "name2"}
    flipped = bytearray(closed)
    flipped[2000] ^= 1
    assert verify(cloud, bytes(flipped)).outcome == pb.DOCUMENT_OUTCOME_ALTERED
    unknown = verify(cloud, plain())
    assert unknown.outcome == pb.DOCUMENT_OUTCOME_UNKNOWN
    assert [one.code for one in unknown.findings] == ["UNSIGNED"]


@pytest.mark.req("R154")
def test_only_who_is_verified_is_given_a_certificate(cloud: RunningCloud, notary: Notary) -> None:
    """The real rooms of identities, organisations and seals say who that is."""
    signed_in = registered(cloud)
    name, uscc = signed_in.person.name, new_uscc()

    def issue(organisation: str = "", organisation_id: str = "") -> x509.Certificate:
        def work(connection: Connection, room: Room) -> x509.Certificate:
            ground = SimpleNamespace(
                verifications=Verifications(room.accounts, room.sources),
                accounts=room.accounts,
                organisations=Organisations(room.persons),
                seals=open_seals(room, cloud),
            )
            proof = SignerProof(ground, organisation_id)  # type: ignore[arg-type]
            subject = Subject(name, signed_in.account_id, organisation, uscc if organisation else "")
            return notary.authority.issue(connection, subject, proof=proof, now=notary.now).certificate

        return in_database(cloud, work)

    with pytest.raises(ServiceError) as caught:
        issue()
    assert caught.value.reason is Reason.IDENTITY_REQUIRED
    with notary.store.reading() as connection:
        assert rows.list_signers(connection, limit=9, account_id=signed_in.account_id) == []
    verified(cloud, signed_in)
    certificate = issue()
    [common] = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert common.value == name
    company = "杭州示例网络科技有限公司"
    with pytest.raises(ServiceError):
        issue(company, "0199a3e2-7000-7000-8000-00000000000f")
    certificate = issue(company, verified_organisation(cloud, signed_in, name=company, uscc=uscc))
    [common] = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    [organisation] = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    [number] = certificate.subject.get_attributes_for_oid(x509.ObjectIdentifier(ORGANISATION_ID))
    assert (common.value, organisation.value, number.value) == (name, company, f"NTRCN-{uscc}")


def test_what_is_too_large_or_nothing_is_refused(cloud: RunningCloud) -> None:
    def endless() -> Iterator[pb.VerifyDocumentRequest]:
        for _ in range(1025):
            yield pb.VerifyDocumentRequest(content=b"0" * 48 * 1024)

    with cloud.public_channel() as channel:
        stub = DocumentServiceStub(channel)
        for requests, reason in ((endless(), "DOCUMENT_SIZE"), (iter(()), "DOCUMENT_EMPTY")):
            with pytest.raises(grpc.RpcError) as caught:
                stub.VerifyDocument(requests, timeout=TIMEOUT_S)
            assert refusal(caught.value)[1].reason == reason


def test_trust_anchors_and_the_list_are_for_everybody(cloud: RunningCloud, notary: Notary) -> None:
    with cloud.public_channel() as channel:
        stub = DocumentServiceStub(channel)
        anchors = stub.GetTrustAnchors(pb.GetTrustAnchorsRequest(), timeout=TIMEOUT_S)
        listed = stub.GetSignerRevocationList(pb.GetSignerRevocationListRequest(), timeout=TIMEOUT_S)
    assert x509.load_der_x509_certificate(anchors.root) == notary.root
    issuer = x509.load_der_x509_certificate(anchors.signers)
    key: Any = issuer.public_key()
    assert x509.load_der_x509_crl(listed.revocation_list).is_signature_valid(key)


def test_certificates_are_listed_and_revoked(
    cloud: RunningCloud, notary: Notary, run: Callable[..., Result], tmp_path: Path
) -> None:
    identity = notary.identity("Wang")
    document = notary.signed(notary.frozen([place("name1", "first")]), [named("name1", "Wang")], identity)
    file = tmp_path / "contract.pdf"
    file.write_bytes(document)
    checked = run("documents", "check", str(file), "--language", "es", "--json")
    assert checked.exit_code == 0, checked.output
    values = json.loads(checked.stdout)
    assert (values["outcome"], values["complete"]) == ("valid", True)
    serial = values["signatures"][1]["serial"]
    assert run("documents", "check", str(file)).stdout.startswith("valid: ")
    listed = json.loads(run("documents", "certificates", "list", "--page", "first", "--json").stdout)
    assert serial in {one["serial"] for one in listed["certificates"]}
    assert "SERIAL" in run("documents", "certificates", "list").stdout
    refused = run("documents", "certificates", "revoke", serial, "--reason", "because")
    assert refused.exit_code == 2
    revoked = run("documents", "certificates", "revoke", serial, "--reason", "wrong-identity", "--json")
    assert json.loads(revoked.stdout)["reason"] == "wrong-identity"
    checked = run("documents", "check", str(file), "--json")
    assert checked.exit_code == 4
    found = json.loads(checked.stdout)["findings"]
    assert [(one["code"], one["field"]) for one in found] == [("REVOKED", "name1")]
    assert run("documents", "certificates", "revoke", "abc", "--reason", "key-compromise").exit_code == 6
    out = tmp_path / "signers.crl"
    assert run("documents", "crl", "--out", str(out)).exit_code == 0
    assert x509.load_der_x509_crl(out.read_bytes()).get_revoked_certificate_by_serial_number(int(serial, 16))
    assert run("documents", "check", str(tmp_path / "none.pdf")).exit_code == 3


def test_who_may_revoke(cloud: RunningCloud) -> None:
    for role, may in ((Role.AUDITOR, False), (Role.ORGANISATION_ADMIN, True)):
        person = add_person(cloud, f"signers-{role}", role)
        with channel_of(cloud, person) as channel:
            stub = DocumentServiceStub(channel)
            stub.ListSignerCertificates(pb.ListSignerCertificatesRequest(), timeout=TIMEOUT_S)
            with pytest.raises(grpc.RpcError) as caught:
                stub.RevokeSignerCertificate(
                    pb.RevokeSignerCertificateRequest(
                        serial="abc", reason=pb.SIGNER_REVOCATION_REASON_KEY_COMPROMISE
                    ),
                    timeout=TIMEOUT_S,
                )
        assert (refusal(caught.value)[1].reason == "SIGNER_CERTIFICATE_NOT_FOUND") is may


def test_the_same_check_without_the_service(
    cloud: RunningCloud, closed: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def offline(file: str, *words: str, root: str = "root.pem") -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(["document", str(tmp_path / file), "--root", str(tmp_path / root), *words])
        return int(ended.value.code or 0), capsys.readouterr().out

    (tmp_path / "root.pem").write_bytes(cloud.root_pem)
    (tmp_path / "good.pdf").write_bytes(closed)
    (tmp_path / "bad.pdf").write_bytes(tampering.annotated(closed))
    (tmp_path / "other.pdf").write_bytes(plain())
    for name, status, word in (("good", 0, "VALID"), ("bad", 4, "ALTERED"), ("other", 6, "UNKNOWN")):
        code, told = offline(f"{name}.pdf", "--json")
        assert (code, json.loads(told)["outcome"]) == (status, word)
    code, told = offline("good.pdf", "--language", "zh")
    assert NAME in told
    assert "文件真实有效" in told
    assert offline("none.pdf")[0] == 2
    assert offline("good.pdf", root="good.pdf")[0] == 3
