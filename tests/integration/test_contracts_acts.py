"""Contracts that are out: who is told, who may open them, and how they end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import grpc
import pytest
from sqlalchemy import Connection

from cloud.contracts.acts import Acts
from cloud.contracts.shelf import Shelf
from cloud.contracts.turns import MAX_LINK_TRIES
from cloud.contracts.upkeep import ContractWatcher
from tests.support import pdf_samples
from tests.support.accounts import Room, in_database, new_citizen, sign_in
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.contracts import (
    APPROVER,
    CC,
    Office,
    Somebody,
    concluded,
    contracting,
    core_of,
    draft,
    job,
    mark,
    myself,
    open_link,
    party,
    pass_time,
    refused,
    send,
    sent_contract,
    sign,
    stranger,
    token_for,
    upload_of,
)
from tests.support.identity import verified
from tests.support.spool import spooled, wait_for
from verifield.v1 import audit_service_pb2
from verifield.v1 import contract_service_pb2 as pb
from verifield.v1.contract_service_pb2_grpc import ContractServiceStub

DENIED = grpc.StatusCode.PERMISSION_DENIED
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("cloud"), write_calls_per_minute=100_000) as running:
        yield running


@pytest.fixture
def office(cloud: RunningCloud) -> Iterator[Office]:
    with contracting(cloud) as made:
        yield made


def again(office: Office, who: Somebody) -> Somebody:
    """The same person with a new session, after a long time."""
    return office.as_somebody(sign_in(office.cloud, who.signed_in))


@pytest.mark.req("R129")
def test_the_party_is_told_with_a_link_that_the_sender_never_sees(
    cloud: RunningCloud, office: Office
) -> None:
    sender, other = office.person(), office.person()
    contract_id = sent_contract(
        cloud, sender, [myself(), party(other), stranger("周未名", email="zhou@example.org")]
    )
    messages = wait_for(cloud, to=other.phone)
    assert [one["template"] for one in messages] == ["contract_invitation"]
    assert [one["channel"] for one in messages] == ["SMS"]
    mails = wait_for(cloud, to="zhou@example.org")
    assert [one["channel"] for one in mails] == ["EMAIL"]
    tokens = {token_for(cloud, other.phone), token_for(cloud, "zhou@example.org")}
    assert len(tokens) == 2
    seen = [str(sender.get(contract_id)), str(sender.call.SearchContracts(pb.SearchContractsRequest()))]
    seen += [str(office.operator("InspectContract", pb.InspectContractRequest(contract_id=contract_id)))]
    seen += [json.dumps(spooled(cloud, to=sender.phone))]
    assert not any(token in text for token in tokens for text in seen)
    assert spooled(cloud, to=sender.phone) == []


@pytest.mark.req("R130")
def test_a_link_without_signing_in_shows_nothing_and_neither_does_signing_in(
    cloud: RunningCloud, office: Office
) -> None:
    sender = office.person()
    invited = office.person(person=new_citizen(email="invited@example.org"))
    contract_id = sent_contract(
        cloud, sender, [myself(), stranger(invited.name, email="invited@example.org")]
    )
    token = token_for(cloud, "invited@example.org")
    with cloud.public_channel() as channel:
        nobody = ContractServiceStub(channel)
        for call, request in (
            (nobody.OpenInvitation, pb.OpenInvitationRequest(token=token)),
            (nobody.GetContract, pb.GetContractRequest(contract_id=contract_id)),
        ):
            assert refused(call, request)[0] is grpc.StatusCode.UNAUTHENTICATED
    # Signed in, without the link.
    assert refused(invited.call.GetContract, pb.GetContractRequest(contract_id=contract_id))[0] is DENIED
    assert invited.found() == []
    # Both: now it is theirs, once and for all; the link is used up.
    open_link(cloud, invited, address="invited@example.org")
    assert invited.get(contract_id).details.title
    assert invited.found(awaiting_me=True) == [contract_id]
    code, info = refused(invited.call.OpenInvitation, pb.OpenInvitationRequest(token=token))
    assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "INVITATION_INVALID")


@pytest.mark.req("R131")
def test_the_verified_name_must_be_the_invited_one(cloud: RunningCloud, office: Office) -> None:
    sender, wrong = office.person(), office.person(person=new_citizen(name="赵别人"))
    right = office.person(person=new_citizen(name="欧阳·明"), real=False)
    contract_id = sent_contract(cloud, sender, [myself(), stranger("欧阳·明", "+8613977770077")])
    token = token_for(cloud, "+8613977770077")
    request = pb.OpenInvitationRequest(token=token)
    code, info = refused(wrong.call.OpenInvitation, request)
    assert (code, info.reason) == (PRECONDITION, "PARTY_IDENTITY_MISMATCH")
    assert refused(wrong.call.GetContract, pb.GetContractRequest(contract_id=contract_id))[0] is DENIED
    code, info = refused(right.call.OpenInvitation, request)
    assert (code, info.reason) == (PRECONDITION, "REAL_NAME_REQUIRED")
    verified(cloud, right.signed_in)
    right.call.OpenInvitation(request)
    assert right.get(contract_id).parties[1].is_me


def test_a_number_that_changed_hands_shows_nothing_to_its_new_owner(
    cloud: RunningCloud, office: Office
) -> None:
    sender, owner = office.person(), office.person()
    contract_id = sent_contract(cloud, sender, [myself(), stranger("钱旧主", owner.phone)])
    assert owner.found() == []
    token = token_for(cloud, owner.phone)
    request = pb.OpenInvitationRequest(token=token)
    for _ in range(MAX_LINK_TRIES):
        assert refused(owner.call.OpenInvitation, request)[1].reason == "PARTY_IDENTITY_MISMATCH"
    assert refused(owner.call.OpenInvitation, request)[1].reason == "INVITATION_INVALID"
    assert refused(owner.call.GetContract, pb.GetContractRequest(contract_id=contract_id))[0] is DENIED


@pytest.mark.req("R132")
def test_nobody_signs_what_was_not_read_whole(cloud: RunningCloud, office: Office) -> None:
    sender, other = office.person(), office.person()
    contract_id = sent_contract(cloud, sender, [myself(), other], content=pdf_samples.plain(10))
    found = other.get(contract_id)
    sha256 = found.contract.document_sha256
    assert list(found.pages_to_read) == list(range(1, 11))
    read = pb.MarkReadRequest(contract_id=contract_id, document_sha256=sha256)
    for number in range(1, 10):
        _, first = other.page(contract_id, number)
        assert first.document_sha256 == sha256
    code, info = refused(other.call.MarkRead, read)
    assert (code, info.reason, info.metadata["pages"]) == (PRECONDITION, "CONTRACT_NOT_READ", "1")
    with pytest.raises(Exception, match="read"):
        sign(cloud, other, contract_id)
    other.page(contract_id, 10)
    stale = pb.MarkReadRequest(contract_id=contract_id, document_sha256=found.contract.upload_sha256)
    assert refused(other.call.MarkRead, stale)[1].reason == "CONTRACT_DOCUMENT_OTHER"
    other.call.MarkRead(read)
    found = other.get(contract_id)
    assert found.parties[1].state == pb.CONTRACT_PARTY_STATE_READ_CONFIRMED
    assert found.parties[1].HasField("read_time")
    sign(cloud, other, contract_id)
    # The digest of what was shown stands in the chain.
    events = cloud.operator.call(cloud.operator.audit.ListAuditEvents, audit_request(contract_id)).events
    told = [str(one.facts) for one in events if one.action == "contracts.mark_read"]
    assert sha256.hex() in told[0]


def audit_request(contract_id: str) -> audit_service_pb2.ListAuditEventsRequest:
    return audit_service_pb2.ListAuditEventsRequest(filter=f'subject = "contracts/{contract_id}"')


@pytest.mark.req("R134")
def test_declining_needs_a_reason_and_ends_it_and_so_does_withdrawing(
    cloud: RunningCloud, office: Office
) -> None:
    sender, one, two = office.person(), office.person(), office.person()
    contract_id = sent_contract(cloud, sender, [myself(), one, two])
    blank = pb.DeclineContractRequest(contract_id=contract_id, reason="  ")
    assert refused(one.call.DeclineContract, blank)[1].reason == "CONTRACT_REASON_REQUIRED"
    one.call.DeclineContract(pb.DeclineContractRequest(contract_id=contract_id, reason="金额不对"))
    found = sender.get(contract_id)
    assert found.contract.state == pb.CONTRACT_STATE_DECLINED
    assert found.parties[1].decline_reason == "金额不对"
    wait_for(cloud, to=sender.phone, template="contract_declined")
    wait_for(cloud, to=two.phone, template="contract_declined")
    assert spooled(cloud, to=one.phone, template="contract_declined") == []
    for call, request in (
        (two.call.DeclineContract, pb.DeclineContractRequest(contract_id=contract_id, reason="also")),
        (sender.call.WithdrawContract, pb.WithdrawContractRequest(contract_id=contract_id)),
        (sender.call.SendContract, pb.SendContractRequest(contract_id=contract_id)),
        (sender.call.RemindParties, pb.RemindPartiesRequest(contract_id=contract_id)),
    ):
        assert refused(call, request)[1].reason == "CONTRACT_STATE"

    contract_id = sent_contract(cloud, sender, [myself(), one, two])
    one.read(contract_id)
    sign(cloud, one, contract_id)
    assert (
        refused(two.call.WithdrawContract, pb.WithdrawContractRequest(contract_id=contract_id))[0] is DENIED
    )
    sender.call.WithdrawContract(pb.WithdrawContractRequest(contract_id=contract_id))
    assert two.get(contract_id).contract.state == pb.CONTRACT_STATE_WITHDRAWN
    wait_for(cloud, to=two.phone, template="contract_withdrawn")
    wait_for(cloud, to=one.phone, template="contract_withdrawn")
    # After completion nothing is taken back.
    contract_id = concluded(cloud, sender, [one])
    request = pb.WithdrawContractRequest(contract_id=contract_id)
    assert refused(sender.call.WithdrawContract, request)[1].reason == "CONTRACT_STATE"


def test_a_copy_begins_with_the_file_the_parties_and_the_marks(cloud: RunningCloud, office: Office) -> None:
    sender, other = office.person(), office.person()
    contract_id = sent_contract(cloud, sender, [myself(), other])
    copy = pb.CopyContractRequest(contract_id=contract_id)
    assert refused(sender.call.CopyContract, copy)[1].reason == "CONTRACT_STATE"
    sender.call.WithdrawContract(pb.WithdrawContractRequest(contract_id=contract_id))
    made = sender.call.CopyContract(copy).contract
    old, new = sender.get(contract_id), sender.get(made.contract_id)
    assert new.contract.state == pb.CONTRACT_STATE_DRAFT
    assert new.contract.copied_from == contract_id
    assert new.contract.upload_sha256 == old.contract.upload_sha256
    assert new.details == old.details
    assert [one.name for one in new.parties] == [one.name for one in old.parties]
    assert [one.box for one in new.marks] == [one.box for one in old.marks]
    send(sender, made.contract_id)
    assert other.found(awaiting_me=True) == [made.contract_id]


@pytest.mark.req("R173")
def test_it_awaits_exactly_those_whose_turn_it_is(cloud: RunningCloud, office: Office) -> None:
    sender, one, two, checker, reader = (office.person() for _ in range(5))
    contract_id = sent_contract(
        cloud,
        sender,
        [
            party(one, order=1),
            party(checker, order=1, role=APPROVER),
            party(two, order=2),
            myself(order=2),
            party(reader, role=CC),
        ],
    )

    def awaited() -> list[bool]:
        return [who.found(awaiting_me=True) == [contract_id] for who in (one, checker, two, sender)]

    assert awaited() == [True, True, False, False]
    assert spooled(cloud, to=two.phone) == []
    wait_for(cloud, to=reader.phone, template="contract_copy")
    assert refused(two.call.GetContract, pb.GetContractRequest(contract_id=contract_id))[0] is DENIED
    one.read(contract_id)
    assert awaited() == [True, True, False, False]
    sign(cloud, one, contract_id)
    assert awaited() == [False, True, False, False]
    request = pb.ApproveContractRequest(contract_id=contract_id, document_sha256=checker.read(contract_id))
    checker.call.ApproveContract(request)
    assert awaited() == [False, False, True, True]
    wait_for(cloud, to=two.phone, template="contract_invitation")
    assert refused(checker.call.ApproveContract, request)[1].reason in ("CONTRACT_NOT_YOUR_TURN",)
    for who in (two, sender):
        who.read(contract_id)
        sign(cloud, who, contract_id)
    assert awaited() == [False] * 4
    assert sender.get(contract_id).contract.state == pb.CONTRACT_STATE_COMPLETED
    for who in (one, checker, two, reader):
        wait_for(cloud, to=who.phone, template="contract_completed")
    kinds = [one.kind for one in sender.get(contract_id).timeline]
    assert kinds[0] == pb.CONTRACT_EVENT_KIND_CREATED
    assert kinds[-1] == pb.CONTRACT_EVENT_KIND_COMPLETED
    assert kinds.count(pb.CONTRACT_EVENT_KIND_SIGNED) == 3
    assert kinds.count(pb.CONTRACT_EVENT_KIND_APPROVED) == 1


def test_half_signed_documents_go_to_those_who_sign_alone(cloud: RunningCloud, office: Office) -> None:
    sender, other, reader = office.person(), office.person(), office.person()
    contract_id = sent_contract(
        cloud, sender, [myself(), party(other), party(reader, role=CC)], marks=[mark(1), mark(2)]
    )
    for who in (sender, other):
        content, first = who.download(contract_id)
        assert first.half_signed
        assert first.size_bytes == len(content)
    _, shown = reader.page(contract_id, 1)
    assert shown.shown_sha256 == shown.document_sha256
    request = pb.DownloadContractRequest(contract_id=contract_id, file=pb.CONTRACT_FILE_CURRENT)
    assert refused(reader.call.DownloadContract, request)[1].reason == "CONTRACT_NOT_COMPLETE"
    for who in (other, sender):
        who.read(contract_id)
        sign(cloud, who, contract_id)
    _, first = reader.download(contract_id)
    assert not first.half_signed


def test_reminders_bring_another_link(cloud: RunningCloud, office: Office) -> None:
    sender, invited = office.person(), office.person(person=new_citizen(name="吴提醒"))
    contract_id = sent_contract(cloud, sender, [myself(), stranger("吴提醒", "+8613977770088")])
    old = token_for(cloud, "+8613977770088")
    remind = pb.RemindPartiesRequest(contract_id=contract_id)
    code, info = refused(sender.call.RemindParties, remind)
    assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "CONTRACT_REMINDED")
    pass_time(cloud, timedelta(hours=13))
    sender, invited = again(office, sender), again(office, invited)
    assert sender.call.RemindParties(remind).reminded == 1
    new = token_for(cloud, "+8613977770088", template="contract_reminder")
    assert new != old
    assert refused(invited.call.OpenInvitation, pb.OpenInvitationRequest(token=old))[1].reason == (
        "INVITATION_INVALID"
    )
    pass_time(cloud, timedelta(days=3))
    job(cloud, "remind")
    newest = token_for(cloud, "+8613977770088", template="contract_reminder", count=2)
    again(office, invited).call.OpenInvitation(pb.OpenInvitationRequest(token=newest))
    assert job(cloud, "remind") == 0


@pytest.mark.req("R120")
def test_after_its_deadline_a_contract_has_expired_and_is_not_signed(
    cloud: RunningCloud, office: Office
) -> None:
    sender, other = office.person(), office.person()
    terms = pb.ContractTerms()
    past = pb.ContractTerms()
    past.deadline_time.FromDatetime(cloud.clock.now() - timedelta(minutes=1))
    assert refused(sender.call.UploadContract, upload_of(terms=past))[1].reason == "CONTRACT_DEADLINE"
    terms.deadline_time.FromDatetime(cloud.clock.now() + timedelta(hours=1))
    contract_id = sent_contract(cloud, sender, [myself(), other], terms=terms)
    other.read(contract_id)
    pass_time(cloud, timedelta(hours=1))
    sender, other = again(office, sender), again(office, other)
    # At once, whether or not anything has looked for it.
    assert other.found(awaiting_me=True) == []
    with pytest.raises(Exception, match="deadline"):
        sign(cloud, other, contract_id)
    decline = pb.DeclineContractRequest(contract_id=contract_id, reason="late")
    assert refused(other.call.DeclineContract, decline)[1].reason == "CONTRACT_EXPIRED"
    job(cloud, "expire")
    found = sender.get(contract_id)
    assert found.contract.state == pb.CONTRACT_STATE_EXPIRED
    assert {one.state for one in found.parties} == {pb.CONTRACT_PARTY_STATE_EXPIRED}
    wait_for(cloud, to=other.phone, template="contract_expired")
    assert refused(other.call.DeclineContract, decline)[1].reason == "CONTRACT_EXPIRED"
    with pytest.raises(Exception, match="deadline"):
        sign(cloud, other, contract_id)


def test_who_ends_an_account_leaves_no_contract_behind(cloud: RunningCloud, office: Office) -> None:
    sender, other = office.person(), office.person()
    open_id, draft_id = sent_contract(cloud, sender, [myself(), other]), draft(sender, [myself()])
    done_id = concluded(cloud, sender, [other])

    def end(connection: Connection, room: Room) -> None:
        core = core_of(cloud, room)
        ContractWatcher(Acts(core), Shelf(core)).deregistered(connection, sender.account_id)

    in_database(cloud, end)
    assert other.get(open_id).contract.state == pb.CONTRACT_STATE_WITHDRAWN
    assert other.get(done_id).contract.state == pb.CONTRACT_STATE_COMPLETED
    assert refused(sender.call.GetContract, pb.GetContractRequest(contract_id=draft_id))[0] is DENIED
