"""Without a time-stamp nothing is signed silently; and when the service dies, nothing is lost."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509

from cloud.signatures import jobs
from tests.support.accounts import SignedIn, as_account
from tests.support.cloud import FakeClock, RunningCloud, running_cloud
from tests.support.cloud_process import begin as begin_process
from tests.support.cloud_process import ready
from tests.support.organisations import approved_seal, grant_seal, verified_organisation
from tests.support.signing import (
    SEAL,
    Sent,
    Started,
    ask_code,
    begin,
    contract_of,
    contracts,
    download,
    look,
    mark,
    open_invitation,
    self_party,
    send,
    sent_contract,
    sign_request,
    sign_with_code,
    signer_of,
    signing,
    signing_refused,
    start,
    unverify,
)
from tests.support.stamp_server import StampServer, running_stamps
from verifield.documents.judging import judge
from verifield.documents.verdict import Outcome
from verifield.v1 import contract_service_pb2 as contract_pb
from verifield.v1 import seal_service_pb2 as seal_pb
from verifield.v1 import signing_service_pb2 as pb
from verifield.v1.seal_service_pb2_grpc import SealServiceStub

WITHIN_S = 60.0


@pytest.fixture(scope="module")
def stamps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StampServer]:
    with running_stamps(tmp_path_factory.mktemp("stamps")) as running:
        yield running


@pytest.fixture(scope="module")
def cloud(
    tmp_path_factory: pytest.TempPathFactory, stamps: StampServer, haste: None
) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("stamped"), **stamps.settings) as running:
        yield running


@pytest.fixture(scope="module")
def haste() -> Iterator[None]:
    """What signing does by itself, it does at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "MAKE_EVERY_S", 0.2)
        patch.setattr(jobs, "EXPIRE_EVERY_S", 0.2)
        yield


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def state_of(cloud: RunningCloud, who: SignedIn, signing_id: str) -> pb.Signing:
    return signing(cloud, who, "GetSigning", pb.GetSigningRequest(signing_id=signing_id)).signing


def outcome(cloud: RunningCloud, stamps: StampServer, content: bytes) -> Outcome:
    roots = x509.load_pem_x509_certificates(cloud.root_pem)
    stamp_roots = x509.load_pem_x509_certificates(stamps.roots.read_bytes())
    at = cloud.clock.now() + timedelta(minutes=1)
    return judge(content, roots=roots, at=at, stamp_roots=stamp_roots).outcome


@pytest.mark.req("R156")
def test_without_a_time_stamp_a_signature_waits_and_is_made_by_itself(
    cloud: RunningCloud, stamps: StampServer
) -> None:
    sender = signer_of(cloud)
    sent = sent_contract(cloud, sender, [])
    started = begin(cloud, sender, sent)
    code = ask_code(cloud, sender, started.signing.signing_id)
    stamps.away = True
    told = signing(cloud, sender, "Sign", sign_request(started, sms_code=code)).signing
    assert (told.state, told.reason) == (pb.SIGNING_STATE_TIMESTAMP_PENDING, "TIMESTAMP_UNAVAILABLE")
    assert told.method == pb.SIGN_METHOD_SMS_CODE
    found = contract_of(cloud, sender, sent.contract_id)
    assert found.contract.timestamp_pending
    assert found.contract.state == contract_pb.CONTRACT_STATE_SENT
    assert found.contract.revision_no == 0

    stamps.away = False
    cloud.clock.offset += timedelta(minutes=1)
    stamps.offset = cloud.clock.offset
    until(lambda: state_of(cloud, sender, told.signing_id).state == pb.SIGNING_STATE_SIGNED)
    assert contract_of(cloud, sender, sent.contract_id).contract.state == contract_pb.CONTRACT_STATE_COMPLETED
    content = download(cloud, sender, sent.contract_id)
    assert outcome(cloud, stamps, content) is Outcome.VALID


def test_a_time_stamp_that_is_off_by_more_than_a_minute_is_none(
    cloud: RunningCloud, stamps: StampServer
) -> None:
    sender = signer_of(cloud)
    stamps.offset = cloud.clock.offset
    sent = sent_contract(cloud, sender, [])
    stamps.offset = cloud.clock.offset + timedelta(minutes=5)
    told = sign_with_code(cloud, sender, sent)
    stamps.offset = cloud.clock.offset
    assert told.state == pb.SIGNING_STATE_TIMESTAMP_PENDING


def test_a_contract_that_is_withdrawn_meanwhile_is_not_signed(
    cloud: RunningCloud, stamps: StampServer
) -> None:
    sender = signer_of(cloud)
    stamps.offset = cloud.clock.offset
    sent = sent_contract(cloud, sender, [])
    stamps.away = True
    told = sign_with_code(cloud, sender, sent)
    contracts(
        cloud, sender, "WithdrawContract", contract_pb.WithdrawContractRequest(contract_id=sent.contract_id)
    )
    stamps.away = False
    cloud.clock.offset += timedelta(minutes=1)
    stamps.offset = cloud.clock.offset
    until(lambda: state_of(cloud, sender, told.signing_id).state == pb.SIGNING_STATE_FAILED)
    assert state_of(cloud, sender, told.signing_id).reason == "CONTRACT_STATE"
    found = contract_of(cloud, sender, sent.contract_id)
    assert (found.contract.revision_no, found.contract.timestamp_pending) == (0, False)


@pytest.mark.req("R156")
def test_a_signature_waits_no_longer_than_the_deadline(cloud: RunningCloud, stamps: StampServer) -> None:
    sender = signer_of(cloud)
    stamps.offset = cloud.clock.offset
    deadline = contract_pb.ContractTerms()
    deadline.deadline_time.FromDatetime(cloud.clock.now() + timedelta(minutes=20))
    sent = sent_contract(cloud, sender, [], terms=deadline)
    stamps.away = True
    told = sign_with_code(cloud, sender, sent)
    assert told.state == pb.SIGNING_STATE_TIMESTAMP_PENDING
    cloud.clock.offset += timedelta(minutes=21)
    until(lambda: state_of(cloud, sender, told.signing_id).state == pb.SIGNING_STATE_FAILED)
    stamps.away, stamps.offset = False, cloud.clock.offset
    assert state_of(cloud, sender, told.signing_id).reason == "TIMESTAMP_UNAVAILABLE"
    assert contract_of(cloud, sender, sent.contract_id).contract.revision_no == 0


def test_nobody_signs_behind_the_deadline_because_somebody_waits(
    cloud: RunningCloud, stamps: StampServer
) -> None:
    """The contract is kept open for who has authenticated, and for nobody else."""
    sender, other = signer_of(cloud), signer_of(cloud)
    stamps.offset = cloud.clock.offset
    terms = contract_pb.ContractTerms()
    terms.deadline_time.FromDatetime(cloud.clock.now() + timedelta(minutes=4))
    sent = sent_contract(cloud, sender, [other], terms=terms)
    open_invitation(cloud, other)
    late = begin(cloud, other, sent)
    code = ask_code(cloud, other, late.signing.signing_id)
    stamps.away = True
    waiting = sign_with_code(cloud, sender, sent)
    assert waiting.state == pb.SIGNING_STATE_TIMESTAMP_PENDING
    cloud.clock.offset += timedelta(minutes=4, seconds=1)
    stamps.away, stamps.offset = False, cloud.clock.offset
    info = signing_refused(cloud, other, "Sign", sign_request(late, sms_code=code))
    assert info.reason == "CONTRACT_EXPIRED"
    until(lambda: state_of(cloud, sender, waiting.signing_id).state == pb.SIGNING_STATE_FAILED)
    assert state_of(cloud, sender, waiting.signing_id).reason == "TIMESTAMP_UNAVAILABLE"
    assert contract_of(cloud, sender, sent.contract_id).contract.revision_no == 0


@pytest.mark.req("R171")
def test_a_grant_that_is_revoked_between_the_code_and_the_signature_seals_nothing(
    cloud: RunningCloud, stamps: StampServer
) -> None:
    stamps.offset = cloud.clock.offset
    admin, clerk = signer_of(cloud), signer_of(cloud)
    organisation_id = verified_organisation(cloud, admin)
    seal_id = approved_seal(cloud, admin, organisation_id)
    grant_id = grant_seal(cloud, admin, seal_id, clerk)
    party = contract_pb.NewParty(
        organisation=contract_pb.PartyOrganisation(
            name="杭州示例网络科技有限公司", organisation_id=organisation_id, phone=clerk.person.phone
        ),
        role=contract_pb.CONTRACT_PARTY_ROLE_SIGNER,
        order=1,
    )
    sent = send(cloud, admin, [self_party(), party], [mark(1), mark(2, SEAL, row=2)])
    open_invitation(cloud, clerk, organisation_id=organisation_id)
    stamps.away = True
    told = sign_with_code(cloud, clerk, sent, seal_id=seal_id)
    assert told.state == pb.SIGNING_STATE_TIMESTAMP_PENDING
    with as_account(cloud, admin) as stub:
        stub(SealServiceStub).RevokeSealGrant(seal_pb.RevokeSealGrantRequest(grant_id=grant_id))
    stamps.away = False
    cloud.clock.offset += timedelta(minutes=1)
    stamps.offset = cloud.clock.offset
    until(lambda: state_of(cloud, clerk, told.signing_id).state == pb.SIGNING_STATE_FAILED)
    assert state_of(cloud, clerk, told.signing_id).reason in ("SEAL_NOT_GRANTED", "CONTRACT_OTHERS")
    assert contract_of(cloud, admin, sent.contract_id).contract.revision_no == 0

    grant_seal(cloud, admin, seal_id, clerk)  # and who may again, signs
    cloud.clock.offset += timedelta(minutes=2)
    stamps.offset = cloud.clock.offset
    again = start(cloud, clerk, sent)
    confirmed = Started(again, *look(cloud, clerk, again.signing_id, seal_id=seal_id))
    code = ask_code(cloud, clerk, again.signing_id)
    done = signing(cloud, clerk, "Sign", sign_request(confirmed, sms_code=code)).signing
    assert done.state == pb.SIGNING_STATE_SIGNED


@pytest.mark.req("R116")
def test_who_is_not_verified_any_more_when_the_signature_is_made_signs_nothing(
    cloud: RunningCloud, stamps: StampServer
) -> None:
    sender = signer_of(cloud)
    stamps.offset = cloud.clock.offset
    sent = sent_contract(cloud, sender, [])
    stamps.away = True
    told = sign_with_code(cloud, sender, sent)
    unverify(cloud, sender)
    stamps.away = False
    cloud.clock.offset += timedelta(minutes=1)
    stamps.offset = cloud.clock.offset
    until(lambda: state_of(cloud, sender, told.signing_id).state == pb.SIGNING_STATE_FAILED)
    assert state_of(cloud, sender, told.signing_id).reason == "REAL_NAME_REQUIRED"
    assert contract_of(cloud, sender, sent.contract_id).contract.revision_no == 0


@pytest.mark.parametrize("question", [3])
def test_a_service_that_is_killed_while_it_signs_loses_and_doubles_nothing(
    tmp_path: Path, stamps: StampServer, question: int
) -> None:
    """Killed while the document is closed."""
    data = tmp_path / "data"
    stamps.offset = timedelta()
    settings = {
        "stamp_authorities": json.dumps([stamps.url]),
        "stamp_roots": str(stamps.roots),
        "stamp_timeout_s": "30",
        "require_durable_database": "false",
    }
    with ready(begin_process(data, settings), data) as served:
        sender, sent, request = _before_signing(served.cloud)
        stamps.silence(question)
        with ThreadPoolExecutor(1) as threads:
            call = threads.submit(signing, served.cloud, sender, "Sign", request)
            assert stamps.reached.wait(WITHIN_S)
            served.kill()
            with pytest.raises(grpc.RpcError):
                call.result(WITHIN_S)
    stamps.silence(0)
    stamps.offset = timedelta(minutes=2)
    clock = FakeClock(timedelta(minutes=2))
    with running_cloud(data, clock=clock, **stamps.settings) as cloud:
        until(lambda: state_of(cloud, sender, request.signing_id).state == pb.SIGNING_STATE_SIGNED)
        found = contract_of(cloud, sender, sent.contract_id)
        assert (found.contract.state, found.contract.revision_no) == (contract_pb.CONTRACT_STATE_COMPLETED, 1)
        listed = pb.ListSignaturesRequest(contract_id=sent.contract_id)
        assert len(signing(cloud, sender, "ListSignatures", listed).signatures) == 2
        assert outcome(cloud, stamps, download(cloud, sender, sent.contract_id)) is Outcome.VALID
        again = signing(cloud, sender, "Sign", request).signing  # the caller asks once more, to be sure
        assert again.state == pb.SIGNING_STATE_SIGNED


def _before_signing(cloud: RunningCloud) -> tuple[SignedIn, Sent, pb.SignRequest]:
    sender = signer_of(cloud)
    sent = sent_contract(cloud, sender, [])
    started = begin(cloud, sender, sent)
    code = ask_code(cloud, sender, started.signing.signing_id)
    return sender, sent, sign_request(started, sms_code=code)
