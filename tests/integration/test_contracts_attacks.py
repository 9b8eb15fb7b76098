"""Contracts and those who want more of them than is theirs."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from datetime import timedelta
from unittest.mock import patch

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Connection, select
from typer.testing import CliRunner

from cloud.cli import app as commands
from cloud.contracts import files, sending
from cloud.contracts.turns import digest_of
from cloud.store import schema
from tests.support import pdf_samples
from tests.support.accounts import Room, in_database, new_citizen, sign_in
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.contracts import (
    CC,
    Office,
    Somebody,
    concluded,
    contracting,
    draft,
    job,
    mark,
    myself,
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
from verifield.v1 import contract_service_pb2 as pb
from verifield.v1 import signing_service_pb2 as signing_pb

DENIED = grpc.StatusCode.PERMISSION_DENIED
INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("cloud"), write_calls_per_minute=100_000) as running:
        yield running


@pytest.fixture(scope="module")
def office(cloud: RunningCloud) -> Iterator[Office]:
    with contracting(cloud) as made:
        yield made


@pytest.fixture(scope="module")
def sender(office: Office) -> Somebody:
    return office.person()


@pytest.fixture(scope="module")
def other(office: Office) -> Somebody:
    return office.person()


def decline_of(contract_id: str) -> pb.DeclineContractRequest:
    return pb.DeclineContractRequest(contract_id=contract_id, reason="I do not like it")


def test_who_is_only_told_of_a_contract_does_not_end_it(
    cloud: RunningCloud, office: Office, sender: Somebody, other: Somebody
) -> None:
    reader = office.person()
    contract_id = sent_contract(
        cloud, sender, [myself(), other, party(reader, role=CC)], marks=[mark(1), mark(2)]
    )
    reader.page(contract_id, 1)
    code, info = refused(reader.call.DeclineContract, decline_of(contract_id))
    assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CONTRACT_NOT_YOUR_TURN")
    assert sender.get(contract_id).contract.state == pb.CONTRACT_STATE_SENT
    # Nor does who has signed.
    other.read(contract_id)
    sign(cloud, other, contract_id)
    assert refused(other.call.DeclineContract, decline_of(contract_id))[1].reason == "CONTRACT_STATE"
    assert sender.get(contract_id).contract.state == pb.CONTRACT_STATE_PARTIALLY_SIGNED


def test_of_two_people_with_one_name_the_one_who_was_meant_opens_it(
    cloud: RunningCloud, office: Office, sender: Somebody
) -> None:
    """The sender knows the account, whose holder was not verified yet; the link is handed on."""
    meant = office.person(person=new_citizen(name="张同名"), real=False)
    namesake = office.person(person=new_citizen(name="张同名"))
    contract_id = sent_contract(cloud, sender, [myself(), party(meant, by="account_id")])
    request = pb.OpenInvitationRequest(token=token_for(cloud, meant.phone))
    assert refused(namesake.call.OpenInvitation, request)[1].reason == "PARTY_IDENTITY_MISMATCH"
    assert refused(namesake.call.GetContract, pb.GetContractRequest(contract_id=contract_id))[0] is DENIED


def test_a_link_counts_for_one_and_once(cloud: RunningCloud, office: Office, sender: Somebody) -> None:
    address = "link@example.org"
    first, second = (office.person(person=new_citizen(name="王同名")) for _ in range(2))
    contract_id = sent_contract(cloud, sender, [myself(), stranger("王同名", email=address)])
    request = pb.OpenInvitationRequest(token=token_for(cloud, address))
    first.call.OpenInvitation(request)
    for who in (first, second, sender):
        assert refused(who.call.OpenInvitation, request)[1].reason == "INVITATION_INVALID"
    assert refused(second.call.GetContract, pb.GetContractRequest(contract_id=contract_id))[0] is DENIED
    # A reminder's link does not hand it to another namesake either.
    pass_time(cloud, timedelta(hours=13))
    try:
        again = office.as_somebody(sign_in(cloud, sender.signed_in))
        again.call.RemindParties(pb.RemindPartiesRequest(contract_id=contract_id))
        token = token_for(cloud, first.phone, template="contract_reminder")
        thief = office.as_somebody(sign_in(cloud, second.signed_in))
        reminded = pb.OpenInvitationRequest(token=token)
        assert refused(thief.call.OpenInvitation, reminded)[1].reason == "PARTY_IDENTITY_MISMATCH"
    finally:
        pass_time(cloud, -timedelta(hours=13))


def test_a_link_is_kept_as_a_digest_alone_and_ends_with_the_deadline(
    cloud: RunningCloud, office: Office, sender: Somebody
) -> None:
    address = "late@example.org"
    late = office.person(person=new_citizen(name="孙来迟"))
    terms = pb.ContractTerms()
    terms.deadline_time.FromDatetime(cloud.clock.now() + timedelta(minutes=5))
    sent_contract(cloud, sender, [myself(), stranger("孙来迟", email=address)], terms=terms)
    token = token_for(cloud, address)

    def kept(connection: Connection, _room: Room) -> list[bytes]:
        column = schema.contract_parties.c.link_digest
        found = connection.execute(select(column).where(column.is_not(None)))
        return [bytes(one) for one in found.scalars()]

    assert digest_of(token) in in_database(cloud, kept)
    pass_time(cloud, timedelta(minutes=5))
    try:
        request = pb.OpenInvitationRequest(token=token)
        assert refused(late.call.OpenInvitation, request)[1].reason == "CONTRACT_EXPIRED"
        assert late.found() == []
    finally:
        pass_time(cloud, -timedelta(minutes=5))


def test_what_has_ended_is_read_whole_by_who_had_not_opened_it(
    cloud: RunningCloud, office: Office, sender: Somebody, other: Somebody
) -> None:
    reader = office.person()
    contract_id = sent_contract(
        cloud, sender, [myself(), other, party(reader, role=CC)], marks=[mark(1), mark(2)]
    )
    sender.call.WithdrawContract(pb.WithdrawContractRequest(contract_id=contract_id))
    for who in (other, reader):
        before = who.get(contract_id)
        picture, _ = who.page(contract_id, 1)
        assert picture.startswith(b"\x89PNG")
        assert who.get(contract_id) == before


def test_where_the_sender_files_it_is_shown_to_the_sender_alone(
    cloud: RunningCloud, office: Office, sender: Somebody, other: Somebody
) -> None:
    contract_id = sent_contract(
        cloud, sender, [myself(), other], title="Fishing rights", folder="Problem cases", tags=["cheat"]
    )
    found = other.get(contract_id).details
    assert (found.title, found.folder, list(found.tags)) == ("Fishing rights", "", [])
    listed = other.call.SearchContracts(pb.SearchContractsRequest(text="fishing")).entries
    assert [one.contract.contract_id for one in listed] == [contract_id]
    assert not listed[0].details.folder
    assert not listed[0].details.tags
    for filters in ({"text": "cheat"}, {"tag": "cheat"}, {"folder": "Problem cases"}):
        for awaiting in (False, True):
            assert other.found(**filters, awaiting_me=awaiting) == []
            assert sender.found(**filters, awaiting_me=awaiting) == [contract_id]
    assert sender.found(text="cheat fishing problem") == [contract_id]
    assert other.found(text="cheat fishing") == []
    assert other.found(text="fishing", awaiting_me=True) == [contract_id]
    # A text without a word finds nothing, not everything.
    assert sender.found(text="…!") == sender.found(party="·") == []


def test_what_is_not_said_about_the_terms_leaves_them(sender: Somebody) -> None:
    """Who only mends a title does not open a contract to all methods, nor away from its approval."""
    terms = pb.ContractTerms(
        allowed_methods=[signing_pb.SIGN_METHOD_FACE], review_required=True, time_zone="America/Lima"
    )
    contract_id = draft(sender, [myself()], terms=terms)
    request = pb.UpdateContractRequest(contract_id=contract_id, details=pb.ContractDetails(title="T"))
    found = sender.call.UpdateContract(request).contract
    assert list(found.allowed_methods) == [signing_pb.SIGN_METHOD_FACE]
    assert found.review_required
    assert found.time_zone == "America/Lima"
    request.terms.SetInParent()
    found = sender.call.UpdateContract(request).contract
    assert len(found.allowed_methods) == 3
    assert (found.review_required, found.time_zone) == (False, "Asia/Shanghai")


def test_a_time_zone_is_one_that_there_is(sender: Somebody) -> None:
    for name in ("Europe/Atlantis", "America", "../etc/passwd", "/etc/passwd", "x" * 65):
        terms = pb.ContractTerms(time_zone=name)
        assert refused(sender.call.UploadContract, upload_of(terms=terms))[0] is INVALID, name


def test_numbers_that_are_none_and_times_that_never_come_are_refused(sender: Somebody) -> None:
    contract_id = draft(sender, [myself()])
    for x in (math.nan, math.inf, -1.0):
        request = pb.PlaceMarksRequest(contract_id=contract_id, marks=[mark(1, x=x)])
        assert refused(sender.call.PlaceMarks, request)[0] is INVALID, x
    never = Timestamp(seconds=2**62)
    for request in (
        pb.SearchContractsRequest(from_time=never),
        pb.SearchContractsRequest(until_time=Timestamp(seconds=-(2**62))),
    ):
        assert refused(sender.call.SearchContracts, request)[0] is INVALID
    terms = pb.ContractTerms(deadline_time=never)
    assert refused(sender.call.UploadContract, upload_of(terms=terms))[0] is INVALID


def test_a_sender_is_not_another_party_too(office: Office, sender: Somebody) -> None:
    contract_id = draft(sender, [myself()])
    for again in (
        party(sender),
        party(sender, by="account_id"),
        stranger(sender.name, sender.phone, role=CC),
    ):
        request = pb.SetPartiesRequest(contract_id=contract_id, parties=[myself(), again])
        assert refused(sender.call.SetParties, request)[1].reason == "PARTY_DUPLICATE"
    namesake = office.person(person=new_citizen(name=sender.name))
    for other in (party(namesake), party(namesake, by="account_id")):
        sender.call.SetParties(pb.SetPartiesRequest(contract_id=contract_id, parties=[myself(), other]))


def test_nobody_is_flooded_with_invitations(cloud: RunningCloud, office: Office) -> None:
    sender = office.person()
    with patch.object(sending, "MAX_SENT", 2):
        first, _ = (send(sender, draft(sender, [myself()])) for _ in range(2))
        contract_id = draft(sender, [myself()])
        request = pb.SendContractRequest(contract_id=contract_id)
        # Taking one back makes no room: its messages have left.
        sender.call.WithdrawContract(pb.WithdrawContractRequest(contract_id=first))
        code, info = refused(sender.call.SendContract, request)
        assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "CONTRACT_SENT_TOO_MANY")
        pass_time(cloud, timedelta(days=1))
        try:
            office.as_somebody(sign_in(cloud, sender.signed_in)).call.SendContract(request)
        finally:
            pass_time(cloud, -timedelta(days=1))


def test_an_upload_that_is_cut_or_wrong_leaves_nothing(cloud: RunningCloud, sender: Somebody) -> None:
    before = sender.found(page_size=100)
    whole = list(upload_of(pdf_samples.plain(2)))
    empty: list[pb.UploadContractRequest] = []
    for messages in (empty, whole[:1], whole[1:], [pb.UploadContractRequest()], [whole[0], whole[0]]):
        assert refused(sender.call.UploadContract, iter(messages))[0] is INVALID
    cut = whole[1].chunk[:-200]
    messages = [whole[0], pb.UploadContractRequest(chunk=cut)]
    code, info = refused(sender.call.UploadContract, iter(messages))
    assert (code, info.reason) == (INVALID, "CONTRACT_PDF_REFUSED")
    assert sender.found(page_size=100) == before


@pytest.mark.parametrize("sent", [0, 1, 2])
def test_an_upload_that_stands_still_is_ended(
    sender: Somebody, monkeypatch: pytest.MonkeyPatch, sent: int
) -> None:
    """Before its header, before its content, and within it."""
    monkeypatch.setattr(files, "PIECE_WAIT_S", 0.1)
    over = threading.Event()

    def slow() -> Iterator[pb.UploadContractRequest]:
        yield from list(upload_of())[:sent]
        over.wait(60)

    code, info = refused(sender.call.UploadContract, slow())
    over.set()
    assert (code, info.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "STREAM_IDLE")


def test_an_ended_account_leaves_the_contracts_of_others_whole(cloud: RunningCloud, office: Office) -> None:
    """A party, and a sender, whose personal data was erased: those who are left have all of the contract."""
    sender, other = office.person(), office.person()
    contract_id = concluded(cloud, sender, [other])
    waiting = sent_contract(cloud, other, [myself(), sender])
    whole, file = other.get(contract_id), other.download(contract_id)[0]
    done = CliRunner().invoke(
        commands, ["persons", "erase", sender.account_id, "--yes", "--data", str(cloud.data)]
    )
    assert done.exit_code == 0, done.output
    left = other.get(contract_id)
    assert [one.name for one in left.parties] == [one.name for one in whole.parties]
    assert left.details == whole.details
    assert other.download(contract_id)[0] == file
    assert other.page(contract_id, 1)[0].startswith(b"\x89PNG")
    # What waits for who was erased: reminding fails nobody, and the deadline ends it.
    pass_time(cloud, timedelta(days=4))
    try:
        job(cloud, "remind")
        pass_time(cloud, timedelta(days=27))
        job(cloud, "expire")
        again = office.as_somebody(sign_in(cloud, other.signed_in))
        assert again.get(waiting).contract.state == pb.CONTRACT_STATE_EXPIRED
    finally:
        pass_time(cloud, -timedelta(days=31))
