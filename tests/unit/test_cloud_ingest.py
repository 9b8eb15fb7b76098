"""The rules of delivery as a table: what becomes of each envelope, without any I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from cloud.attestations.advance import Advance, Holes, advance, missing_ranges
from cloud.attestations.deliverer import check_batch
from cloud.attestations.ingest import Books, Judged, judge_batch
from cloud.attestations.limits import (
    MAX_BATCH_BYTES,
    MAX_BATCH_ENVELOPES,
)
from cloud.attestations.record import Record, Refused, verify_record
from cloud.errors import Reason, ServiceError
from tests.support.authority import Authority, Device, new_key, sign_envelope, verification
from tests.support.chains import Chain
from verifield.chain import ChainHead, Excuse, envelope_sha256
from verifield.dsse import parse_envelope
from verifield.leaf import log_leaf
from verifield.merkle import leaf_hash
from verifield.statement import STATEMENT_TYPE, encode_statement
from verifield.v1 import sync_service_pb2 as pb
from verifield.v1.attestation_pb2 import (
    KEY_PROTECTION_SOFTWARE,
    KEY_PROTECTION_TPM,
    OUTCOME_MANUAL,
    Statement,
)
from verifield.v1.device_service_pb2 import (
    ALARM_KIND_CLONE,
    ALARM_KIND_FORK,
    ALARM_KIND_REFUSED,
    SIDE_RECORD_KIND_BRANCH,
    SIDE_RECORD_KIND_REFUSED,
)

EMPTY = Books(site_id="site-1", key_protection=KEY_PROTECTION_SOFTWARE, epoch=1, seq=0)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture
def device(authority: Authority) -> Device:
    return authority.enroll("device-1")


@pytest.fixture
def chain(device: Device) -> Chain:
    return Chain(device)


def public_key(device: Device) -> ec.EllipticCurvePublicKey:
    return device.key.public_key()


def verified(device: Device, envelope: bytes) -> Record | Refused:
    return verify_record(
        envelope,
        key=public_key(device),
        certificate_sha256=sha256(device.chain[0]).digest(),
        device_id=device.device_id,
    )


def genuine(device: Device, envelope: bytes) -> Record:
    record = verified(device, envelope)
    assert isinstance(record, Record)
    return record


def records(chain: Chain, count: int) -> list[Record]:
    return [genuine(chain.device, chain.add()) for _ in range(count)]


def head_of(record: Record) -> ChainHead:
    return ChainHead(*record.place, record.sha256)


def behind(record: Record, **known: object) -> Books:
    """The books of a chain whose head is ``record``."""
    epoch, seq = record.place
    return replace(EMPTY, epoch=epoch, seq=seq, **known)  # type: ignore[arg-type]


def verdict_of(judged: Judged, record: Record | Refused) -> tuple[str, str] | None:
    """Status and reason; None for a candidate."""
    verdict = judged.verdicts.get(record.sha256)
    if verdict is None:
        return None
    return pb.DeliverStatus.Name(verdict.status).removeprefix("DELIVER_STATUS_"), verdict.reason


# Steps 1 to 5


def test_a_verified_record_keeps_the_bytes_received_and_their_leaf(device: Device) -> None:
    envelope = device.sign(verification(device))
    record = genuine(device, envelope)
    assert record.envelope == envelope
    assert record.sha256 == envelope_sha256(envelope)
    assert record.leaf == leaf_hash(log_leaf(parse_envelope(envelope), device.chain[0]))


def test_every_single_changed_byte_is_refused(device: Device) -> None:
    envelope = device.sign(verification(device))
    for place in range(0, len(envelope), 7):
        changed = bytearray(envelope)
        changed[place] ^= 0x40
        refused = verified(device, bytes(changed))
        assert isinstance(refused, Refused), f"byte {place}"
        assert refused.reason
        assert refused.envelope == changed


def test_another_key_and_another_device_are_refused(authority: Authority, device: Device) -> None:
    payload = encode_statement(verification(device))
    forged = sign_envelope(payload, payload_type=STATEMENT_TYPE, key=new_key())
    assert verified(device, forged) == Refused(forged, envelope_sha256(forged), "SIGNATURE", (1, 1))
    other = authority.enroll("device-2")
    foreign = sign_envelope(
        encode_statement(verification(other)), payload_type=STATEMENT_TYPE, key=device.key
    )
    refused = verified(device, foreign)
    assert isinstance(refused, Refused)
    assert refused.reason == "OTHER_DEVICE"


@pytest.mark.parametrize("junk", [b"", b"\xff\xfe", bytes(100_000)])
def test_what_cannot_be_read_claims_no_place(device: Device, junk: bytes) -> None:
    refused = verified(device, junk)
    assert isinstance(refused, Refused)
    assert refused.place == (0, 0)


def test_a_place_that_no_column_can_hold_is_none(device: Device) -> None:
    statement = Statement(chain_epoch=1, seq=2**63)
    forged = sign_envelope(statement.SerializeToString(), payload_type=STATEMENT_TYPE, key=new_key())
    refused = verified(device, forged)
    assert isinstance(refused, Refused)
    assert refused.place == (0, 0)


def test_a_decision_by_people_needs_the_second_signature(device: Device) -> None:
    statement = verification(device, outcome=OUTCOME_MANUAL)
    assert isinstance(verified(device, device.sign(statement)), Record)
    alone = sign_envelope(encode_statement(statement), payload_type=STATEMENT_TYPE, key=device.key)
    refused = verified(device, alone)
    assert isinstance(refused, Refused)
    assert refused.reason == "COSIGNATURE"


# Steps 6 to 11


def test_what_is_new_and_ahead_is_a_candidate(chain: Chain) -> None:
    first, second, third = records(chain, 3)
    judged = judge_batch([third, first, second, first], EMPTY)
    assert judged.verdicts == {}
    assert judged.candidates == {(1, 1): first, (1, 2): second, (1, 3): third}


def test_what_the_store_has_is_compared_by_digest(chain: Chain) -> None:
    first, second = records(chain, 2)
    for stored, expected in (({(1, 1): first.sha256}, "ALREADY_HAVE"), ({(1, 1): bytes(32)}, "FORK")):
        judged = judge_batch([first], behind(second, stored=stored))
        assert verdict_of(judged, first) == (expected, "")


def test_a_fork_is_kept_and_told(chain: Chain) -> None:
    first, second = records(chain, 2)
    [aside] = judge_batch([first], behind(second, stored={(1, 1): bytes(32)})).asides
    assert (aside.kind, aside.place, aside.content) == (SIDE_RECORD_KIND_BRANCH, (1, 1), first.envelope)
    assert (aside.alarm, aside.reason) == (ALARM_KIND_FORK, "OTHER_BYTES")


def test_what_is_refused_is_kept_and_told(device: Device) -> None:
    refused = Refused(b"junk", bytes(32), "SIGNATURE")
    [aside] = judge_batch([refused], EMPTY).asides
    assert (aside.kind, aside.content) == (SIDE_RECORD_KIND_REFUSED, b"junk")
    assert (aside.alarm, aside.reason) == (ALARM_KIND_REFUSED, "SIGNATURE")


@pytest.mark.parametrize(
    ("known", "verdict", "alarm", "suspends"),
    [
        ({}, "FORK", ALARM_KIND_CLONE, True),
        ({"told": {1: 2}}, "FORK", None, False),
        ({"told": {1: 1}}, "FORK", ALARM_KIND_CLONE, True),
        ({"told": {2: 9}}, "FORK", ALARM_KIND_CLONE, True),
        ({"left": {1}}, "FORK", ALARM_KIND_FORK, False),  # nobody can tell where the device's own end
        ({"left": {1}, "told": {1: 2}}, "FORK", None, False),
        ({"left": {2}}, "FORK", ALARM_KIND_CLONE, True),
    ],
)
def test_a_record_of_a_closed_epoch(
    chain: Chain, known: dict[str, object], verdict: str, alarm: int | None, suspends: bool
) -> None:
    _, record = records(chain, 2)
    books = replace(EMPTY, epoch=2, seq=1, **known)  # type: ignore[arg-type]
    judged = judge_batch([record], books)
    assert verdict_of(judged, record) == (verdict, "")
    assert [one.alarm for one in judged.asides] == [alarm]
    assert judged.suspend == suspends


def test_a_branch_of_a_closed_epoch_that_is_known_is_no_second_clone(chain: Chain) -> None:
    [record] = records(chain, 1)
    judged = judge_batch([record], replace(EMPTY, epoch=2, seq=1, branches={record.sha256}))
    assert not judged.suspend


def test_a_stored_record_of_a_closed_epoch_is_had(chain: Chain) -> None:
    [record] = records(chain, 1)
    judged = judge_batch([record], replace(EMPTY, epoch=2, seq=1, stored={(1, 1): record.sha256}))
    assert verdict_of(judged, record) == ("ALREADY_HAVE", "")


def test_what_a_tombstone_gave_up_stays_invalid(chain: Chain) -> None:
    first, second = records(chain, 2)
    judged = judge_batch([first], behind(second, tombstones={(1, 1, first.sha256)}))
    assert verdict_of(judged, first) == ("INVALID", "GIVEN_UP")
    assert judged.asides == []
    other = judge_batch([first], behind(second, tombstones={(1, 1, bytes(32))}))
    assert verdict_of(other, first) == ("FORK", "")


def test_what_a_gap_gave_up_is_kept_without_disturbing_the_device(chain: Chain) -> None:
    first, second = records(chain, 2)
    judged = judge_batch([first], behind(second, lost={(1, 1)}))
    assert verdict_of(judged, first) == ("STAGED", "")
    assert [(one.kind, one.alarm) for one in judged.asides] == [(SIDE_RECORD_KIND_BRANCH, None)]
    taken = judge_batch([first], behind(second, lost={(1, 1)}, stored={(1, 1): bytes(32)}))
    assert verdict_of(taken, first) == ("FORK", "")


def test_other_bytes_for_a_place_that_is_waited_for_are_a_fork(authority: Authority) -> None:
    device = authority.enroll("device-1")
    one = genuine(device, Chain(Device("device-1", device.key, device.chain)).add())
    two = genuine(device, Chain(Device("device-1", device.key, device.chain)).add())
    judged = judge_batch([one, two], EMPTY)
    assert (verdict_of(judged, one), verdict_of(judged, two)) == (None, ("FORK", ""))
    staged = judge_batch([two], replace(EMPTY, staged={(1, 1): one.sha256}))
    assert verdict_of(staged, two) == ("FORK", "")
    same = judge_batch([one], replace(EMPTY, staged={(1, 1): one.sha256}))
    assert (verdict_of(same, one), same.candidates) == (None, {})


def test_an_id_that_was_used_is_refused(chain: Chain) -> None:
    [record] = records(chain, 1)
    judged = judge_batch([record], replace(EMPTY, used_ids={record.statement.attestation_id}))
    assert verdict_of(judged, record) == ("INVALID", "ATTESTATION_ID_USED")


def claim_another_site(statement: Statement) -> None:
    statement.site.site_id = "site-2"


def claim_a_tpm(statement: Statement) -> None:
    statement.assurance.key_protection = KEY_PROTECTION_TPM


def test_a_device_is_no_second_person(device: Device) -> None:
    record = genuine(device, device.sign(verification(device, outcome=OUTCOME_MANUAL)))
    key = record.statement.manual.cosigner_key
    assert verdict_of(judge_batch([record], EMPTY), record) is None
    judged = judge_batch([record], replace(EMPTY, device_keys={key}))
    assert verdict_of(judged, record) == ("INVALID", "COSIGNER_IS_DEVICE")


@pytest.mark.parametrize(
    ("claim", "reason"), [(claim_another_site, "OTHER_SITE"), (claim_a_tpm, "OTHER_KEY_PROTECTION")]
)
def test_a_device_claims_nothing_beyond_its_enrolment(
    device: Device, claim: Callable[[Statement], None], reason: str
) -> None:
    """A receipt would carry the claim to verifiers, who print it as a fact."""
    statement = verification(device)
    claim(statement)
    record = genuine(device, device.sign(statement))
    assert verdict_of(judge_batch([record], EMPTY), record) == ("INVALID", reason)
    # what was accepted under older rules is still confirmed
    again = judge_batch([record], behind(record, stored={(1, 1): record.sha256}))
    assert verdict_of(again, record) == ("ALREADY_HAVE", "")


# Step 12


def go_on(coming: list[Record], **options: object) -> Advance:
    arguments = {
        "head": ChainHead(1, 0, b""),
        "holes": Holes([]),
        "resets": {},
        "used_ids": set(),
        "limit": 99,
    }
    return advance(coming, **(arguments | options))  # type: ignore[arg-type]


def test_records_in_order_are_appended(chain: Chain) -> None:
    coming = records(chain, 3)
    step = go_on(coming)
    assert (step.appended, step.head, step.more) == (coming, head_of(coming[-1]), False)


def test_a_hole_that_nobody_gave_up_stops_the_chain(chain: Chain) -> None:
    first, _, third, fourth = records(chain, 4)
    assert go_on([first, third, fourth]).appended == [first]


def test_a_hole_is_passed_where_the_next_record_names_what_was_given_up(chain: Chain) -> None:
    first, second, third, fourth = records(chain, 4)
    for digest, appended in ((third.sha256, [first, fourth]), (second.sha256, [first])):
        step = go_on([first, fourth], holes=Holes([Excuse(2, 3, digest, refused=False)]))
        assert step.appended == appended
        assert step.forked == ([] if fourth in appended else [fourth])


def test_behind_a_hole_a_record_that_names_the_head_forks(chain: Chain) -> None:
    first, second, third = records(chain, 3)
    leap = third._replace(previous_sha256=first.sha256)
    step = go_on([first, leap], holes=Holes([Excuse(2, 2, second.sha256, refused=False)]))
    assert (step.appended, step.forked) == ([first], [leap])


def test_a_hole_that_is_only_partly_given_up_stops_the_chain(chain: Chain) -> None:
    first, second, _, fourth = records(chain, 4)
    for excuse in (Excuse(2, 2, second.sha256, refused=False), Excuse(3, 3, bytes(32), refused=False)):
        assert go_on([first, fourth], holes=Holes([excuse])).appended == [first]


def test_holes_may_be_given_up_in_pieces_and_more_than_once(chain: Chain) -> None:
    first, second, third, fourth = records(chain, 4)
    pieces = [
        Excuse(3, 3, third.sha256, refused=True),
        Excuse(2, 2, second.sha256, refused=False),
        Excuse(2, 3, third.sha256, refused=False),
    ]
    assert go_on([first, fourth], holes=Holes(pieces)).appended == [first, fourth]


def test_a_hole_within_a_hole_makes_it_no_smaller(chain: Chain) -> None:
    first, _, third, fourth, fifth = records(chain, 5)
    excuses = [Excuse(2, 4, fourth.sha256, refused=False), Excuse(3, 3, third.sha256, refused=False)]
    assert go_on([first, fifth], holes=Holes(excuses)).appended == [first, fifth]


def test_the_very_first_records_may_be_given_up(chain: Chain) -> None:
    _, second, third = records(chain, 3)
    step = go_on([third], holes=Holes([Excuse(1, 2, second.sha256, refused=False)]))
    assert step.appended == [third]


def test_a_record_that_is_here_although_it_was_given_up_is_appended(chain: Chain) -> None:
    first, _, third, fourth, fifth = records(chain, 5)
    holes = Holes([Excuse(2, 4, fourth.sha256, refused=False)])
    assert go_on([first, third, fifth], holes=holes).appended == [first, third, fifth]


def test_another_predecessor_is_a_fork(chain: Chain) -> None:
    _, second, third = records(chain, 3)
    step = go_on([second, third], head=ChainHead(1, 1, bytes(32)))
    assert (step.appended, step.forked) == ([], [second])


def test_an_id_is_used_once(device: Device) -> None:
    first = verification(device)
    one = genuine(device, device.sign(first))
    second = verification(device)
    second.attestation_id = first.attestation_id
    two = genuine(device, device.sign(second))
    step = go_on([one, two])
    assert (step.appended, step.reused) == ([one], [two])


def test_at_most_so_many_are_appended_at_once(chain: Chain) -> None:
    coming = records(chain, 3)
    step = go_on(coming, limit=2)
    assert (step.appended, step.more) == (coming[:2], True)
    assert not go_on(coming, limit=3).more


def test_a_reset_that_cites_the_head_comes_before_all_else(chain: Chain) -> None:
    first, second = records(chain, 2)
    reset = genuine(chain.device, chain.reset(cloud_head=head_of(first)))
    step = go_on([first, second], resets={head_of(first): reset})
    assert (step.appended, step.reset) == ([first], reset)
    empty = genuine(chain.device, chain.reset(cloud_head=None, epoch=2))
    assert go_on([], resets={None: empty}).reset == empty
    other = genuine(chain.device, chain.reset(cloud_head=head_of(second)))
    assert go_on([first], resets={head_of(second): other}).reset is None


@pytest.mark.parametrize(
    ("waiting", "excuses", "expected"),
    [
        ([], [], []),
        ([11], [], []),
        ([12], [], [(11, 11)]),
        ([13, 14, 20], [], [(11, 12), (15, 19)]),
        ([20], [(11, 15)], [(16, 19)]),
        ([20], [(5, 12), (14, 14)], [(13, 13), (15, 19)]),
        ([12], [(30, 40)], [(11, 11)]),
        ([13, 15, 17, 19], [], [(11, 12), (14, 14), (16, 16)]),
    ],
)
def test_missing_places_behind_the_tenth(
    waiting: list[int], excuses: list[tuple[int, int]], expected: list[tuple[int, int]]
) -> None:
    gaps = [Excuse(first, last, bytes(32), refused=False) for first, last in excuses]
    assert missing_ranges(waiting, gaps, head_seq=10, limit=3) == expected


# Limits of a batch


@pytest.mark.parametrize(
    "batch",
    [
        pb.DeliverRequest(),
        pb.DeliverRequest(envelopes=[b"x"] * MAX_BATCH_ENVELOPES),
        pb.DeliverRequest(envelopes=[bytes(MAX_BATCH_BYTES)]),
    ],
)
def test_batches_within_the_limits(batch: pb.DeliverRequest) -> None:
    check_batch(batch)


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        (pb.DeliverRequest(envelopes=[b"x"] * (MAX_BATCH_ENVELOPES + 1)), Reason.BATCH_TOO_LARGE),
        (pb.DeliverRequest(envelopes=[bytes(MAX_BATCH_BYTES), b"x"]), Reason.BATCH_TOO_LARGE),
    ],
)
def test_batches_beyond_the_limits(batch: pb.DeliverRequest, reason: Reason) -> None:
    with pytest.raises(ServiceError) as caught:
        check_batch(batch)
    assert caught.value.reason is reason
