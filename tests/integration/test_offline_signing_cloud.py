"""Signed at a device that is away: the real device and the real service, and what goes wrong between them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import uuid_utils
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from edge.answers import PrivateField, SessionAnswers
from edge.app import open_identity, open_recorder, open_state
from edge.attest.clock import SystemClock, bounded_now
from edge.attest.media import seal_media
from edge.contracts.keeping import BEST_SHOT, SignatureKeeper
from edge.contracts.reading import begin_signing, open_document
from edge.errors import CloudError
from edge.model import Decision, Evidence, Outcome, Purpose
from edge.outbox.records import StoredRecord
from edge.rpc import FailureKind, RpcFailure
from edge.state.records import ItemKind
from edge.state.signatures import SignatureRow, SignatureState
from edge.state.store import StateStore
from edge.sync.ports import UplinkError
from edge.sync.uplink import GrpcUplink
from edge.tasks import WaitingTask, find_task
from tests.support.accounts import SignedIn
from tests.support.appliance import verified_evidence
from tests.support.bad_network import ROUGH, bad_network
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.field_office import FieldOffice, wait_until
from tests.support.haste import make_haste
from tests.support.reports import checked, get_report, roots_of
from tests.support.signing import (
    Sent,
    begin,
    contract_of,
    contracts,
    download,
    open_invitation,
    sent_contract,
    sign_with_code,
    signer_of,
    signing,
)
from verifield.v1 import contract_service_pb2 as contract_pb
from verifield.v1 import signing_service_pb2 as pb

SITE = "north"
COMPLETED, REFUSED = SignatureState.COMPLETED, SignatureState.REFUSED
VERIFIED = Decision(Outcome.VERIFIED, ())


@pytest.fixture(autouse=True)
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    make_haste(monkeypatch.setattr)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("offline") / "data") as running:
        yield running


@dataclass
class Village:
    """A device at a site, and two people with a contract: one has signed, the other is awaited there."""

    cloud: RunningCloud
    office: FieldOffice
    sender: SignedIn
    signer: SignedIn
    sent: Sent
    started: pb.Signing
    preview_hash: bytes
    key: bytes = field(
        default_factory=lambda: (
            X25519PrivateKey.generate().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        )
    )

    @property
    def task_id(self) -> str:
        return self.signing().task_id

    def hand_out(self) -> None:
        """The signer has looked at it at home, and will come to the site."""
        request = pb.StartOfflineSigningRequest(
            signing_id=self.started.signing_id, preview_hash=self.preview_hash, site_id=SITE
        )
        answer = signing(self.cloud, self.signer, "StartOfflineSigning", request)
        assert answer.signing.state == pb.SIGNING_STATE_AT_SITE

    def signing(self) -> pb.Signing:
        request = pb.GetSigningRequest(signing_id=self.started.signing_id)
        return signing(self.cloud, self.signer, "GetSigning", request).signing

    def state(self) -> contract_pb.ContractState.ValueType:
        return contract_of(self.cloud, self.sender, self.sent.contract_id).contract.state

    def withdraw(self) -> None:
        request = contract_pb.WithdrawContractRequest(contract_id=self.sent.contract_id)
        contracts(self.cloud, self.sender, "WithdrawContract", request)

    def sign(self, number: str = "") -> StoredRecord:
        """The person comes, reads the document, and has the face taken. ``number``: on their card."""
        settings = self.office.settings
        with open_recorder(settings) as recorder, open_state(settings, recorder.identity) as state:
            task = _task(state, self.started)
            now = bounded_now(SystemClock(), contact=state.contact()).likely
            open_document(state, task, at=now)
            keeper = SignatureKeeper(
                outbox=recorder.outbox,
                signatures=state.signatures,
                certificates=recorder.identity.attestation_certificates,
                task=task,
                about=begin_signing(state, task, at=now),
                new_id=lambda: str(uuid_utils.uuid7()),
                now=lambda: now,
            )

            def attest(evidence: Evidence, decision: Decision) -> StoredRecord:
                media = seal_media(evidence.media, recipient_key=self.key)
                return recorder.record(evidence, decision, media=media)

            seen = self._seen(task, number or self.signer.person.id_number)
            return keeper.around(attest)(seen, VERIFIED)

    def rows(self) -> list[SignatureRow]:
        settings = self.office.settings
        with open_state(settings, open_identity(settings)) as state:
            return state.signatures.all()

    def document(self) -> bytes | None:
        """What the device has of it."""
        settings = self.office.settings
        with open_state(settings, open_identity(settings)) as state:
            return state.documents.read(self.task_id, self.sent.document_sha256)

    def _seen(self, task: WaitingTask, number: str) -> Evidence:
        good = verified_evidence()
        assert good.document is not None
        return replace(
            good,
            document=replace(good.document, number=number),
            session=SessionAnswers(uuid.uuid4().bytes),
            media=(PrivateField(BEST_SHOT, b"a picture of a face"),),
            purpose=Purpose(task.nonce, task.task_id, task.number_salt),
        )


def _task(state: StateStore, started: pb.Signing) -> WaitingTask:
    bounds = bounded_now(SystemClock(), contact=state.contact())
    [found] = [
        task
        for item in state.items(ItemKind.CONTRACT)
        if (task := find_task(state, item.item_id, bounds)).subject_id == started.contract_id
    ]
    return found


def away(*_: Any, **__: Any) -> Any:
    raise UplinkError(RpcFailure(FailureKind.TRANSIENT, "CLOUD_AWAY", "The cloud cannot be reached."))


@pytest.fixture
def village(cloud: RunningCloud, tmp_path: Path) -> Village:
    return make_village(cloud, tmp_path)


def make_village(cloud: RunningCloud, folder: Path, **terms: Any) -> Village:
    office = FieldOffice.open(cloud, folder / "device", site=SITE)
    office.sync()
    sender, signer = signer_of(cloud), signer_of(cloud)
    sent = sent_contract(cloud, sender, [signer], **terms)
    sign_with_code(cloud, sender, sent)
    open_invitation(cloud, signer)
    started = begin(cloud, signer, sent)
    made = Village(cloud, office, sender, signer, sent, started.signing, started.preview_hash)
    made.hand_out()
    office.sync()  # the last time for a while: task and document are on the device
    return made


def document_elsewhere(village: Village, folder: Path) -> str:
    """Why a device of another site is not given the document."""
    other = FieldOffice.open(village.cloud, folder, site="south")
    uplink = GrpcUplink.open(open_identity(other.settings))
    try:
        with pytest.raises(UplinkError) as refused:
            uplink.get_task_document(village.task_id, sha256=village.sent.document_sha256, start=0)
    finally:
        uplink.close()
    return refused.value.failure.code


def test_who_signs_where_no_network_is_has_signed_once_there_is_one(village: Village, tmp_path: Path) -> None:
    document = village.document()
    assert document is not None
    assert sha256(document).digest() == village.sent.document_sha256
    assert document_elsewhere(village, tmp_path / "other") == "SIGN_TASK_NOT_FOUND"
    record = village.sign()
    assert [row.state for row in village.rows()] == [SignatureState.QUEUED]
    assert village.state() == contract_pb.CONTRACT_STATE_PARTIALLY_SIGNED
    village.office.sync()
    [row] = village.rows()
    assert (row.state, row.attestation_id, row.content) == (COMPLETED, record.attestation_id, b"")
    wait_until(lambda: village.state() == contract_pb.CONTRACT_STATE_COMPLETED)
    signed = village.signing()
    assert (signed.state, signed.method) == (pb.SIGNING_STATE_SIGNED, pb.SIGN_METHOD_FACE)
    village.office.sync()  # the task is over, and its document goes with it
    assert row.task_id not in village.office.tasks()
    assert village.document() is None
    # a third party finds the device's record, made for this task, in the evidence
    cloud, contract_id = village.cloud, village.sent.contract_id
    report, _ = get_report(cloud, village.signer, contract_id)
    found = checked(report, roots_of(cloud), download(cloud, village.sender, contract_id))
    *_, face = found.facts.signatures
    assert (face.method, face.evidence_id, face.task_id) == ("FACE", record.attestation_id, village.task_id)
    assert (face.device_id, found.missing) == (village.office.device_id, ())


def test_an_answer_that_is_lost_changes_nothing(village: Village, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = GrpcUplink.submit_signature, []

    def lost(uplink: GrpcUplink, request: pb.SubmitOfflineSignatureRequest) -> Any:
        calls.append(request)
        answer = real(uplink, request)
        return away() if len(calls) < 3 else answer

    village.sign()
    monkeypatch.setattr(GrpcUplink, "submit_signature", lost)
    for _ in range(2):
        with pytest.raises(CloudError):
            village.office.sync()
        assert [row.state for row in village.rows()] == [SignatureState.QUEUED]
    village.office.sync()
    assert [row.state for row in village.rows()] == [COMPLETED]
    assert len({one.SerializeToString(deterministic=True) for one in calls}) == 1
    wait_until(lambda: village.state() == contract_pb.CONTRACT_STATE_COMPLETED)
    revisions = contract_of(village.cloud, village.sender, village.sent.contract_id).revisions
    assert [one.party_number for one in revisions] == [0, 1, 2]


def killed_behind_the_record(village: Village) -> None:
    def killed(_keeper: SignatureKeeper) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SignatureKeeper, "_hand_over", killed)
        with pytest.raises(KeyboardInterrupt):
            village.sign()
    assert [row.state for row in village.rows()] == [SignatureState.PREPARED]


def test_killed_behind_the_record_it_is_handed_in_all_the_same(village: Village) -> None:
    killed_behind_the_record(village)
    village.office.sync()
    assert [row.state for row in village.rows()] == [COMPLETED]
    wait_until(lambda: village.state() == contract_pb.CONTRACT_STATE_COMPLETED)


def test_no_record_goes_while_a_signature_still_needs_it(village: Village) -> None:
    """With no retention at all, and another session under way, so that nothing is put together for now."""
    office = village.office
    office.settings = office.settings.model_copy(update={"retention_days": 0.0})
    killed_behind_the_record(village)
    with office.recorder() as recorder, recorder.outbox.open_for_sessions():
        for _ in range(2):  # its picture is delivered, too, when the second receipt comes
            office.sync()
            office.verify()
    office.sync()
    [row] = village.rows()
    assert row.state is COMPLETED
    office.verify()
    office.sync()
    with office.recorder() as recorder:
        assert recorder.outbox.get(row.attestation_id) is None


def test_over_a_network_that_cuts_connections_it_arrives_once(cloud: RunningCloud, tmp_path: Path) -> None:
    village = make_village(cloud, tmp_path)
    village.sign()
    with bad_network(cloud.endpoint.device_listen, seed=5) as network:
        village.office.go_through(device=network.endpoint)
        network.weather = ROUGH
        with village.office.daemon():
            weather = network.flap(5, turns=4, longest_s=0.2)
            weather.join()
            network.calm()
            wait_until(lambda: [row.state for row in village.rows()] == [COMPLETED])
    wait_until(lambda: village.state() == contract_pb.CONTRACT_STATE_COMPLETED)
    revisions = contract_of(cloud, village.sender, village.sent.contract_id).revisions
    assert [one.party_number for one in revisions] == [0, 1, 2]


def _withdrawn(village: Village) -> None:
    village.withdraw()


def _signed_at_home(village: Village) -> None:
    assert sign_with_code(village.cloud, village.signer, village.sent).state == pb.SIGNING_STATE_SIGNED


@pytest.mark.parametrize("meanwhile", [_withdrawn, _signed_at_home])
def test_what_was_decided_meanwhile_counts_and_the_operator_is_told_why(
    village: Village, meanwhile: Callable[[Village], None]
) -> None:
    village.sign()
    meanwhile(village)
    before = contract_of(village.cloud, village.sender, village.sent.contract_id)
    village.office.sync()
    [row] = village.rows()
    assert row.state is REFUSED
    assert row.reason.partition("/")[0] == "SIGN_TASK_OVER"
    assert row.reason.partition("/")[2]
    assert "SIGNATURE_REFUSED" in village.office.troubles
    after = contract_of(village.cloud, village.sender, village.sent.contract_id)
    assert (after.contract.state, list(after.revisions)) == (before.contract.state, list(before.revisions))
    village.office.sync()
    assert row.task_id not in village.office.tasks()
    assert village.rows() == [row]  # said once, and kept


def test_the_card_of_somebody_else_signs_nothing(village: Village) -> None:
    village.sign("11010519491231002X")
    village.office.sync()
    [row] = village.rows()
    assert (row.state, row.reason) == (REFUSED, "EVIDENCE_PERSON")
    assert village.state() == contract_pb.CONTRACT_STATE_PARTIALLY_SIGNED
    village.sign()  # the right person comes, while the task still waits
    village.office.sync()
    assert [row.state for row in village.rows()] == [COMPLETED]
    wait_until(lambda: village.state() == contract_pb.CONTRACT_STATE_COMPLETED)


def test_a_deadline_that_passes_meanwhile_is_a_refusal(tmp_path: Path) -> None:
    with running_cloud(tmp_path / "cloud") as cloud:
        terms = contract_pb.ContractTerms()
        terms.deadline_time.FromDatetime(cloud.clock.now() + timedelta(minutes=20))
        village = make_village(cloud, tmp_path, terms=terms)
        village.sign()
        cloud.clock.offset = timedelta(minutes=25)
        village.office.sync()
        [row] = village.rows()
        assert row.state is REFUSED
        assert row.reason
        assert village.state() in (
            contract_pb.CONTRACT_STATE_PARTIALLY_SIGNED,  # until the daily round looks at it
            contract_pb.CONTRACT_STATE_EXPIRED,
        )
