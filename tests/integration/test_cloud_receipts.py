"""Receipts: one for each batch that brought something; what brought nothing new makes the store no larger."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import pytest

from cloud.attestations.intake import RECEIPT_AGAIN_US, Batch, Delivery, Intake
from cloud.attestations.verifying import verify_records
from cloud.sources import Sources
from cloud.store import attestations
from tests.support.authority import Device
from tests.support.chains import Chain
from tests.support.intake import Desk, open_desk, receipt_of, signer_of, statuses

SYSTEM = Sources.system()


@dataclass
class Clock:
    offset: timedelta = field(default_factory=timedelta)

    def sources(self) -> Sources:
        return Sources(now=lambda: SYSTEM.now() + self.offset, random_bytes=SYSTEM.random_bytes)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, module_database_url: str) -> Iterator[Desk]:
    with open_desk(tmp_path_factory.mktemp("receipts"), database=module_database_url) as opened:
        yield opened


@pytest.fixture
def clock(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    authority = desk.authority
    with desk.store.writing() as connection:
        leaf = attestations.add_chain(connection, authority.chain_of(authority.receipt.certificate))
    monkeypatch.setattr(desk, "intake", Intake(authority, clock.sources(), receipt_leaf_sha256=leaf))
    return clock


@pytest.fixture
def chain(desk: Desk) -> Chain:
    return Chain(desk.enroll())


def stored(desk: Desk, device: Device) -> int:
    [count] = desk.ask("SELECT count(*) FROM receipts WHERE device_id = :device", device)
    return int(count)


def empty(desk: Desk, device: Device, *, witnessed: int = 0) -> Delivery:
    work = partial(desk.intake.take, batch=Batch(device.device_id, witnessed=witnessed))
    return desk.loop.run_until_complete(desk.sequencer.transact(work, key=device.device_id))


def test_a_batch_without_news_gets_the_last_receipt_again(desk: Desk, clock: Clock, chain: Chain) -> None:
    envelopes = [chain.add(), chain.add()]
    first = desk.take(chain.device, envelopes)
    for again in (
        empty(desk, chain.device),
        desk.take(chain.device, envelopes[:1]),
        empty(desk, chain.device),
    ):
        assert again.receipt == first.receipt
        assert again.tree_size == first.tree_size
    assert stored(desk, chain.device) == 1


def test_others_that_deliver_meanwhile_change_nothing(desk: Desk, clock: Clock, chain: Chain) -> None:
    first = desk.take(chain.device, [chain.add()])
    other = Chain(desk.enroll())
    desk.take(other.device, [other.add()])
    again = empty(desk, chain.device)
    assert (again.receipt, again.tree_size) == (first.receipt, first.tree_size)


def test_a_receipt_grows_old(desk: Desk, clock: Clock, chain: Chain) -> None:
    first = desk.take(chain.device, [chain.add()])
    clock.offset += timedelta(microseconds=RECEIPT_AGAIN_US) - timedelta(seconds=5)
    assert empty(desk, chain.device).receipt == first.receipt
    clock.offset += timedelta(seconds=6)
    later = empty(desk, chain.device)
    assert later.receipt != first.receipt
    before, after = receipt_of(first), receipt_of(later)
    assert before is not None
    assert after is not None
    assert (after.through_seq, after.head_sha256) == (before.through_seq, before.head_sha256)
    assert after.server_time.ToMicroseconds() > before.server_time.ToMicroseconds()
    assert stored(desk, chain.device) == 2


def test_what_is_new_gets_a_new_receipt_at_once(desk: Desk, clock: Clock, chain: Chain) -> None:
    receipts = {desk.take(chain.device, [chain.add()]).receipt for _ in range(3)}
    assert len(receipts) == stored(desk, chain.device) == 3


def test_a_device_that_has_seen_a_newer_tree_gets_a_newer_receipt(
    desk: Desk, clock: Clock, chain: Chain
) -> None:
    first = desk.take(chain.device, [chain.add()])
    other = Chain(desk.enroll())
    newer = desk.take(other.device, [other.add()])
    again = empty(desk, chain.device, witnessed=newer.tree_size)
    assert again.receipt != first.receipt
    assert again.tree_size >= newer.tree_size


def test_a_receipt_of_a_key_that_was_replaced_is_not_given_again(
    desk: Desk, clock: Clock, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = desk.take(chain.device, [chain.add()])
    other_leaf = bytes(32)
    renewed = Intake(desk.authority, clock.sources(), receipt_leaf_sha256=other_leaf)
    monkeypatch.setattr(desk, "intake", renewed)
    assert empty(desk, chain.device).receipt != first.receipt


def test_many_devices_share_one_commit(desk: Desk, clock: Clock) -> None:
    """What comes while a group is being written is one group: one checkpoint covers all of it."""
    chains = [Chain(desk.enroll()) for _ in range(12)]
    works = [
        partial(
            desk.intake.take,
            batch=Batch(
                chain.device.device_id,
                signer_of(chain.device),
                verify_records(signer_of(chain.device), [chain.add(), chain.add()]),
            ),
        )
        for chain in chains
    ]

    async def all_at_once() -> list[Delivery]:
        return await asyncio.gather(
            *(
                desk.sequencer.transact(work, key=chain.device.device_id)
                for work, chain in zip(works, chains, strict=True)
            )
        )

    deliveries = desk.loop.run_until_complete(all_at_once())
    assert all(statuses(one) == ["ACCEPTED", "ACCEPTED"] for one in deliveries)
    sizes = {one.tree_size for one in deliveries}
    assert len(sizes) < len(chains), "several of them share a checkpoint"
    for chain, delivery in zip(chains, deliveries, strict=True):
        receipt = receipt_of(delivery)
        assert receipt is not None
        assert (receipt.device_id, receipt.through_seq) == (chain.device.device_id, 2)
