"""Lists over all devices: in order, whole, stable while more comes in, and read from indexes."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from importlib import import_module

import pytest
from sqlalchemy import Connection, Table, text

from cloud.store import alarms, attestations, audit, devices, lists, log, side
from cloud.store.attestations import AttestationRow, NewRow, SummaryRow
from cloud.store.database import Store, StoreOptions
from cloud.store.lanes import LANES, lane_of
from cloud.store.schema import metadata
from tests.support.plans import plans

DEVICES = [f"device-{number}" for number in range(12)]
RECORDS = 240


@pytest.fixture(scope="module")
def store(module_database_url: str) -> Iterator[Store]:
    opened = Store.open(module_database_url, StoreOptions(require_durable=False))
    try:
        opened.run(fill)
        yield opened
    finally:
        opened.close()


def fill(connection: Connection) -> None:
    """Records of all devices in the log, in the order of each chain; some leaves are no records."""
    chance = random.Random(7)
    for device_id in DEVICES:
        add_device(connection, device_id)
    heads = dict.fromkeys(DEVICES, (1, 0))
    index = 0
    for _ in range(RECORDS):
        if chance.random() < 0.05:
            log.add_leaves(connection, index, [bytes(32)], [None])
            index += 1
        device_id = chance.choice(DEVICES)
        epoch, seq = heads[device_id]
        place = (epoch + 1, 1) if seq and chance.random() < 0.05 else (epoch, seq + 1)
        heads[device_id] = place
        cites = chance.randrange(-40, index + 1)
        log.add_leaves(connection, index, [bytes(32)], [(device_id, *place)])
        add_record(connection, device_id, place, index, outcome=chance.randrange(7), cites=cites)
        index += 1


def add_device(connection: Connection, device_id: str) -> None:
    devices.add_device(
        connection,
        device_id=device_id,
        site_id="s",
        key_protection=1,
        attestation_key_sha256=hashlib.sha256(device_id.encode()).digest(),
        enrolled_us=1,
        chain_epoch=1,
        state=2,
    )


def add_record(
    connection: Connection,
    device_id: str,
    place: tuple[int, int],
    index: int,
    *,
    outcome: int,
    cites: int = 0,
) -> None:
    row = NewRow(
        device_id=device_id,
        chain_epoch=place[0],
        seq=place[1],
        attestation_id=f"{index:036}",
        log_index=index,
        lane=lane_of(device_id),
        envelope=b"%d" % index,
        envelope_sha256=hashlib.sha256(b"%d" % index).digest(),
        certificate_sha256=bytes(32),
        site_id="s",
        kind=1,
        outcome=outcome,
        reasons="[]",
        wall_us=1,
        received_us=1,
        cited_tree_size=cites if cites > 0 else None,
    )
    attestations.add_attestations(connection, [row])


def everything(connection: Connection) -> list[AttestationRow]:
    """All records, newest first, by another way."""
    ids = connection.execute(text("SELECT attestation_id FROM attestations")).scalars().all()
    rows = [attestations.get_attestation(connection, one) for one in ids]
    return sorted((row for row in rows if row is not None), key=lambda row: -row.log_index)


def read(
    connection: Connection,
    *,
    behind: int | None = None,
    limit: int = 500,
    descending: bool = True,
    device_id: str = "",
    outcome: int = 0,
) -> list[SummaryRow]:
    begin = lists.Begin(behind, descending)
    query = lists.select_attestations(connection, begin, limit, device_id=device_id, outcome=outcome)
    return [SummaryRow(**row._mapping) for row in connection.execute(query)]


def pages(
    connection: Connection, *, descending: bool = True, device_id: str = "", outcome: int = 0
) -> list[SummaryRow]:
    """All pages of seven, one after the other."""
    found: list[SummaryRow] = []
    while True:
        page = read(
            connection,
            behind=found[-1].log_index if found else None,
            limit=7,
            descending=descending,
            device_id=device_id,
            outcome=outcome,
        )
        found += page
        if len(page) < 7:
            return found


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize(
    ("device_id", "outcome"), [("", 0), ("", 3), ("device-3", 0), ("device-3", 3), ("nobody", 0), ("", 99)]
)
def test_pages_hold_each_record_once_in_order(
    store: Store, device_id: str, outcome: int, descending: bool
) -> None:
    with store.reading() as connection:
        wanted = [
            row.attestation_id
            for row in everything(connection)[:: 1 if descending else -1]
            if device_id in ("", row.device_id) and outcome in (0, row.outcome)
        ]
        found = pages(connection, descending=descending, device_id=device_id, outcome=outcome)
    assert [row.attestation_id for row in found] == wanted


@pytest.mark.parametrize(("device_id", "outcome"), [("", 0), ("device-3", 0), ("", 3)])
def test_pages_stay_as_they_are_while_more_comes_in(store: Store, device_id: str, outcome: int) -> None:
    with store.writing() as connection:
        first = read(connection, limit=5, device_id=device_id, outcome=outcome)
        before = pages(connection, device_id=device_id, outcome=outcome)
        head = read(connection, limit=1, device_id="device-3")[0]
        index, place = (log.newest_index(connection) or 0) + 1, (head.chain_epoch, head.seq + 1)
        log.add_leaves(connection, index, [bytes(32)], [("device-3", *place)])
        add_record(connection, "device-3", place, index, outcome=3)
        after = read(connection, behind=first[-1].log_index, device_id=device_id, outcome=outcome)
        assert [*first, *after] == before
        assert read(connection, limit=1, device_id=device_id, outcome=outcome)[0].log_index == index


def test_a_page_may_begin_at_a_leaf_of_another_device(store: Store) -> None:
    """As a made-up position would: what is below it is found all the same."""
    with store.reading() as connection:
        rows = everything(connection)
        middle = next(row for row in rows[RECORDS // 2 :] if row.device_id != "device-3")
        found = read(connection, behind=middle.log_index, device_id="device-3")
        wanted = [row for row in rows if row.device_id == "device-3" and row.log_index < middle.log_index]
        assert [row.attestation_id for row in found] == [row.attestation_id for row in wanted]
        assert wanted


def test_witnesses_are_of_other_devices_and_of_the_smallest_trees(store: Store) -> None:
    with store.reading() as connection:
        rows = everything(connection)
        for index in (0, 50, 200):
            citing = sorted(
                (row.cited_tree_size, row.log_index, row.device_id)
                for row in rows
                if row.cited_tree_size is not None and row.cited_tree_size > index
            )
            first: dict[str, int] = {}
            for _, at, device_id in citing:
                if device_id != "device-1":
                    first.setdefault(device_id, at)
            found = attestations.find_witnesses(connection, index, but="device-1", limit=3)
            assert [row.log_index for row in found] == list(first.values())[:3]


def list_alarms(
    connection: Connection, *, before: str = "", limit: int, device_id: str = ""
) -> list[tuple[str, str]]:
    query = lists.select_alarms(lists.Begin(before or None, descending=True), limit, device_id=device_id)
    return [(row.alarm_id, row.device_id) for row in connection.execute(query)]


def list_side(
    connection: Connection, *, before: str = "", limit: int, device_id: str = ""
) -> list[tuple[str, str]]:
    rows = side.list_side_records(connection, before=before, limit=limit, device_id=device_id)
    return [(row.record_id, row.device_id) for row in rows]


@pytest.mark.parametrize("kind", ["alarms", "side"])
def test_alarms_and_side_records_come_newest_first_over_all_devices(store: Store, kind: str) -> None:
    chance = random.Random(3)
    wanted = [(f"{number:036}", chance.choice(DEVICES)) for number in range(60)]
    rows = [
        side.SideRow(device_id, name.encode()[-32:], 1, 1, 1, name, "SIGNATURE", 1, b"x")
        for name, device_id in wanted
    ]
    with store.writing() as connection:
        if kind == "side":
            side.add_side_records(connection, rows)
        else:
            for name, device_id in wanted:
                alarms.add_alarm(connection, alarms.AlarmRow(device_id, name, 3, 1, 1, 1, "FORK"))
            found = [alarms.get_alarm(connection, name) for name, _ in wanted[:9]]
            assert [(one.alarm_id, one.device_id) for one in found if one] == wanted[:9]
            assert alarms.get_alarm(connection, "f" * 36) is None
        ask = list_side if kind == "side" else list_alarms
        for device_id in ("", "device-3"):
            seen: list[tuple[str, str]] = []
            while True:
                page = ask(connection, before=seen[-1][0] if seen else "", limit=7, device_id=device_id)
                seen += page
                if len(page) < 7:
                    break
            assert seen == [one for one in reversed(wanted) if device_id in ("", one[1])]


def test_devices_spread_over_the_lanes_and_never_change_theirs() -> None:
    lanes = [lane_of(f"0198{number:08x}-7000") for number in range(8000)]
    assert all(800 < lanes.count(lane) < 1200 for lane in range(LANES))
    # Rows keep the lane that they were written with: another function would lose them.
    assert [lane_of(name) for name in ("device-1", "device-2", "device-3")] == [1, 3, 5]


def test_no_list_reads_a_whole_table(store: Store) -> None:
    with store.reading() as connection:
        asked: dict[str, Callable[[], object]] = {
            "all": lambda: read(connection, behind=100, limit=5),
            "device": lambda: read(connection, limit=5, device_id="device-3"),
            "outcome": lambda: read(connection, behind=100, limit=5, outcome=3),
            "witnesses": lambda: attestations.find_witnesses(connection, 5, but="device-1", limit=3),
            "alarms": lambda: list_alarms(connection, before="f", limit=5),
            "side": lambda: list_side(connection, before="f", limit=5),
            "one": lambda: attestations.get_attestation(connection, "x"),
            "successor": lambda: devices.has_successor(connection, "x"),
        }
        for name, ask in asked.items():
            for plan in plans(connection, ask):
                whole = [line for line in plan.splitlines() if "Seq Scan" in line or is_scan(line)]
                assert not whole, f"{name}: {plan}"


def test_what_is_rare_is_found_without_reading_the_rest(store: Store) -> None:
    begin = lists.Begin(None, descending=True)
    with store.reading() as connection:
        [plan] = plans(connection, lambda: audit.leaves_without_record(connection))
        assert "ix_log_leaves_own" in plan
        query = lists.select_alarms(begin, 5, open_only=True)
        [plan] = plans(connection, lambda: connection.execute(query).all())
        assert plan.count("ix_alarms_open") == LANES


def is_scan(line: str) -> bool:
    """A table or a whole index that SQLite reads from its beginning, but for merged parts of a list."""
    return line.startswith("SCAN ") and "log_leaves USING INDEX" not in line and "anon_" not in line


# What people do at counters and on their telephones comes by tens a second, from a whole country.
OF_PEOPLE = {
    name
    for room in (
        "accounts",
        "bank",
        "business",
        "certifications",
        "codes",
        "contracts",
        "organisations",
        "signatures",
        "signers",
        "storage",
        "verifications",
    )
    for name, table in vars(import_module(f"cloud.store.schema.{room}")).items()
    if isinstance(table, Table)
}


def test_no_index_but_those_of_the_log_is_led_by_time() -> None:
    """New rows of all devices must not meet at the end of one index."""
    by_time = {"log_index", "tree_size", "cited_tree_size", "record_id", "alarm_id", "seq", "uuid"}
    serial = {"log_leaves", "checkpoints", "log_tiles", "audit_events", "audit_heads"}  # one writer each
    # Of what was revoked alone, which is rare; see docs/scale.md.
    allowed = {("issued_certificates", "revoked_us")}
    for name, table in metadata.tables.items():
        if name in OF_PEOPLE:
            continue
        keys = [list(table.primary_key.columns), *(list(index.columns) for index in table.indexes)]
        for first, *_ in keys:
            timed = first.name in by_time or first.name.endswith("_us")
            assert name in serial or not timed or (name, first.name) in allowed, (name, first.name)
