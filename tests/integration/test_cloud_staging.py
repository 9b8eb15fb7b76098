"""Any order, any repetition, any cut into batches of what a device signed ends in the same chain."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.authority import Device
from tests.support.chains import Chain
from tests.support.intake import Desk, open_desk, receipt_of, statuses
from verifield.chain import ChainHead, envelope_sha256
from verifield.v1.device_service_pb2 import ALARM_KIND_FORK, ALARM_KIND_RESET

SOAK = int(os.environ.get("VERIFIELD_SOAK", "1"))
EXAMPLES = settings(
    max_examples=60 * SOAK, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with open_desk(tmp_path_factory.mktemp("intake")) as opened:
        yield opened


@dataclass(frozen=True)
class Case:
    """``deliverable``: what reaches the service, in the chain's order. ``chain``: what must be in it at the
    end. ``needs``: by place, all that must be here before a receipt may cover it."""

    deliverable: list[bytes]
    chain: list[bytes]
    needs: dict[tuple[int, int], frozenset[bytes]]
    head: ChainHead


FINE, LOST, REFUSED = "fine", "lost", "refused"

fates = st.lists(st.sampled_from([FINE, FINE, FINE, LOST, REFUSED]), min_size=1, max_size=8)
scripts = st.lists(fates, min_size=1, max_size=3)


def build(device: Device, script: Sequence[Sequence[str]]) -> Case:
    """Sign what the script says: for each epoch the fates of its records, then what excuses the holes."""
    chain = Chain(device)
    deliverable: list[bytes] = []
    expected: list[bytes] = []
    needs: dict[tuple[int, int], frozenset[bytes]] = {}
    needed: frozenset[bytes] = frozenset()
    for number, fates_of in enumerate(script):
        if number:
            reset = chain.reset(cloud_head=chain.head, device_head=chain.head)
            deliverable.append(reset)
            expected.append(reset)
            needed |= {reset}
            needs[chain.head.epoch, 1] = needed
        first = chain.head.seq + 1 if number else 1
        records = [chain.add(site="elsewhere" if fate == REFUSED else "site-1") for fate in fates_of]
        excuses = excuse(chain, first, fates_of)
        last = chain.add()
        for seq, (fate, record) in enumerate(zip(fates_of, records, strict=True), first):
            deliverable += [record] if fate != LOST else []
            expected += [record] if fate == FINE else []
            needed |= {record} if fate == FINE else excuses[seq] | ({record} if fate == REFUSED else set())
            needs[chain.head.epoch, seq] = needed
        for envelope in [*dict.fromkeys(one for seq in sorted(excuses) for one in excuses[seq]), last]:
            deliverable.append(envelope)
            expected.append(envelope)
            needed |= {envelope}
            needs[chain.head.epoch, place_of(chain, envelope)] = needed
    return Case(deliverable, expected, needs, chain.head)


def excuse(chain: Chain, first: int, fates_of: Sequence[str]) -> dict[int, frozenset[bytes]]:
    """A GAP for each run of lost records, a TOMBSTONE for each refused one; by the places excused."""
    found: dict[int, frozenset[bytes]] = {}
    run: list[int] = []
    for seq, fate in enumerate([*fates_of, FINE], first):
        if fate == LOST:
            run.append(seq)
            continue
        if run:
            found |= dict.fromkeys(run, frozenset([chain.gap(run[0], run[-1])]))
            run = []
        if fate == REFUSED:
            found[seq] = frozenset([chain.tombstone(seq)])
    return found


def place_of(chain: Chain, envelope: bytes) -> int:
    [seq] = [seq for (_, seq), one in chain.by_place.items() if one == envelope]
    return seq


def cut(envelopes: Sequence[bytes], sizes: Sequence[int]) -> Iterator[list[bytes]]:
    rest = list(envelopes)
    for size in [*sizes, len(rest)]:
        if not rest:
            return
        yield rest[:size]
        rest = rest[size:]


def check_receipts(desk: Desk, device: Device, case: Case, batches: Sequence[Sequence[bytes]]) -> None:
    """Deliver; every receipt must cover only what is here, without a hole that nobody gave up."""
    here: set[bytes] = set()
    newest = (1, 0)
    for batch in batches:
        here |= set(batch)
        delivery = desk.take(device, batch)
        receipt = receipt_of(delivery)
        if receipt:
            place = (receipt.chain_epoch, receipt.through_seq)
            assert place >= newest, "a receipt went back"
            newest = place
            assert case.needs[place] <= here
            assert receipt.head_sha256 in map(envelope_sha256, here)


@EXAMPLES
@given(data=st.data(), script=scripts)
def test_any_order_ends_in_the_same_chain(desk: Desk, data: st.DataObject, script: list[list[str]]) -> None:
    device = desk.enroll()
    case = build(device, script)
    numbers = range(len(case.deliverable))
    again = data.draw(st.lists(st.sampled_from(numbers), max_size=5), label="again")
    order = data.draw(st.permutations([*numbers, *again]), label="order")
    sizes = data.draw(st.lists(st.integers(1, 6), max_size=12), label="sizes")
    check_receipts(desk, device, case, list(cut([case.deliverable[one] for one in order], sizes)))
    # A second reset waits until a person has looked at the first.
    while len(desk.stored(device)) < len(case.chain):
        known = len(desk.stored(device))
        desk.acknowledge(device)
        desk.set_state(device, 2)
        desk.resume(device)
        assert len(desk.stored(device)) > known, "the chain does not go on"
    assert desk.stored(device) == case.chain
    assert desk.head(device) == case.head
    assert desk.waiting(device) == []
    assert [one for one in desk.alarms(device) if one[0] == ALARM_KIND_FORK] == []
    assert len([one for one in desk.alarms(device) if one[0] == ALARM_KIND_RESET]) == len(script) - 1
    # Again, all at once: everything is known, and nothing changes.
    final = desk.take(device, case.deliverable)
    assert set(statuses(final)) <= {"ALREADY_HAVE", "INVALID", "FORK"}
    assert desk.stored(device) == case.chain


@EXAMPLES
@given(data=st.data(), script=st.lists(fates, min_size=1, max_size=1))
def test_with_little_room_a_device_that_goes_on_sending_comes_to_the_same_end(
    desk: Desk, data: st.DataObject, script: list[list[str]]
) -> None:
    limits = {"MAX_STAGED_RECORDS": 2, "MAX_ADVANCE": 3}
    device = desk.enroll()
    case = build(device, script)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in limits.items():
            patch.setattr(f"cloud.attestations.chain_writer.{name}", value)
        for _ in range(2 * len(case.deliverable)):
            sizes = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=9))
            for batch in cut(case.deliverable, sizes):
                while desk.take(device, batch).more:
                    pass
            if desk.head(device) == case.head:
                break
    assert desk.stored(device) == case.chain
    assert desk.waiting(device) == []
