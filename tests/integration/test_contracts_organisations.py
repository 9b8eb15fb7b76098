"""Contracts of organisations: sent by one, approved within it, and opened for one."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from tests.support.accounts import as_account
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.contracts import (
    Office,
    Somebody,
    contracting,
    draft,
    mark,
    myself,
    party,
    refused,
    send,
    sent_contract,
    token_for,
    upload_of,
)
from tests.support.organisations import approved_seal, grant_seal, verified_organisation
from tests.support.spool import wait_for
from verifield.v1 import contract_service_pb2 as pb
from verifield.v1 import organisation_service_pb2 as org_pb
from verifield.v1 import seal_service_pb2 as seal_pb
from verifield.v1 import signing_service_pb2 as signing_pb
from verifield.v1.organisation_service_pb2_grpc import OrganisationServiceStub
from verifield.v1.seal_service_pb2_grpc import SealServiceStub

DENIED = grpc.StatusCode.PERMISSION_DENIED
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
NAME = "杭州示例网络科技有限公司"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("cloud"), write_calls_per_minute=100_000) as running:
        yield running


@pytest.fixture(scope="module")
def office(cloud: RunningCloud) -> Iterator[Office]:
    with contracting(cloud) as made:
        yield made


@pytest.fixture(scope="module")
def admin(office: Office) -> Somebody:
    return office.person()


@pytest.fixture(scope="module")
def organisation_id(cloud: RunningCloud, admin: Somebody) -> str:
    return verified_organisation(cloud, admin.signed_in, name=NAME)


def clerk_of(cloud: RunningCloud, office: Office, admin: Somebody, organisation_id: str) -> Somebody:
    """Somebody who holds the grant of a seal."""
    clerk = office.person()
    seal_id = approved_seal(cloud, admin.signed_in, organisation_id)
    scopes = (seal_pb.SEAL_SCOPE_CONTRACTS,)
    grant_seal(cloud, admin.signed_in, seal_id, clerk.signed_in, scopes=scopes)
    return clerk


def test_an_organisation_that_is_not_verified_sends_nothing(cloud: RunningCloud, office: Office) -> None:
    owner = office.person()
    with as_account(cloud, owner.signed_in) as stub:
        request = org_pb.RegisterOrganisationRequest(name="未认证公司")
        made = stub(OrganisationServiceStub).RegisterOrganisation(request).organisation
    code, info = refused(owner.call.UploadContract, upload_of(organisation_id=made.organisation_id))
    assert (code, info.reason) == (PRECONDITION, "ORG_REAL_NAME_REQUIRED")


def test_only_who_acts_for_an_organisation_sends_in_its_name(office: Office, organisation_id: str) -> None:
    code, info = refused(office.person().call.UploadContract, upload_of(organisation_id=organisation_id))
    assert (code, info.reason) == (DENIED, "CONTRACT_OTHERS")


def to_approve(admin: Somebody, other: Somebody, organisation_id: str, terms: pb.ContractTerms) -> str:
    """A draft of an organisation that can be sent once it was approved."""
    answer = admin.call.UploadContract(
        upload_of(
            organisation_id=organisation_id,
            terms=terms,
            details=pb.ContractDetails(title="Framework"),
            parties=[myself(), party(other)],
        )
    )
    contract_id = str(answer.contract.contract_id)
    admin.call.PlaceMarks(pb.PlaceMarksRequest(contract_id=contract_id, marks=[mark(1), mark(2)]))
    return contract_id


@pytest.mark.req("R148")
def test_what_has_to_be_approved_is_not_sent_before(
    cloud: RunningCloud, office: Office, admin: Somebody, organisation_id: str
) -> None:
    clerk, third = clerk_of(cloud, office, admin, organisation_id), office.person()
    other = office.person()
    terms = pb.ContractTerms(review_required=True)
    contract_id = to_approve(admin, other, organisation_id, terms)
    to_send = pb.SendContractRequest(contract_id=contract_id)

    def unsent() -> None:
        code, info = refused(admin.call.SendContract, to_send)
        assert (code, info.reason) == (PRECONDITION, "CONTRACT_REVIEW_REQUIRED")

    unsent()
    ask = pb.RequestContractReviewRequest(contract_id=contract_id, account_ids=[third.account_id])
    assert refused(admin.call.RequestContractReview, ask)[1].reason == "CONTRACT_REVIEWER_INVALID"
    myself_too = pb.RequestContractReviewRequest(contract_id=contract_id, account_ids=[admin.account_id])
    assert refused(admin.call.RequestContractReview, myself_too)[1].reason == "CONTRACT_REVIEWER_INVALID"
    ask = pb.RequestContractReviewRequest(contract_id=contract_id, account_ids=[clerk.account_id])
    admin.call.RequestContractReview(ask)
    unsent()
    wait_for(cloud, to=clerk.phone, template="contract_review")
    # Nothing changes while it is looked at, and what was looked at is what is decided about.
    edit = pb.UpdateContractRequest(contract_id=contract_id, details=pb.ContractDetails(title="X"))
    assert refused(admin.call.UpdateContract, edit)[1].reason == "CONTRACT_STATE"
    etag = clerk.get(contract_id).contract.etag
    assert clerk.page(contract_id, 1)[0]
    decide = pb.DecideContractReviewRequest(contract_id=contract_id, approve=False, etag=etag)
    assert refused(clerk.call.DecideContractReview, decide)[1].reason == "CONTRACT_REASON_REQUIRED"
    assert refused(admin.call.DecideContractReview, decide)[0] is DENIED
    decide.reason = "价格过高"
    clerk.call.DecideContractReview(decide)
    wait_for(cloud, to=admin.phone, template="contract_reviewed")
    found = admin.get(contract_id)
    assert found.contract.state == pb.CONTRACT_STATE_DRAFT
    assert found.reviews[0].reason == "价格过高"
    unsent()
    # Changed, asked for anew, recalled, asked again, and approved at last.
    admin.call.UpdateContract(
        pb.UpdateContractRequest(
            contract_id=contract_id, details=pb.ContractDetails(title="Cheaper"), terms=terms
        )
    )
    admin.call.RequestContractReview(ask)
    admin.call.RecallContractReview(pb.RecallContractReviewRequest(contract_id=contract_id))
    unsent()
    admin.call.RequestContractReview(ask)
    stale = pb.DecideContractReviewRequest(contract_id=contract_id, approve=True, etag=etag)
    assert refused(clerk.call.DecideContractReview, stale)[1].reason == "ETAG_MISMATCH"
    stale.etag = clerk.get(contract_id).contract.etag
    clerk.call.DecideContractReview(stale)
    send(admin, contract_id)
    assert other.found(awaiting_me=True) == [contract_id]
    assert other.get(contract_id).reviews == []


def test_who_acts_for_the_sender_manages_its_contracts(
    cloud: RunningCloud, office: Office, admin: Somebody, organisation_id: str
) -> None:
    clerk, other = clerk_of(cloud, office, admin, organisation_id), office.person()
    answer = admin.call.UploadContract(upload_of(organisation_id=organisation_id))
    contract_id = answer.contract.contract_id
    assert contract_id in clerk.found()
    assert clerk.get(contract_id).contract.organisation_id == organisation_id
    assert refused(other.call.GetContract, pb.GetContractRequest(contract_id=contract_id))[0] is DENIED


def test_an_organisation_is_a_party_through_those_who_act_for_it(
    cloud: RunningCloud, office: Office, admin: Somebody, organisation_id: str
) -> None:
    sender, outsider = office.person(), office.person()
    clerk = clerk_of(cloud, office, admin, organisation_id)
    unknown = pb.PartyOrganisation(name=NAME, email="office@example.org")
    invited = pb.NewParty(organisation=unknown, role=pb.CONTRACT_PARTY_ROLE_SIGNER)
    seal = mark(2, kind=signing_pb.MARK_KIND_SEAL, y=200, width=120, height=120)
    contract_id = sent_contract(cloud, sender, [myself(), invited], marks=[mark(1), seal])
    token = token_for(cloud, "office@example.org")
    for who, named in ((outsider, organisation_id), (clerk, "")):
        request = pb.OpenInvitationRequest(token=token, organisation_id=named)
        assert refused(who.call.OpenInvitation, request)[1].reason == "PARTY_IDENTITY_MISMATCH"
    assert refused(clerk.call.GetContract, pb.GetContractRequest(contract_id=contract_id))[0] is DENIED
    clerk.call.OpenInvitation(pb.OpenInvitationRequest(token=token, organisation_id=organisation_id))
    assert contract_id in clerk.found(awaiting_me=True)
    assert contract_id in admin.found(awaiting_me=True)
    assert admin.get(contract_id).parties[1].is_me
    clerk.read(contract_id)
    # One that the sender names by its id needs no link.
    known = pb.PartyOrganisation(name=NAME, organisation_id=organisation_id, email="office@example.org")
    invited = pb.NewParty(organisation=known, role=pb.CONTRACT_PARTY_ROLE_SIGNER)
    second = sent_contract(cloud, sender, [myself(), invited], marks=[mark(1), seal])
    assert second in admin.found(awaiting_me=True)
    assert refused(outsider.call.GetContract, pb.GetContractRequest(contract_id=second))[0] is DENIED


def test_an_organisation_with_another_name_does_not_open_it(
    cloud: RunningCloud, office: Office, admin: Somebody, organisation_id: str
) -> None:
    sender = office.person()
    other = pb.PartyOrganisation(name="上海别家有限公司", email="other@example.org")
    invited = pb.NewParty(organisation=other, role=pb.CONTRACT_PARTY_ROLE_SIGNER)
    contract_id = draft(sender, [myself(), invited], marks=[mark(1), mark(2)])
    send(sender, contract_id)
    token = token_for(cloud, "other@example.org")
    request = pb.OpenInvitationRequest(token=token, organisation_id=organisation_id)
    assert refused(admin.call.OpenInvitation, request)[1].reason == "PARTY_IDENTITY_MISMATCH"


def test_who_acts_no_more_for_an_organisation_sees_nothing_of_it_any_more(
    cloud: RunningCloud, office: Office, admin: Somebody, organisation_id: str
) -> None:
    sender, clerk = office.person(), office.person()
    seal_id = approved_seal(cloud, admin.signed_in, organisation_id)
    scopes = (seal_pb.SEAL_SCOPE_CONTRACTS,)
    grant_id = grant_seal(cloud, admin.signed_in, seal_id, clerk.signed_in, scopes=scopes)
    own = draft(admin, [myself()])
    sent = str(admin.call.UploadContract(upload_of(organisation_id=organisation_id)).contract.contract_id)
    known = pb.PartyOrganisation(name=NAME, organisation_id=organisation_id, email="office@example.org")
    invited = pb.NewParty(organisation=known, role=pb.CONTRACT_PARTY_ROLE_SIGNER)
    got = sent_contract(cloud, sender, [myself(), invited], marks=[mark(1), mark(2)])
    assert {sent, got} <= set(clerk.found())
    assert own not in clerk.found()
    clerk.read(got)
    with as_account(cloud, admin.signed_in) as stub:
        request = seal_pb.RevokeSealGrantRequest(grant_id=grant_id)
        stub(SealServiceStub).RevokeSealGrant(request)
    assert clerk.found() == clerk.found(awaiting_me=True) == []
    for contract_id in (sent, got):
        for call, request in (
            (clerk.call.GetContract, pb.GetContractRequest(contract_id=contract_id)),
            (clerk.call.GetPage, pb.GetPageRequest(contract_id=contract_id, page=1)),
            (clerk.call.DeclineContract, pb.DeclineContractRequest(contract_id=contract_id, reason="no")),
            (clerk.call.DeleteContract, pb.DeleteContractRequest(contract_id=contract_id)),
            (
                clerk.call.DownloadContract,
                pb.DownloadContractRequest(contract_id=contract_id, file=pb.CONTRACT_FILE_CURRENT),
            ),
        ):
            assert refused(call, request)[0] is DENIED
    assert admin.get(got).parties[1].is_me


def test_nobody_approves_what_they_ask_to_be_approved(
    cloud: RunningCloud, office: Office, admin: Somebody, organisation_id: str
) -> None:
    """Not even where a colleague began the draft."""
    clerk = clerk_of(cloud, office, admin, organisation_id)
    terms = pb.ContractTerms(review_required=True)
    contract_id = to_approve(admin, office.person(), organisation_id, terms)
    for who in (clerk.account_id, admin.account_id):
        request = pb.RequestContractReviewRequest(contract_id=contract_id, account_ids=[who])
        assert refused(clerk.call.RequestContractReview, request)[1].reason == "CONTRACT_REVIEWER_INVALID"
