"""The rules of delivery as a table: what becomes of each envelope, without any I/O."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from cloud.attestations.ingest import Enrolled, Judgement, Record, Verdict, judge_batch, verify_record
from cloud.attestations.sync import MAX_BATCH_BYTES, MAX_BATCH_ENVELOPES, check_batch
from cloud.errors import Reason, ServiceError
from tests.support.authority import Authority, Device, new_key, sign_envelope, verification
from verifield.chain import ChainHead, envelope_sha256
from verifield.dsse import parse_envelope
from verifield.leaf import log_leaf
from verifield.merkle import leaf_hash
from verifield.statement import STATEMENT_TYPE, encode_statement
from verifield.v1 import sync_service_pb2 as pb
from verifield.v1.attestation_pb2 import KEY_PROTECTION_SOFTWARE, KEY_PROTECTION_TPM, Statement

ACCEPTED, HAVE, FORK = pb.DELIVER_STATUS_ACCEPTED, pb.DELIVER_STATUS_ALREADY_HAVE, pb.DELIVER_STATUS_FORK
ENROLLED = Enrolled(epoch=1, site_id="site-1", key_protection=KEY_PROTECTION_SOFTWARE)
EARLY, INVALID = pb.DELIVER_STATUS_OUT_OF_ORDER, pb.DELIVER_STATUS_INVALID


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture
def device(authority: Authority) -> Device:
    return authority.enroll("device-1")


def public_key(device: Device) -> ec.EllipticCurvePublicKey:
    return device.key.public_key()


def verified(device: Device, envelope: bytes) -> Record | Verdict:
    return verify_record(
        envelope, key=public_key(device), certificate_der=device.chain[0], device_id=device.device_id
    )


def records(device: Device, count: int) -> list[Record | Verdict]:
    return [verified(device, device.sign(verification(device))) for _ in range(count)]


def judge(
    batch: list[Record | Verdict],
    *,
    head: ChainHead | None = None,
    stored: dict[int, bytes] | None = None,
    used: tuple[str, ...] = (),
) -> Judgement:
    return judge_batch(batch, device=ENROLLED, head=head, stored=stored or {}, used_ids=used)


def statuses(judgement: Judgement) -> list[int]:
    return [verdict.status for verdict in judgement.verdicts]


def head_of(record: Record | Verdict) -> ChainHead:
    assert isinstance(record, Record)
    return ChainHead(1, record.statement.seq, record.sha256)


def test_a_verified_record_keeps_the_bytes_received_and_their_leaf(device: Device) -> None:
    envelope = device.sign(verification(device))
    record = verified(device, envelope)
    assert isinstance(record, Record)
    assert record.envelope == envelope
    assert record.sha256 == envelope_sha256(envelope)
    assert record.leaf == leaf_hash(log_leaf(parse_envelope(envelope), device.chain[0]))


def test_every_single_changed_byte_is_refused(device: Device) -> None:
    envelope = device.sign(verification(device))
    for place in range(0, len(envelope), 7):
        changed = bytearray(envelope)
        changed[place] ^= 0x40
        verdict = verified(device, bytes(changed))
        assert isinstance(verdict, Verdict), f"byte {place}"
        assert verdict.status == INVALID
        assert verdict.reason


def test_another_key_and_another_device_are_refused(authority: Authority, device: Device) -> None:
    payload = encode_statement(verification(device))
    forged = sign_envelope(payload, payload_type=STATEMENT_TYPE, key=new_key())
    assert verified(device, forged) == Verdict(INVALID, reason="SIGNATURE")
    other = authority.enroll("device-2")
    foreign = sign_envelope(
        encode_statement(verification(other)), payload_type=STATEMENT_TYPE, key=device.key
    )
    assert verified(device, foreign) == Verdict(INVALID, reason="OTHER_DEVICE")


def test_a_chain_in_order_is_accepted_and_moves_the_head(device: Device) -> None:
    batch = records(device, 3)
    judgement = judge(batch)
    assert statuses(judgement) == [ACCEPTED] * 3
    assert judgement.accepted == batch
    assert judgement.head == head_of(batch[-1])


def test_a_batch_may_repeat_itself(device: Device) -> None:
    [first, second] = records(device, 2)
    judgement = judge([first, first, second, first])
    assert statuses(judgement) == [ACCEPTED, HAVE, ACCEPTED, HAVE]
    assert judgement.accepted == [first, second]


def test_what_the_store_has_is_compared_by_digest(device: Device) -> None:
    [first, second] = records(device, 2)
    assert isinstance(first, Record)
    have = judge([first], head=head_of(second), stored={1: first.sha256})
    assert (statuses(have), have.accepted, have.head) == ([HAVE], [], head_of(second))
    assert statuses(judge([first], head=head_of(second), stored={1: bytes(32)})) == [FORK]
    assert statuses(judge([first], head=head_of(second), stored={})) == [FORK]


def test_a_gap_asks_for_the_next_one(device: Device) -> None:
    [_, second, third] = records(device, 3)
    judgement = judge([second, third])
    assert judgement.verdicts == [Verdict(EARLY, expected_seq=1)] * 2
    assert (judgement.accepted, judgement.head) == ([], None)


def test_an_invalid_record_stops_its_successors_only(device: Device) -> None:
    [first, _, third] = records(device, 3)
    bad = Verdict(INVALID, reason="SIGNATURE")
    judgement = judge([first, bad, third])
    assert judgement.verdicts == [Verdict(ACCEPTED), bad, Verdict(EARLY, expected_seq=2)]


def test_another_predecessor_is_a_fork(device: Device) -> None:
    [first, second] = records(device, 2)
    assert statuses(judge([second], head=ChainHead(1, 1, bytes(32)))) == [FORK]
    assert statuses(judge([second], head=head_of(first))) == [ACCEPTED]


def test_another_epoch_is_refused(device: Device) -> None:
    device.head = ChainHead(2, 4, bytes(32))
    [record] = records(device, 1)
    assert judge([record]).verdicts == [Verdict(INVALID, reason="OTHER_EPOCH")]


def test_an_id_that_was_used_is_refused(device: Device) -> None:
    [record] = records(device, 1)
    assert isinstance(record, Record)
    used = (record.statement.attestation_id,)
    assert judge([record], used=used).verdicts == [Verdict(INVALID, reason="ATTESTATION_ID_USED")]


def test_an_id_is_used_once_within_a_batch(device: Device) -> None:
    first = verification(device)
    envelope = device.sign(first)
    second = verification(device)
    second.attestation_id = first.attestation_id
    batch = [verified(device, envelope), verified(device, device.sign(second))]
    assert statuses(judge(batch)) == [ACCEPTED, INVALID]


@pytest.mark.parametrize("batch", [[], [b"x"] * MAX_BATCH_ENVELOPES, [bytes(MAX_BATCH_BYTES)]])
def test_batches_within_the_limits(batch: list[bytes]) -> None:
    check_batch(batch)


@pytest.mark.parametrize("batch", [[b"x"] * (MAX_BATCH_ENVELOPES + 1), [bytes(MAX_BATCH_BYTES), b"x"]])
def test_batches_beyond_the_limits(batch: list[bytes]) -> None:
    with pytest.raises(ServiceError) as caught:
        check_batch(batch)
    assert caught.value.reason is Reason.BATCH_TOO_LARGE


def claim_another_site(statement: Statement) -> None:
    statement.site.site_id = "site-2"


def claim_a_tpm(statement: Statement) -> None:
    statement.assurance.key_protection = KEY_PROTECTION_TPM


@pytest.mark.parametrize(
    ("claim", "reason"), [(claim_another_site, "OTHER_SITE"), (claim_a_tpm, "OTHER_KEY_PROTECTION")]
)
def test_a_device_claims_nothing_beyond_its_enrolment(
    device: Device, claim: Callable[[Statement], None], reason: str
) -> None:
    """A receipt would carry the claim to verifiers, who print it as a fact."""
    statement = verification(device)
    claim(statement)
    record = verified(device, device.sign(statement))
    assert judge([record]).verdicts == [Verdict(INVALID, reason=reason)]
    # what was accepted under older rules is still confirmed
    assert isinstance(record, Record)
    assert statuses(judge([record], head=head_of(record), stored={1: record.sha256})) == [HAVE]
