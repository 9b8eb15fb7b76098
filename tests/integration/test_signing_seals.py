"""Signing with the seal of an organisation: the same evidence, identity and time as a personal signature."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from sqlalchemy import func, select

from cloud.store.schema import seal_uses
from tests.integration.test_approvals_run import member
from tests.integration.test_documents_service import verify
from tests.support.accounts import SignedIn, as_account, in_database
from tests.support.cloud import RunningCloud
from tests.support.final import seal_fields, signing_cloud, stored_contracts
from tests.support.organisations import approved_seal, grant_seal, verified_organisation
from tests.support.pdf_signing import qpdf_check
from tests.support.samples import pdf
from tests.support.signing import (
    DATE,
    SEAL,
    SIGNATURE,
    Sent,
    ask_code,
    begin,
    download,
    judged,
    mark,
    open_invitation,
    read_all,
    refused_of,
    self_party,
    send,
    sign_request,
    sign_with_code,
    signer_of,
    signing,
    signing_refused,
    start,
)
from tests.support.spool import last_code
from verifield.documents.verdict import Outcome
from verifield.v1 import contract_service_pb2 as contract_pb
from verifield.v1 import document_service_pb2 as document_pb
from verifield.v1 import seal_service_pb2 as seal_pb
from verifield.v1 import signing_service_pb2 as pb
from verifield.v1.seal_service_pb2_grpc import SealServiceStub

COMPANY = "杭州示例网络科技有限公司"
MARKS = [
    mark(1, row=0),
    mark(2, SEAL, row=2),
    mark(2, SEAL, row=4),
    mark(2, SIGNATURE, row=6),
    mark(2, DATE, row=7),
]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with signing_cloud(tmp_path_factory.mktemp("seals")) as running:
        yield running


@pytest.fixture(scope="module")
def company(cloud: RunningCloud) -> tuple[SignedIn, str, str]:
    """Who administers an organisation, the organisation, and a seal of it."""
    admin = signer_of(cloud)
    organisation_id = verified_organisation(cloud, admin, name=COMPANY)
    return admin, organisation_id, approved_seal(cloud, admin, organisation_id)


def sent_to_company(cloud: RunningCloud, clerk: SignedIn, organisation_id: str) -> tuple[SignedIn, Sent]:
    sender = signer_of(cloud)
    party = contract_pb.NewParty(
        organisation=contract_pb.PartyOrganisation(
            name=COMPANY, organisation_id=organisation_id, phone=clerk.person.phone
        ),
        role=contract_pb.CONTRACT_PARTY_ROLE_SIGNER,
        order=1,
    )
    sent = send(cloud, sender, [self_party(), party], MARKS)
    sign_with_code(cloud, sender, sent)
    return sender, sent


def uses(cloud: RunningCloud) -> int:
    query = select(func.count()).select_from(seal_uses)
    return in_database(cloud, lambda connection, _: int(connection.execute(query).scalar_one()))


@pytest.mark.req("R158", "R171", "R172")
def test_who_was_granted_a_seal_seals_a_contract(
    cloud: RunningCloud, company: tuple[SignedIn, str, str], tmp_path: Path
) -> None:
    admin, organisation_id, seal_id = company
    clerk = signer_of(cloud)
    grant_seal(cloud, admin, seal_id, clerk)
    before = uses(cloud)
    sender, sent = sent_to_company(cloud, clerk, organisation_id)
    open_invitation(cloud, clerk, organisation_id=organisation_id)
    done = sign_with_code(cloud, clerk, sent, seal_id=seal_id)
    assert (done.state, done.organisation_name) == (pb.SIGNING_STATE_SIGNED, COMPANY)

    content = download(cloud, sender, sent.contract_id)
    verdict = judged(cloud, content)
    assert verdict.outcome is Outcome.VALID
    company_s = [one for one in verdict.signatures if one.organisation == COMPANY]
    assert len(company_s) == 4
    assert {one.signer for one in company_s} == {clerk.person.name}
    assert all(one.uscc for one in company_s)
    qpdf_check(content, tmp_path)

    told = verify(cloud, content)  # whoever uploads the file hears the same of both kinds
    assert told.outcome == document_pb.DOCUMENT_OUTCOME_VALID, told
    shown = {one.field: one for one in told.signatures}

    listed = pb.ListSignaturesRequest(contract_id=sent.contract_id)
    records = signing(cloud, clerk, "ListSignatures", listed).signatures
    sealed = [one for one in records if one.kind == pb.SIGNATURE_KIND_SEAL]
    personal = [one for one in records if one.kind == pb.SIGNATURE_KIND_PERSONAL]
    assert len(sealed) == 2
    assert uses(cloud) - before == len(sealed)
    names = {field.name for field, _ in sealed[0].ListFields()} - {"seal_id", "seal_version"}
    assert names == {field.name for field, _ in personal[0].ListFields()}
    assert all(one.seal_id == seal_id and one.seal_version == 1 for one in sealed)
    in_document = {one.field: one for one in verdict.signatures}
    for one in records:  # both kinds: the same certificate, time and validity in the file
        assert in_document[one.field].valid
        assert in_document[one.field].serial == one.certificate_serial
        assert shown[one.field].valid
        assert shown[one.field].serial == one.certificate_serial
        assert shown[one.field].time.ToDatetime() == one.sign_time.ToDatetime()
    of_seal, of_person = (
        {field.name for field, _ in shown[one.field].ListFields()} for one in (sealed[0], personal[0])
    )
    assert of_seal == of_person | {"organisation", "uscc"}


@pytest.mark.req("R171", "R172")
def test_the_log_has_a_line_for_each_seal_of_all_files_that_are_stored(
    cloud: RunningCloud, company: tuple[SignedIn, str, str]
) -> None:
    admin, organisation_id, seal_id = company
    clerk = signer_of(cloud)
    grant_seal(cloud, admin, seal_id, clerk)
    _, sent = sent_to_company(cloud, clerk, organisation_id)
    open_invitation(cloud, clerk, organisation_id=organisation_id)
    sign_with_code(cloud, clerk, sent, seal_id=seal_id)
    with member(cloud, clerk) as one:  # the same person seals an approval with it
        approval = one.upload(organisation_id, pdf("批复"))
        one.last = last_code(cloud, clerk.person.phone)
        one.seal(one.request(approval, seal_id))
        sealed = one.download(approval.approval_id)
    [person] = {mark.signer for mark in judged(cloud, sealed).signatures if mark.organisation == COMPANY}
    assert person == clerk.person.name

    everything = [*(stored.content for stored in stored_contracts(cloud)), sealed]
    counted = [len(seal_fields(content)) for content in everything]
    assert sum(counted) == uses(cloud) > 0
    assert counted[-1] == 2


def test_a_seal_has_to_be_chosen_and_granted(cloud: RunningCloud, company: tuple[SignedIn, str, str]) -> None:
    admin, organisation_id, seal_id = company
    clerk = signer_of(cloud)
    grant_seal(cloud, admin, seal_id, clerk)
    _, sent = sent_to_company(cloud, clerk, organisation_id)
    open_invitation(cloud, clerk, organisation_id=organisation_id)
    read_all(cloud, clerk, sent)
    started = start(cloud, clerk, sent)
    preview = pb.PreviewSignedRequest(signing_id=started.signing_id)
    assert signing_refused(cloud, clerk, "PreviewSigned", preview).reason == "SEAL_CHOICE_REQUIRED"
    other = approved_seal(cloud, admin, organisation_id)
    preview.seal_id = other
    assert signing_refused(cloud, clerk, "PreviewSigned", preview).reason == "SEAL_NOT_GRANTED"


def test_a_grant_for_something_else_signs_no_contract(
    cloud: RunningCloud, company: tuple[SignedIn, str, str]
) -> None:
    admin, organisation_id, seal_id = company
    clerk = signer_of(cloud)
    grant_seal(cloud, admin, seal_id, clerk, scopes=(seal_pb.SEAL_SCOPE_APPROVALS,))
    _, sent = sent_to_company(cloud, clerk, organisation_id)
    open_invitation(cloud, clerk, organisation_id=organisation_id)
    read_all(cloud, clerk, sent)
    request = pb.StartSigningRequest(contract_id=sent.contract_id)
    status, info = refused_of(cloud, clerk, "StartSigning", request)
    assert (status, info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "CONTRACT_OTHERS")


def test_a_grant_with_fewer_uses_than_seals_is_refused_at_the_preview(
    cloud: RunningCloud, company: tuple[SignedIn, str, str]
) -> None:
    admin, organisation_id, seal_id = company
    clerk = signer_of(cloud)
    grant_seal(cloud, admin, seal_id, clerk, max_uses=1)
    _, sent = sent_to_company(cloud, clerk, organisation_id)
    open_invitation(cloud, clerk, organisation_id=organisation_id)
    read_all(cloud, clerk, sent)
    request = pb.PreviewSignedRequest(signing_id=start(cloud, clerk, sent).signing_id, seal_id=seal_id)
    assert signing_refused(cloud, clerk, "PreviewSigned", request).reason == "SEAL_NOT_GRANTED"


@pytest.mark.req("R171")
def test_a_seal_that_is_revoked_meanwhile_signs_nothing(
    cloud: RunningCloud, company: tuple[SignedIn, str, str]
) -> None:
    admin, organisation_id, seal_id = company
    clerk = signer_of(cloud)
    grant_id = grant_seal(cloud, admin, seal_id, clerk)
    _, sent = sent_to_company(cloud, clerk, organisation_id)
    open_invitation(cloud, clerk, organisation_id=organisation_id)
    started = begin(cloud, clerk, sent, seal_id=seal_id)
    code = ask_code(cloud, clerk, started.signing.signing_id)
    before = uses(cloud)
    with as_account(cloud, admin) as stub:
        stub(SealServiceStub).RevokeSealGrant(seal_pb.RevokeSealGrantRequest(grant_id=grant_id))
    reason = signing_refused(cloud, clerk, "Sign", sign_request(started, sms_code=code)).reason
    assert reason in ("SEAL_NOT_GRANTED", "CONTRACT_OTHERS")
    assert uses(cloud) == before
