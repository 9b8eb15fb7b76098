"""Only a verified receipt confirms, and only what is confirmed and old enough is deleted; over bad networks.

The service lies on the wire, with its real keys where a lie needs them: a cloud in wrong hands.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cloud.attestations.deliverer import Deliverer
from cloud.attestations.receipts import sign_receipt
from cloud.authority import Authority
from edge.model import Position
from edge.outbox.records import RecordState
from edge.outbox.store import Outbox
from tests.support.bad_days import Field, open_field
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.field_office import FieldOffice, wait_until
from tests.support.haste import make_haste
from verifield.chain import ChainHead
from verifield.merkle import MerkleTree
from verifield.note import Checkpoint, parse_checkpoint, sign_checkpoint
from verifield.v1 import sync_service_pb2 as pb
from verifield.v1.bundle_pb2 import Envelope, Receipt
from verifield.wire import parse_time

pytestmark = pytest.mark.req("E051")

CONFIRMED = RecordState.CONFIRMED


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("cloud") / "data") as running:
        yield running


@pytest.fixture(autouse=True)
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    make_haste(monkeypatch.setattr)


@pytest.fixture
def field(cloud: RunningCloud, tmp_path: Path) -> Iterator[Field]:
    with open_field(cloud, tmp_path / "device") as opened:
        yield opened


def receipt_of(answer: pb.DeliverResponse) -> Receipt:
    return Receipt.FromString(Envelope.FromString(answer.receipt).payload)


def signed_anew(authority: Authority, answer: pb.DeliverResponse, **changes: Any) -> None:
    """Replace the receipt by one that says something else, signed by the real key."""
    receipt = receipt_of(answer)
    values = {
        "device_id": receipt.device_id,
        "head": ChainHead(receipt.chain_epoch, receipt.through_seq, receipt.head_sha256),
        "checkpoint": receipt.checkpoint,
    } | changes
    stamp = parse_time(receipt.server_time, what="time")
    answer.receipt = sign_receipt(authority.receipt_key, server_us=round(stamp.timestamp() * 1e6), **values)


class Lies:
    """Each spoils one answer that has a receipt. ``other_id``: of another device of the same cloud."""

    def __init__(self, authority: Authority, other_id: str) -> None:
        self._authority = authority
        self._other_id = other_id

    def forged_signature(self, answer: pb.DeliverResponse) -> None:
        envelope = Envelope.FromString(answer.receipt)
        envelope.signatures[0].sig = envelope.signatures[0].sig[:-1] + bytes(
            [envelope.signatures[0].sig[-1] ^ 1]
        )
        answer.receipt = envelope.SerializeToString()

    def changed_content(self, answer: pb.DeliverResponse) -> None:
        envelope = Envelope.FromString(answer.receipt)
        receipt = receipt_of(answer)
        receipt.server_time.seconds += 3600
        envelope.payload = receipt.SerializeToString(deterministic=True)
        answer.receipt = envelope.SerializeToString()

    def signed_by_the_log(self, answer: pb.DeliverResponse) -> None:
        answer.receipt_certificates[:] = answer.log_certificates

    def without_certificates(self, answer: pb.DeliverResponse) -> None:
        del answer.receipt_certificates[:]

    def of_another_device(self, answer: pb.DeliverResponse) -> None:
        signed_anew(self._authority, answer, device_id=self._other_id)

    def for_other_bytes(self, answer: pb.DeliverResponse) -> None:
        receipt = receipt_of(answer)
        signed_anew(
            self._authority, answer, head=ChainHead(receipt.chain_epoch, receipt.through_seq, bytes(32))
        )

    def for_records_that_nobody_made(self, answer: pb.DeliverResponse) -> None:
        receipt = receipt_of(answer)
        head = ChainHead(receipt.chain_epoch, receipt.through_seq + 9, receipt.head_sha256)
        signed_anew(self._authority, answer, head=head)

    def checkpoint_of_another_key(self, answer: pb.DeliverResponse) -> None:
        self._put_tree(answer, parse_checkpoint(receipt_of(answer).checkpoint), Ed25519PrivateKey.generate())

    def log_that_shrank(self, answer: pb.DeliverResponse) -> None:
        honest = parse_checkpoint(receipt_of(answer).checkpoint)
        tree = _other_tree(1)
        self._put_tree(answer, Checkpoint(honest.origin, tree.size, tree.root()))

    def log_with_another_past(self, answer: pb.DeliverResponse) -> None:
        honest = parse_checkpoint(receipt_of(answer).checkpoint)
        tree = _other_tree(honest.size + 5)
        self._put_tree(answer, Checkpoint(honest.origin, tree.size, tree.root()))

    def log_without_a_proof(self, answer: pb.DeliverResponse) -> None:
        del answer.consistency_hashes[:]

    def _put_tree(
        self, answer: pb.DeliverResponse, checkpoint: Checkpoint, key: Ed25519PrivateKey | None = None
    ) -> None:
        note = sign_checkpoint(checkpoint, key=key or self._authority.log_key)
        signed_anew(self._authority, answer, checkpoint=note)


def _other_tree(size: int) -> MerkleTree:
    tree = MerkleTree()
    for index in range(size):
        tree.append(index.to_bytes(32, "big"))
    return tree


@pytest.fixture
def lie(cloud: RunningCloud, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None, str], None]:
    """Let the service tell this lie (a name of Lies) with each receipt from now on; None ends it."""
    authority = Authority.open(cloud.data, server_names=("localhost",), now=cloud.clock.now())
    honest = Deliverer._answer
    now_told: list[str | None] = [None]
    about: list[str] = [""]

    async def answer(self: Deliverer, *arguments: Any, **options: Any) -> pb.DeliverResponse:
        response = await honest(self, *arguments, **options)
        if now_told[0] is not None and response.receipt:
            getattr(Lies(authority, about[0]), now_told[0])(response)
        return response

    monkeypatch.setattr(Deliverer, "_answer", answer)

    def choose(name: str | None, other_id: str) -> None:
        now_told[0], about[0] = name, other_id

    return choose


def states(office: FieldOffice) -> dict[Position, RecordState]:
    with office.recorder() as recorder:
        return {one.position: one.state for one in recorder.outbox.newest(limit=10_000)}


@pytest.fixture
def other_id(cloud: RunningCloud) -> str:
    return cloud.enroll().device_id


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("forged_signature", "RECEIPT_REFUSED"),
        ("changed_content", "RECEIPT_REFUSED"),
        ("signed_by_the_log", "RECEIPT_REFUSED"),
        ("without_certificates", "RECEIPT_REFUSED"),
        ("of_another_device", "RECEIPT_OTHER_DEVICE"),
        ("for_other_bytes", "RECEIPT_FORK"),
        ("for_records_that_nobody_made", "RECEIPT_AHEAD"),
        ("checkpoint_of_another_key", "RECEIPT_REFUSED"),
        ("log_that_shrank", "LOG_INCONSISTENT"),
        ("log_with_another_past", "LOG_INCONSISTENT"),
        ("log_without_a_proof", "LOG_INCONSISTENT"),
    ],
)
def test_a_lie_confirms_nothing_deletes_nothing_and_is_said(
    field: Field,
    lie: Callable[[str | None, str], None],
    other_id: str,
    name: str,
    code: str,
) -> None:
    office = field.office
    office.settings = office.settings.model_copy(update={"retention_days": 0.0})
    field.hear(office.verify(2))
    field.storm(turns=2)
    lie(name, other_id)
    before = set(states(office))
    field.hear(office.verify(3))
    field.storm(until=lambda: code in office.troubles, turns=2)
    found = states(office)
    assert before <= set(found)  # nothing was deleted
    assert all(found[at] is not CONFIRMED for at in set(found) - before)
    evidence = list((office.settings.data_dir / "outbox").glob("log-evidence-*.json"))
    assert bool(evidence) == (code == "LOG_INCONSISTENT")
    for path in evidence:
        notes = json.loads(path.read_bytes())
        assert parse_checkpoint(notes["seen"]) != parse_checkpoint(notes["shown"])
        assert path.stat().st_mode & 0o077 == 0
    lie(None, "")
    assert office.sync().trouble is None  # a person asks to look again
    field.promised.look(office)
    field.assert_at_rest()


class TestRetention:
    @pytest.fixture
    def patient(self, field: Field) -> Iterator[Field]:
        field.office.settings = field.office.settings.model_copy(update={"retention_days": 1.0})
        yield field
        field.cloud.clock.offset = timedelta()

    def test_records_are_deleted_one_retention_after_their_receipt_and_not_before(
        self, patient: Field
    ) -> None:
        office = patient.office
        patient.hear(office.verify(3))
        patient.storm()
        patient.cloud.clock.offset = timedelta(hours=23)
        patient.hear(office.verify())
        patient.storm()
        assert set(states(office)) == {Position(1, seq) for seq in range(1, 6)}
        patient.cloud.clock.offset = timedelta(hours=25)
        patient.hear(office.verify())
        patient.storm()
        assert set(states(office)) == {Position(1, 5), Position(1, 6)}
        shelf = patient.assert_at_rest()  # all that was deleted is there
        assert len(shelf.chain) == 6

    def test_what_has_no_receipt_is_never_deleted_however_old(
        self, patient: Field, lie: Callable[[str | None, str], None], other_id: str
    ) -> None:
        office = patient.office
        patient.storm(turns=1)
        lie("of_another_device", other_id)
        patient.hear(office.verify(2))
        patient.storm(until=lambda: "RECEIPT_OTHER_DEVICE" in office.troubles, turns=1)
        patient.cloud.clock.offset = timedelta(days=20)
        with pytest.MonkeyPatch.context() as patch:  # not even where the device is told to
            patch.setattr("edge.delivery._retention", lambda *_: timedelta(0))
            patient.storm(until=lambda: True, turns=1)
        assert set(states(office)) >= {Position(1, 2), Position(1, 3)}
        lie(None, "")
        assert office.sync().trouble is None
        patient.promised.look(office)
        patient.assert_at_rest()

    def test_a_power_cut_in_the_middle_of_a_deletion_costs_nothing(
        self, patient: Field, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        office = patient.office
        patient.hear(office.verify(4))
        patient.storm(turns=1)
        real, calls = Outbox.purge, threading.Semaphore(2)

        def purge(self: Outbox, **options: Any) -> int:
            if calls.acquire(blocking=False):
                raise KeyboardInterrupt  # what ends a process between the receipt and the deletion
            return real(self, **options)

        monkeypatch.setattr(Outbox, "purge", purge)
        patient.cloud.clock.offset = timedelta(days=2)
        patient.hear(office.verify())
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                office.sync()
            patient.hear(office.verify())
        patient.storm(turns=1)
        wait_until(lambda: len(states(office)) <= 3)
        patient.assert_at_rest()
