"""Approvals through the service: uploaded, sealed with a code, checked by others; and the log of uses."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any

import grpc
import pytest
from cryptography import x509
from sqlalchemy import select, text, update
from sqlalchemy.exc import DatabaseError

from cloud.approvals.desk import bind
from cloud.approvals.sealing import Sealer
from cloud.pdf.sign import Signed
from cloud.store.schema import approval_signatures, approvals, identities, seal_uses
from tests.support.accounts import SignedIn, as_account, in_database, registered
from tests.support.cloud import RunningCloud, refusal, running_cloud
from tests.support.identity import verified
from tests.support.organisations import (
    approve,
    approved_seal,
    grant_seal,
    ring,
    upload_seal,
    verified_organisation,
)
from tests.support.samples import pdf, pdf_with_script
from tests.support.spool import last_code
from verifield.documents.judging import judge
from verifield.documents.verdict import Kind, Outcome, Verdict
from verifield.v1 import approval_service_pb2 as pb
from verifield.v1 import contract_service_pb2 as contract_pb
from verifield.v1 import organisation_service_pb2 as org_pb
from verifield.v1 import seal_service_pb2 as seal_pb
from verifield.v1 import signing_service_pb2
from verifield.v1.approval_service_pb2_grpc import ApprovalServiceStub
from verifield.v1.contract_service_pb2_grpc import ContractServiceStub
from verifield.v1.organisation_service_pb2_grpc import OrganisationServiceStub
from verifield.v1.seal_service_pb2_grpc import SealServiceStub

NAME, USCC = "杭州示例网络科技有限公司", "91110000600037341L"
FAILED, INVALID = grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT
MISSING, DENIED = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED
PLACES = [pb.ApprovalPlace(page=1, x=100, y=500), pb.ApprovalPlace(page=1, x=300, y=500)]


@dataclass
class Company:
    """A verified organisation with a seal, its administrator, and who may use the seal for approvals."""

    cloud: RunningCloud
    admin: SignedIn
    clerk: SignedIn
    organisation_id: str
    seal_id: str
    grant_id: str


@dataclass
class Member:
    """Somebody who signed in, and the stub whose calls carry the token."""

    cloud: RunningCloud
    signed_in: SignedIn
    stub: Any
    last: str = ""

    def upload(self, organisation_id: str, content: bytes, **changes: Any) -> pb.Approval:
        given: dict[str, Any] = {
            "organisation_id": organisation_id,
            "title": "关于采购的批复",
            "sha256": hashlib.sha256(content).digest(),
        }
        parts = [pb.UploadApprovalRequest(header=pb.UploadApprovalHeader(**given | changes))]
        for start in range(0, len(content), 48_000):
            parts.append(pb.UploadApprovalRequest(content=content[start : start + 48_000]))
        return self.stub.UploadApproval(iter(parts)).approval  # type: ignore[no-any-return]

    def get(self, approval_id: str) -> pb.Approval:
        return self.stub.GetApproval(pb.GetApprovalRequest(approval_id=approval_id)).approval  # type: ignore[no-any-return]

    def download(self, approval_id: str, *, sealed: bool = True) -> bytes:
        request = pb.DownloadApprovalRequest(approval_id=approval_id, sealed=sealed)
        return b"".join(part.content for part in self.stub.DownloadApproval(request))

    def request(self, approval: pb.Approval, seal_id: str, **changes: Any) -> pb.SealApprovalRequest:
        """With a code that came just now."""
        self.cloud.clock.offset += timedelta(minutes=2)  # codes come one after the other
        asked = pb.RequestSealCodeRequest(approval_id=approval.approval_id, seal_id=seal_id)
        sent = self.stub.RequestSealCode(asked)
        self.last = last_code(self.cloud, self.signed_in.person.phone, besides=self.last)
        given: dict[str, Any] = {
            "approval_id": approval.approval_id,
            "seal_id": seal_id,
            "document_sha256": approval.document_sha256,
            "places": PLACES,
            "challenge_id": sent.challenge_id,
            "challenge": sent.challenge,
            "code": self.last,
            "request_id": str(uuid.uuid4()),
        }
        return pb.SealApprovalRequest(**given | changes)

    def seal(self, request: pb.SealApprovalRequest) -> pb.Approval:
        return self.stub.SealApproval(request, timeout=60).approval  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("cloud") / "data") as running:
        yield running


def person(cloud: RunningCloud) -> SignedIn:
    signed_in = registered(cloud)
    verified(cloud, signed_in)
    return signed_in


@pytest.fixture(scope="module")
def company(cloud: RunningCloud) -> Company:
    admin, clerk = person(cloud), person(cloud)
    organisation_id = verified_organisation(cloud, admin, name=NAME, uscc=USCC)
    seal_id = approved_seal(cloud, admin, organisation_id)
    scopes = (seal_pb.SEAL_SCOPE_APPROVALS,)
    grant_id = grant_seal(cloud, admin, seal_id, clerk, scopes=scopes)
    return Company(cloud, admin, clerk, organisation_id, seal_id, grant_id)


@contextmanager
def member(cloud: RunningCloud, signed_in: SignedIn) -> Iterator[Member]:
    with as_account(cloud, signed_in) as stubs:
        yield Member(cloud, signed_in, stubs(ApprovalServiceStub))


@pytest.fixture(scope="module")
def clerk(company: Company) -> Iterator[Member]:
    with member(company.cloud, company.clerk) as found:
        yield found


@contextmanager
def refused(status: grpc.StatusCode, reason: str, **facts: str) -> Iterator[None]:
    with pytest.raises(grpc.RpcError) as caught:
        yield
    code, info, hint = refusal(caught.value)
    assert (code, info.reason) == (status, reason)
    assert facts.items() <= dict(info.metadata).items()
    assert hint


def verdict_of(cloud: RunningCloud, content: bytes) -> Verdict:
    """As somebody says it who has the root and the file."""
    return judge(content, roots=x509.load_pem_x509_certificates(cloud.root_pem), at=cloud.clock.now())


@pytest.fixture(scope="module")
def sealed(cloud: RunningCloud, company: Company, clerk: Member) -> tuple[pb.Approval, bytes]:
    """An approval with two marks of the seal, and its file."""
    approval = clerk.upload(company.organisation_id, pdf("批复"))
    request = clerk.request(approval, company.seal_id)
    done = clerk.seal(request)
    assert done == clerk.seal(request)  # asked again, answered as then
    return clerk.get(approval.approval_id), clerk.download(approval.approval_id)


def test_whoever_has_a_grant_seals_an_approval(
    cloud: RunningCloud, company: Company, sealed: tuple[pb.Approval, bytes]
) -> None:
    approval, content = sealed
    assert approval.state == pb.APPROVAL_STATE_SEALED
    assert approval.title == "关于采购的批复"
    assert approval.sealed_sha256 == hashlib.sha256(content).digest()
    verdict = verdict_of(cloud, content)
    assert verdict.outcome is Outcome.VALID, verdict
    marks = [one for one in verdict.signatures if one.field.startswith("Seal")]
    assert len(marks) == len(PLACES)
    for one in marks:  # the certificate shows the organisation and the person
        assert (one.organisation, one.uscc) == (NAME, USCC)
        assert one.signer == company.clerk.person.name


def test_a_seal_has_the_evidence_of_a_contract_s_signature(
    cloud: RunningCloud, company: Company, sealed: tuple[pb.Approval, bytes]
) -> None:
    approval, content = sealed
    ours = set(pb.ApprovalSignature.DESCRIPTOR.fields_by_name)
    theirs = set(signing_service_pb2.SignatureRecord.DESCRIPTOR.fields_by_name)
    own = {"contract_id", "party_id", "preview_hash", "device_id", "evidence_sha256"}
    assert theirs - own <= ours
    verdict = {one.field: one for one in verdict_of(cloud, content).signatures}
    before = b""
    for one in approval.signatures:
        assert one.kind == signing_service_pb2.SIGNATURE_KIND_SEAL
        assert one.method == signing_service_pb2.SIGN_METHOD_SMS_CODE
        assert (one.seal_id, one.seal_version) == (company.seal_id, 1)
        assert one.account_id == company.clerk.account_id
        assert one.document_sha256 == approval.document_sha256
        assert len(one.challenge) == 16
        assert len(bind(approval.approval_id, one.account_id, one.document_sha256, one.challenge)) == 32
        assert all((one.evidence_id, one.verification_id, one.certificate_serial))
        assert before in (b"", one.before_sha256)
        before = one.after_sha256
        shown = verdict[one.field]
        assert shown.time == one.sign_time.ToDatetime(UTC)
    assert len(approval.signatures) == len(PLACES)


def test_a_changed_file_is_found_out(cloud: RunningCloud, sealed: tuple[pb.Approval, bytes]) -> None:
    _, content = sealed
    at = content.index(b"stream") + 40
    flipped = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    assert verdict_of(cloud, flipped).outcome is not Outcome.VALID


@pytest.mark.req("R172")
def test_the_log_has_as_many_uses_as_the_stored_files_have_seals(
    cloud: RunningCloud, company: Company, clerk: Member, sealed: tuple[pb.Approval, bytes]
) -> None:
    more = clerk.upload(company.organisation_id, pdf("批复二"))
    clerk.seal(clerk.request(more, company.seal_id, places=PLACES[:1]))
    withdrawn = clerk.upload(company.organisation_id, pdf("批复三"))
    clerk.stub.WithdrawApproval(pb.WithdrawApprovalRequest(approval_id=withdrawn.approval_id))
    with cloud.database() as connection:
        stored = connection.execute(
            select(approvals.c.approval_id).where(
                approvals.c.organisation_id == company.organisation_id,
                approvals.c.sealed_object_id.is_not(None),
            )
        ).scalars()
        ids = list(stored)
        uses = connection.execute(select(seal_uses).where(seal_uses.c.seal_id == company.seal_id)).all()
        records = connection.execute(select(approval_signatures)).all()
    found = {}
    for approval_id in ids:
        verdict = verdict_of(cloud, clerk.download(approval_id))
        assert verdict.outcome is Outcome.VALID
        found[approval_id] = {one.field for one in verdict.signatures if one.kind is Kind.SEAL}
    assert sum(map(len, found.values())) == len(uses) == len(records) == 3
    with as_account(cloud, company.admin) as stubs:
        request = seal_pb.ListSealUsesRequest(seal_id=company.seal_id)
        told = stubs(SealServiceStub).ListSealUses(request).uses
    documents = {one.approval_id: one.document_sha256 for one in (sealed[0], more)}
    for one in told:  # who, which document, where, when
        approval_id = one.subject.removeprefix("approvals/")
        assert one.field_name in found[approval_id]
        assert one.account_id == company.clerk.account_id
        assert one.document_sha256 == documents[approval_id]
        assert one.place.startswith("address/")
        assert one.HasField("time")
    assert len(told) == 3
    for table in ("seal_uses", "approval_signatures"):
        for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET account_id = 'x'"):
            with pytest.raises(DatabaseError), cloud.database() as connection:
                connection.execute(text(statement))


def test_a_wrong_code_changes_nothing_and_counts(
    cloud: RunningCloud, company: Company, clerk: Member
) -> None:
    approval = clerk.upload(company.organisation_id, pdf("批复四"))
    request = clerk.request(approval, company.seal_id)
    right = request.code
    request.code = "000000" if right != "000000" else "111111"
    with refused(FAILED, "CODE_WRONG", forgiven_left="4"):
        clerk.seal(request)
    request.code, request.challenge = right, bytes(16)  # another act
    with refused(FAILED, "CODE_WRONG", forgiven_left="3"):
        clerk.seal(request)
    assert clerk.get(approval.approval_id) == clerk.get(approval.approval_id)
    assert clerk.get(approval.approval_id).state == pb.APPROVAL_STATE_OPEN
    assert not clerk.get(approval.approval_id).signatures


def test_places_and_documents_that_are_wrong_take_no_code(
    cloud: RunningCloud, company: Company, clerk: Member
) -> None:
    approval = clerk.upload(company.organisation_id, pdf("批复五"))
    request = pb.SealApprovalRequest(
        approval_id=approval.approval_id,
        seal_id=company.seal_id,
        document_sha256=approval.document_sha256,
        places=[pb.ApprovalPlace(page=2, x=1, y=1)],
        challenge_id=str(uuid.uuid4()),
        challenge=bytes(16),
        code="123456",
    )
    with refused(INVALID, "APPROVAL_PLACE_REFUSED", why="NO_PAGE"):
        clerk.seal(request)
    request.places[0].CopyFrom(pb.ApprovalPlace(page=1, x=590, y=1))
    with refused(INVALID, "APPROVAL_PLACE_REFUSED", why="OUTSIDE"):
        clerk.seal(request)
    request.document_sha256 = bytes(32)
    with refused(grpc.StatusCode.ABORTED, "APPROVAL_MOVED"):
        clerk.seal(request)
    with refused(INVALID, "APPROVAL_DOCUMENT_REFUSED"):
        clerk.upload(company.organisation_id, pdf_with_script())
    with refused(INVALID, "UPLOAD_DIGEST"):
        clerk.upload(company.organisation_id, pdf(), sha256=bytes(32))


def test_others_have_no_part_in_it(cloud: RunningCloud, company: Company, clerk: Member) -> None:
    approval = clerk.upload(company.organisation_id, pdf("批复六"))
    with member(cloud, person(cloud)) as other:
        with refused(MISSING, "APPROVAL_NOT_FOUND"):
            other.get(approval.approval_id)
        with refused(MISSING, "APPROVAL_NOT_FOUND"):
            other.upload(company.organisation_id, pdf())
        with refused(MISSING, "APPROVAL_NOT_FOUND"):
            other.download(approval.approval_id, sealed=False)
    with member(cloud, company.admin) as admin:  # reads all, and seals nothing without a grant
        assert admin.get(approval.approval_id).title
        asked = pb.RequestSealCodeRequest(approval_id=approval.approval_id, seal_id=company.seal_id)
        with refused(DENIED, "SEAL_NOT_GRANTED", why="NONE"):
            admin.stub.RequestSealCode(asked)
    request = pb.InspectApprovalRequest(approval_id=approval.approval_id)
    shown = cloud.operator.call(cloud.operator.approvals.InspectApproval, request).approval
    assert (shown.approval_id, shown.title) == (approval.approval_id, "")


def test_a_grant_that_is_revoked_between_code_and_seal_stops_it(
    cloud: RunningCloud, company: Company
) -> None:
    clerk = person(cloud)
    grant_id = grant_seal(cloud, company.admin, company.seal_id, clerk)
    with member(cloud, clerk) as stub:
        approval = stub.upload(company.organisation_id, pdf("批复七"))
        request = stub.request(approval, company.seal_id)
        with as_account(cloud, company.admin) as stubs:
            revoke = seal_pb.RevokeSealGrantRequest(grant_id=grant_id)
            stubs(SealServiceStub).RevokeSealGrant(revoke)
        with refused(MISSING, "APPROVAL_NOT_FOUND"):  # no member any more
            stub.seal(request)


def freeze(company: Company, approval_id: str) -> None:
    with as_account(company.cloud, company.admin) as stubs:
        stubs(SealServiceStub).FreezeSeal(seal_pb.FreezeSealRequest(seal_id=company.seal_id))


def change_name(company: Company, approval_id: str) -> None:
    with as_account(company.cloud, company.admin) as stubs:
        request = org_pb.DeclareOrganisationChangeRequest(
            organisation_id=company.organisation_id, change=org_pb.ORGANISATION_CHANGE_NAME
        )
        stubs(OrganisationServiceStub).DeclareOrganisationChange(request)


def revoke_grant(company: Company, approval_id: str) -> None:
    with as_account(company.cloud, company.admin) as stubs:
        stubs(SealServiceStub).RevokeSealGrant(seal_pb.RevokeSealGrantRequest(grant_id=company.grant_id))


def replace_picture(company: Company, approval_id: str) -> None:
    with as_account(company.cloud, company.admin) as stubs:
        upload_seal(
            stubs(SealServiceStub), company.organisation_id, ring(440), seal_id=company.seal_id, kind=0
        )
    approve(company.cloud, company.seal_id)


def make_stale(company: Company, approval_id: str) -> None:
    query = update(identities).where(identities.c.account_id == company.clerk.account_id)
    in_database(company.cloud, lambda connection, _: connection.execute(query.values(stale_us=1)))


def withdraw(company: Company, approval_id: str) -> None:
    with as_account(company.cloud, company.admin) as stubs:
        request = pb.WithdrawApprovalRequest(approval_id=approval_id)
        stubs(ApprovalServiceStub).WithdrawApproval(request)


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        (freeze, FAILED, "SEAL_FROZEN"),
        (change_name, FAILED, "ORG_REAL_NAME_REQUIRED"),
        (revoke_grant, DENIED, "SEAL_NOT_GRANTED"),
        (replace_picture, FAILED, "SEAL_STATE"),
        (make_stale, FAILED, "IDENTITY_REQUIRED"),
        (withdraw, FAILED, "APPROVAL_STATE"),
    ],
)
def test_what_changes_while_the_file_is_made_stops_it(
    cloud: RunningCloud,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Company, str], None],
    status: grpc.StatusCode,
    reason: str,
) -> None:
    """The person has authenticated, and the sealed file is there: the last look is what counts."""
    admin, clerk = person(cloud), person(cloud)
    organisation_id = verified_organisation(cloud, admin, name=NAME)
    seal_id = approved_seal(cloud, admin, organisation_id)
    company = Company(cloud, admin, clerk, organisation_id, seal_id, grant_seal(cloud, admin, seal_id, clerk))
    seal = Sealer.seal

    def slow(self: Sealer, *args: Any, **kwargs: Any) -> Signed:
        made = seal(self, *args, **kwargs)
        change(company, args[2].row.approval_id)
        return made

    monkeypatch.setattr(Sealer, "seal", slow)
    with member(cloud, clerk) as stub:
        approval = stub.upload(organisation_id, pdf("批复八"))
        with refused(status, reason):
            stub.seal(stub.request(approval, seal_id))
    shown = cloud.operator.call(
        cloud.operator.approvals.InspectApproval, pb.InspectApprovalRequest(approval_id=approval.approval_id)
    ).approval
    assert shown.state != pb.APPROVAL_STATE_SEALED
    assert (len(shown.signatures), shown.sealed_sha256) == (0, b"")
    with cloud.database() as connection:
        assert not connection.execute(select(seal_uses).where(seal_uses.c.seal_id == seal_id)).all()


def test_the_seal_of_another_organisation_seals_nothing(cloud: RunningCloud, company: Company) -> None:
    """Whoever may use the seals of two organisations uses each for its own documents."""
    clerk, other = person(cloud), person(cloud)
    grant_seal(cloud, company.admin, company.seal_id, clerk)
    elsewhere = verified_organisation(cloud, other, name=NAME)
    seal_id = approved_seal(cloud, other, elsewhere)
    grant_seal(cloud, other, seal_id, clerk)
    with member(cloud, clerk) as stub:
        approval = stub.upload(company.organisation_id, pdf("批复九"))
        asked = pb.RequestSealCodeRequest(approval_id=approval.approval_id, seal_id=seal_id)
        with refused(MISSING, "SEAL_NOT_FOUND"):
            stub.stub.RequestSealCode(asked)
        request = stub.request(approval, company.seal_id)
        request.seal_id = seal_id
        with refused(MISSING, "SEAL_NOT_FOUND"):
            stub.seal(request)


@pytest.mark.req("R160")
def test_an_organisation_that_is_not_verified_does_nothing_else(cloud: RunningCloud) -> None:
    admin = person(cloud)
    with as_account(cloud, admin) as stubs:
        request = org_pb.RegisterOrganisationRequest(name=NAME)
        made = stubs(OrganisationServiceStub).RegisterOrganisation(request).organisation
        who = Member(cloud, admin, stubs(ApprovalServiceStub))
        with refused(FAILED, "ORG_REAL_NAME_REQUIRED", state="REGISTERED"):
            who.upload(made.organisation_id, pdf())
        with refused(FAILED, "ORG_REAL_NAME_REQUIRED", state="REGISTERED"):
            who.stub.ListApprovals(pb.ListApprovalsRequest(organisation_id=made.organisation_id))
        with refused(FAILED, "ORG_REAL_NAME_REQUIRED", state="REGISTERED"):
            stubs(SealServiceStub).ListSeals(seal_pb.ListSealsRequest(organisation_id=made.organisation_id))
        with refused(FAILED, "ORG_REAL_NAME_REQUIRED", state="REGISTERED"):
            upload_seal(stubs(SealServiceStub), made.organisation_id, ring())
        header = contract_pb.ContractHeader(
            flow=contract_pb.CONTRACT_FLOW_STANDARD,
            organisation_id=made.organisation_id,
            details=contract_pb.ContractDetails(title="合同"),
        )
        parts = [
            contract_pb.UploadContractRequest(header=header),
            contract_pb.UploadContractRequest(chunk=pdf()),
        ]
        with refused(FAILED, "ORG_REAL_NAME_REQUIRED", state="REGISTERED"):
            stubs(ContractServiceStub).UploadContract(iter(parts))
