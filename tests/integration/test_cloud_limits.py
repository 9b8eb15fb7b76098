"""How much of one device is kept, from whom, and what is noted beside its chain."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from cloud.attestations import aside
from cloud.attestations.chain_writer import Damaged
from cloud.attestations.limits import MAX_SIDE_CONTENT_BYTES
from cloud.errors import Reason, ServiceError
from cloud.store import issued
from cloud.store.issued import IssuedRow
from tests.support.authority import Device, verification
from tests.support.chains import Chain
from tests.support.intake import Desk, open_desk, receipt_of, statuses
from verifield.chain import envelope_sha256
from verifield.v1.attestation_pb2 import MediaReference
from verifield.v1.device_service_pb2 import (
    DEVICE_STATE_PENDING,
    DEVICE_STATE_REPLACED,
    DEVICE_STATE_REVOKED,
    DEVICE_STATE_SUSPENDED,
    SIDE_RECORD_KIND_BRANCH,
    SIDE_RECORD_KIND_DAMAGED,
    SIDE_RECORD_KIND_REFUSED,
)

WRITER = "cloud.attestations.chain_writer"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, module_database_url: str) -> Iterator[Desk]:
    with open_desk(tmp_path_factory.mktemp("intake"), database=module_database_url) as opened:
        yield opened


@pytest.fixture
def chain(desk: Desk) -> Chain:
    return Chain(desk.enroll())


def other_chain(chain: Chain) -> Chain:
    """The same key once more: a copy of the device, at its beginning."""
    return Chain(Device(chain.device.device_id, chain.device.key, chain.device.chain))


def kinds(rows: list[tuple[int, int, int, str]]) -> list[tuple[int, int, int]]:
    return [row[:3] for row in rows]


def test_so_many_records_wait_and_no_more(desk: Desk, chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{WRITER}.MAX_STAGED_RECORDS", 3)
    envelopes = [chain.add() for _ in range(6)]
    delivery = desk.take(chain.device, envelopes[1:])
    assert statuses(delivery) == ["STAGED"] * 3 + ["OUT_OF_ORDER"] * 2
    assert delivery.verdicts[-1].expected_seq == 1
    # What closes a hole has its own room.
    gap = chain.gap(1, 1)
    assert statuses(desk.take(chain.device, [gap])) == ["STAGED"]
    assert desk.head(chain.device).seq == 4
    assert statuses(desk.take(chain.device, envelopes[4:])) == ["ACCEPTED", "ACCEPTED"]
    assert desk.head(chain.device) == chain.head


def test_what_found_its_place_makes_room_at_once(
    desk: Desk, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{WRITER}.MAX_STAGED_RECORDS", 2)
    envelopes = [chain.add() for _ in range(6)]
    assert statuses(desk.take(chain.device, envelopes[1:3])) == ["STAGED", "STAGED"]
    batch = [envelopes[0], envelopes[4], envelopes[5]]
    assert statuses(desk.take(chain.device, batch)) == ["ACCEPTED", "STAGED", "STAGED"]


def test_so_many_bytes_wait_and_no_more(desk: Desk, chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    envelopes = [chain.add() for _ in range(4)]
    monkeypatch.setattr(f"{WRITER}.MAX_STAGED_BYTES", len(envelopes[1]) + len(envelopes[2]))
    assert statuses(desk.take(chain.device, envelopes[1:])) == ["STAGED", "STAGED", "OUT_OF_ORDER"]


def test_so_many_excuses_wait_and_one_more_gives_nothing_up(
    desk: Desk, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{WRITER}.MAX_STAGED_EXCUSES", 1)
    monkeypatch.setattr(f"{WRITER}.MAX_STAGED_RECORDS", 0)
    first, _, third = chain.add(), chain.add(), chain.add()
    desk.take(chain.device, [first])
    useless, gap = chain.gap(3, 3), chain.gap(2, 2)
    assert statuses(desk.take(chain.device, [useless])) == ["STAGED"]
    assert statuses(desk.take(chain.device, [gap, third])) == ["OUT_OF_ORDER", "OUT_OF_ORDER"]
    monkeypatch.setattr(f"{WRITER}.MAX_STAGED_EXCUSES", 0)
    assert statuses(desk.take(chain.device, [gap, third])) == ["OUT_OF_ORDER", "OUT_OF_ORDER"]
    monkeypatch.setattr(f"{WRITER}.MAX_STAGED_EXCUSES", 2)
    assert statuses(desk.take(chain.device, [gap, third])) == ["ACCEPTED", "ACCEPTED"]


def test_what_closes_holes_has_its_own_room_and_no_other(
    desk: Desk, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over many batches too: the room of other records is not theirs."""
    monkeypatch.setattr(f"{WRITER}.MAX_STAGED_EXCUSES", 2)
    monkeypatch.setattr(f"{WRITER}.MAX_STAGED_RECORDS", 1)
    chain.add(), chain.add()
    gaps = [chain.gap(2, 2) for _ in range(4)]
    found = [statuses(desk.take(chain.device, [gap]))[0] for gap in gaps]
    assert found == ["STAGED", "STAGED", "OUT_OF_ORDER", "OUT_OF_ORDER"]
    assert statuses(desk.take(chain.device, [chain.add()])) == ["STAGED"]


def test_what_closes_holes_has_so_many_bytes_and_no_more(
    desk: Desk, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain.add(), chain.add()
    gaps = [chain.gap(2, 2) for _ in range(3)]
    monkeypatch.setattr(f"{WRITER}.MAX_STAGED_EXCUSE_BYTES", len(gaps[0]) + len(gaps[1]))
    assert statuses(desk.take(chain.device, gaps)) == ["STAGED", "STAGED", "OUT_OF_ORDER"]
    assert statuses(desk.take(chain.device, gaps)) == ["STAGED", "STAGED", "OUT_OF_ORDER"]


def limit(monkeypatch: pytest.MonkeyPatch, kind: int, *, records: int = 99, size: int = 10**6) -> None:
    monkeypatch.setitem(aside._LIMITS, kind, (records, size))


def test_so_many_refused_records_are_kept_and_the_oldest_first(
    desk: Desk, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(monkeypatch, SIDE_RECORD_KIND_REFUSED, records=2)
    junk = [f"junk {number}".encode() for number in range(3)]
    delivery = desk.take(chain.device, junk)
    assert statuses(delivery) == ["INVALID", "INVALID", "OUT_OF_ORDER"]
    query = "SELECT content FROM side_records"
    assert desk.in_order(query, chain.device) == junk[:2]
    assert statuses(desk.take(chain.device, junk)) == ["INVALID", "INVALID", "OUT_OF_ORDER"]


def test_beyond_so_many_bytes_only_digests_of_refused_records_are_kept(
    desk: Desk, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(monkeypatch, SIDE_RECORD_KIND_REFUSED, size=10)
    batch = [chain.add(), chain.add(site="elsewhere"), chain.add(), chain.tombstone(2)]
    assert statuses(desk.take(chain.device, [b"0123456789", *batch])) == [
        "INVALID",
        "ACCEPTED",
        "INVALID",
        "ACCEPTED",
        "ACCEPTED",
    ]
    query = "SELECT content, sha256 FROM side_records"
    assert desk.in_order(query, chain.device) == [
        (b"0123456789", hashlib.sha256(b"0123456789").digest()),
        (b"", envelope_sha256(batch[1])),
    ]


def test_of_large_junk_the_beginning_is_kept(desk: Desk, chain: Chain) -> None:
    junk = b"a" * MAX_SIDE_CONTENT_BYTES + b"b"
    assert statuses(desk.take(chain.device, [junk])) == ["INVALID"]
    query = "SELECT content, sha256 FROM side_records WHERE device_id = :device"
    assert desk.ask(query, chain.device) == [(junk[:-1], hashlib.sha256(junk).digest())]


def test_where_a_branch_has_no_room_the_device_keeps_it(
    desk: Desk, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = other_chain(chain)
    desk.take(chain.device, [twin.add(), twin.add()])
    limit(monkeypatch, SIDE_RECORD_KIND_BRANCH, records=1)
    assert statuses(desk.take(chain.device, [chain.add(), chain.add()])) == ["FORK", "OUT_OF_ORDER"]


def test_a_branch_is_kept_whole_or_by_the_device(
    desk: Desk, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = other_chain(chain)
    desk.take(chain.device, [twin.add(), twin.add()])
    branch = [chain.add(), chain.add()]
    limit(monkeypatch, SIDE_RECORD_KIND_BRANCH, size=len(branch[0]))
    assert statuses(desk.take(chain.device, branch)) == ["FORK", "OUT_OF_ORDER"]
    query = "SELECT content FROM side_records WHERE device_id = :device"
    assert desk.ask(query, chain.device) == branch[:1]


@pytest.mark.parametrize("kind", [SIDE_RECORD_KIND_BRANCH, SIDE_RECORD_KIND_REFUSED])
def test_what_was_staged_is_kept_also_where_there_is_no_room(
    desk: Desk, chain: Chain, monkeypatch: pytest.MonkeyPatch, kind: int
) -> None:
    """Its device was told that it is durable."""
    twin = other_chain(chain)
    chain.add()
    last = verification(chain.device)
    first = verification(twin.device)
    if kind == SIDE_RECORD_KIND_REFUSED:
        chain = Chain(twin.device)
        start = chain.sign(first)
        last = verification(chain.device)
        last.attestation_id = first.attestation_id
        waiting = chain.device.sign(last)
    else:
        start, waiting = twin.sign(first), chain.sign(last)
    assert statuses(desk.take(chain.device, [waiting])) == ["STAGED"]
    limit(monkeypatch, kind, records=0, size=0)
    assert statuses(desk.take(chain.device, [start])) == ["ACCEPTED"]
    assert desk.waiting(chain.device) == []
    query = "SELECT kind, content FROM side_records WHERE device_id = :device"
    assert desk.ask(query, chain.device) == [(kind, waiting)]


def test_what_is_left_of_damaged_records_is_kept_up_to_a_limit(
    desk: Desk, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(monkeypatch, SIDE_RECORD_KIND_DAMAGED, records=2)
    pieces = [Damaged(1, 1, b""), Damaged(1, 2, b""), Damaged(1, 3, b"rest")]
    desk.take(chain.device, [], damaged=pieces)
    desk.take(chain.device, [], damaged=pieces)
    assert kinds(desk.asides(chain.device)) == [(SIDE_RECORD_KIND_DAMAGED, 1, seq) for seq in (1, 2)]
    assert desk.alarms(chain.device) == []


# Who may deliver


@pytest.mark.parametrize(
    ("state", "reason"),
    [(DEVICE_STATE_PENDING, Reason.DEVICE_PENDING), (DEVICE_STATE_REVOKED, Reason.DEVICE_REVOKED)],
)
def test_who_is_not_in_delivers_nothing(desk: Desk, chain: Chain, state: int, reason: Reason) -> None:
    desk.set_state(chain.device, state)
    with pytest.raises(ServiceError) as caught:
        desk.take(chain.device, [chain.add()])
    assert caught.value.reason is reason


def test_a_replaced_device_empties_its_backlog(desk: Desk, chain: Chain) -> None:
    desk.set_state(chain.device, DEVICE_STATE_REPLACED)
    assert statuses(desk.take(chain.device, [chain.add()])) == ["ACCEPTED"]


def test_a_suspended_device_is_kept_waiting_but_loses_nothing(desk: Desk, chain: Chain) -> None:
    desk.take(chain.device, [chain.add()])
    desk.set_state(chain.device, DEVICE_STATE_SUSPENDED)
    delivery = desk.take(chain.device, [*chain.envelopes, chain.add(), b"junk"])
    assert statuses(delivery) == ["ALREADY_HAVE", "STAGED", "INVALID"]
    assert desk.head(chain.device).seq == 1


def test_a_certificate_for_another_key_is_refused(desk: Desk, chain: Chain) -> None:
    stranger = desk.enroll()
    forger = Device(chain.device.device_id, stranger.key, stranger.chain)
    with pytest.raises(ServiceError) as caught:
        desk.take(forger, [])
    assert (caught.value.reason, caught.value.metadata) == (
        Reason.CERTIFICATES_REFUSED,
        {"check": "OTHER_KEY"},
    )


def test_a_revoked_certificate_is_refused(desk: Desk, chain: Chain) -> None:
    serial = f"{chain.device.certificate.serial_number:x}"
    device_id = chain.device.device_id
    with desk.store.writing() as connection:
        issued.add_issued(connection, IssuedRow(device_id, serial, "attestation", 1, 2))
    assert statuses(desk.take(chain.device, [chain.add()])) == ["ACCEPTED"]
    with desk.store.writing() as connection:
        assert issued.revoke_issued(connection, device_id, revoked_us=3, reason=1) == 1
    with pytest.raises(ServiceError) as caught:
        desk.take(chain.device, [chain.add()])
    assert caught.value.metadata == {"check": "REVOKED"}


# What is noted beside


def test_an_empty_batch_asks_for_the_receipt(desk: Desk, chain: Chain) -> None:
    assert receipt_of(desk.resume(chain.device)) is None
    desk.take(chain.device, [chain.add()])
    receipt = receipt_of(desk.resume(chain.device))
    assert receipt is not None
    assert receipt.through_seq == 1


def test_time_never_runs_backwards_for_a_device(desk: Desk, chain: Chain) -> None:
    desk.take(chain.device, [chain.add()])
    ahead = 4_000_000_000_000_000
    with desk.store.writing() as connection:
        connection.execute(
            text("UPDATE devices SET last_delivery_us = :ahead WHERE device_id = :device"),
            {"ahead": ahead, "device": chain.device.device_id},
        )
    receipt = receipt_of(desk.take(chain.device, [chain.add()]))
    assert receipt is not None
    assert receipt.server_time.ToMicroseconds() == ahead
    query = "SELECT received_us FROM attestations WHERE device_id = :device ORDER BY seq"
    assert desk.ask(query, chain.device)[1] == ahead


def test_the_key_of_an_old_device_is_kept_with_its_first_delivery(desk: Desk, chain: Chain) -> None:
    assert desk.row(chain.device).attestation_key is None
    desk.take(chain.device, [chain.add()])
    key = desk.row(chain.device).attestation_key
    assert key is not None
    assert hashlib.sha256(key).digest() == desk.row(chain.device).attestation_key_sha256


def test_the_tree_that_a_record_cites_is_kept_with_it(desk: Desk, chain: Chain) -> None:
    desk.take(chain.device, [chain.add()])
    note = desk.sequencer.published.note
    citing = verification(chain.device)
    citing.last_checkpoint_sha256 = hashlib.sha256(note.encode()).digest()
    one = chain.sign(citing)
    wrong = verification(chain.device)
    wrong.last_checkpoint_sha256 = bytes(32)
    desk.take(chain.device, [one, chain.sign(wrong)])
    query = "SELECT cited_tree_size FROM attestations WHERE device_id = :device ORDER BY seq"
    size = desk.sequencer.published.size - 2
    assert desk.ask(query, chain.device) == [None, size, None]


def test_files_are_known_as_soon_as_the_record_that_names_them_waits(desk: Desk, chain: Chain) -> None:
    chain.add()
    reference = MediaReference(
        name="best_shot", sha256=bytes(32), size_bytes=1000, content_commitment=bytes(32)
    )
    assert statuses(desk.take(chain.device, [chain.add(media=(reference,))])) == ["STAGED"]
    query = "SELECT sha256, size_bytes, name, complete_us FROM media WHERE device_id = :device"
    assert desk.ask(query, chain.device) == [(bytes(32), 1000, "best_shot", None)]
    assert statuses(desk.take(chain.device, [chain.by_place[1, 1]])) == ["ACCEPTED"]
    assert len(desk.ask(query, chain.device)) == 1


def test_two_devices_never_meet(desk: Desk, chain: Chain) -> None:
    other = Chain(desk.enroll())
    desk.take(chain.device, [chain.add(), chain.add()])
    desk.take(other.device, [other.add(), other.add()][1:])
    assert desk.waiting(chain.device) == []
    assert desk.waiting(other.device) == [(1, 2)]
    assert desk.stored(other.device) == []
