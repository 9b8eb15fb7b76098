"""The rows, module by module: what is written is found again, and nothing else is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, text

from cloud.store import alarms, attestations, devices, feed, lists, media, schema, side
from cloud.store.database import Store, StoreOptions
from verifield.v1.device_service_pb2 import DEVICE_STATE_REVOKED

KEY = bytes(range(32))


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    opened = Store.open(database_url, StoreOptions(require_durable=False))
    yield opened
    opened.close()


def test_a_chain_of_certificates_is_kept_once(store: Store) -> None:
    with store.writing() as connection:
        first = attestations.add_chain(connection, [b"leaf-1", b"issuing"])
        assert attestations.add_chain(connection, [b"leaf-1", b"issuing"]) == first
        second = attestations.add_chain(connection, [b"leaf-2", b"issuing"])
        assert attestations.get_chain(connection, second) == [b"leaf-2", b"issuing"]
        assert connection.execute(text("SELECT count(*) FROM certificates")).scalar() == 3


def test_a_join_token_is_used_once(store: Store) -> None:
    with store.writing() as connection:
        add_device(connection, "d")
        devices.add_join_token(connection, token_sha256=KEY, site_id="s", created_us=1, expires_us=2)
        assert devices.use_join_token(connection, KEY, device_id="d", used_us=1)
        assert not devices.use_join_token(connection, KEY, device_id="d", used_us=1)


def add_device(connection: Connection, device_id: str, *, site_id: str = "s", state: int = 2) -> None:
    devices.add_device(
        connection,
        device_id=device_id,
        site_id=site_id,
        key_protection=1,
        attestation_key_sha256=hashlib.sha256(device_id.encode()).digest(),
        enrolled_us=1,
        chain_epoch=1,
        state=state,
    )


def test_devices_are_listed_by_state_and_site(store: Store) -> None:
    with store.writing() as connection:
        add_device(connection, "a", site_id="x")
        add_device(connection, "b", site_id="y")
        add_device(connection, "c", site_id="y", state=DEVICE_STATE_REVOKED)

        def ids(**filters: Any) -> list[str]:
            query = lists.select_devices(lists.Begin(None, descending=False), 9, **filters)
            return [row.device_id for row in connection.execute(query)]

        assert ids() == ["a", "b", "c"]
        assert ids(site_id="y") == ["b", "c"]
        assert ids(site_id="y", state=DEVICE_STATE_REVOKED) == ["c"]


def test_a_contact_is_written_once_a_minute(store: Store) -> None:
    minute = devices.CONTACT_STEP_US
    with store.writing() as connection:
        add_device(connection, "d")
        row = devices.get_device(connection, "d")
        assert row is not None
        assert devices.needs_touch(row, now_us=5)
        devices.touch(connection, "d", now_us=5)
        row = devices.get_device(connection, "d")
        assert row is not None
        assert row.last_contact_us == 5
        assert not devices.needs_touch(row, now_us=5 + minute - 1)
        assert devices.needs_touch(row, now_us=5 + minute)


def test_a_feed_keeps_the_newest_item_of_each_kind_and_id(store: Store) -> None:
    def items(connection: Connection, scope: str, seq: int) -> list[tuple[int, int, str, bytes, bool]]:
        rows = feed.read_behind(connection, scope, seq=seq, through=1 << 62)
        sizes = feed.sizes_behind(connection, scope, seq=seq, limit=9)
        assert sizes == [(row.seq, len(row.content)) for row in rows]
        return [(row.seq, row.kind, row.item_id, row.content, row.removed) for row in rows]

    with store.writing() as connection:
        assert feed.newest_seq(connection, "all") == 0
        first = feed.publish(connection, "all", kind=1, item_id="a", content=b"one")
        feed.publish(connection, "site:x", kind=1, item_id="a", content=b"other scope")
        kind = feed.publish(connection, "all", kind=2, item_id="a", content=b"other kind")
        second = feed.publish(connection, "all", kind=1, item_id="a", content=b"two")
        assert first < kind < second
        assert items(connection, "all", 0) == [
            (kind, 2, "a", b"other kind", False),
            (second, 1, "a", b"two", False),
        ]
        third = feed.publish(connection, "all", kind=1, item_id="a", removed=True)
        assert items(connection, "all", kind) == [(third, 1, "a", b"", True)]
        assert feed.newest_seq(connection, "all") == third
        assert all(feed.is_known(connection, "all", seq) for seq in (0, first, kind, second, third))
        assert not feed.is_known(connection, "site:x", first)
        assert not feed.is_known(connection, "all", third + 1)


def test_no_seq_is_given_out_twice_also_by_a_store_that_was_restored(store: Store) -> None:
    """The same publications after the same beginning get other numbers."""
    seen: set[int] = set()
    with store.writing() as connection:
        start = feed.publish(connection, "all", kind=1, item_id="a", content=b"x")
        for _ in range(20):
            connection.execute(schema.feed_scopes.update().values(seq=start))
            connection.execute(schema.feed_items.delete().where(schema.feed_items.c.seq > start))
            for name in ("b", "c"):
                seq = feed.publish(connection, "all", kind=1, item_id=name, content=b"x")
                assert start < seq not in seen
                seen.add(seq)


def test_marks_of_long_ago_go(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MARKS_KEPT", 10)
    monkeypatch.setattr(feed, "_PRUNE_EVERY", 1)
    with store.writing() as connection:
        kept = feed.publish(connection, "all", kind=1, item_id="kept", content=b"x")
        seqs = [feed.publish(connection, "all", kind=1, item_id="a", content=b"x") for _ in range(30)]
        known = [feed.is_known(connection, "all", seq) for seq in seqs]
        assert known == [False] * known.count(False) + [True] * known.count(True)
        assert 9 <= known.count(True) <= 11
        assert feed.is_known(connection, "all", kept)  # an item that counts is no mark


def test_an_item_has_a_largest_size_and_nothing_where_it_is_removed(store: Store) -> None:
    with store.writing() as connection:
        feed.publish(connection, "all", kind=1, item_id="a", content=bytes(feed.MAX_CONTENT_BYTES))
        with pytest.raises(ValueError, match="too large"):
            feed.publish(connection, "all", kind=1, item_id="a", content=bytes(feed.MAX_CONTENT_BYTES + 1))
        with pytest.raises(ValueError, match="removed"):
            feed.publish(connection, "all", kind=1, item_id="a", content=b"x", removed=True)


def test_a_file_that_is_named_twice_stays_as_it_was_named_first(store: Store) -> None:
    def row(digest: bytes, name: str) -> media.MediaRow:
        return media.MediaRow("d", digest, 10, "id", name, 1)

    with store.writing() as connection:
        add_device(connection, "d")
        media.add_media(connection, [row(KEY, "first"), row(KEY, "second")])
        media.add_media(connection, [row(KEY, "third"), row(KEY[::-1], "other")])
        assert media.get_media(connection, "d", KEY) == row(KEY, "first")
        assert media.get_media(connection, "d", KEY[::-1]) == row(KEY[::-1], "other")
        assert media.get_media(connection, "e", KEY) is None
        assert media.complete_bytes(connection, "d") == 0
        media.set_complete(connection, "d", KEY, now_us=3)
        assert media.complete_bytes(connection, "d") == 10


def test_alarms_are_found_by_kind_epoch_and_place(store: Store) -> None:
    row = alarms.AlarmRow("d", "alarm-1", 3, 1, 2, 7, "FORK")
    with store.writing() as connection:
        add_device(connection, "d")
        alarms.add_alarm(connection, row)
        assert alarms.has_open(connection, "d")
        assert alarms.has_open(connection, "d", kind=3, chain_epoch=2)
        assert not alarms.has_open(connection, "d", kind=3, chain_epoch=1)
        assert not alarms.has_open(connection, "d", kind=1)
        assert not alarms.has_open(connection, "e")
        assert alarms.acknowledge(connection, row, now_us=9)
        assert not alarms.acknowledge(connection, row, now_us=10)
        assert not alarms.has_open(connection, "d")
        assert alarms.was_raised(connection, "d", kind=3, chain_epoch=2, seq=7)
        assert not alarms.was_raised(connection, "d", kind=3, chain_epoch=2, seq=8)


def test_side_records_are_known_by_kind_and_digest(store: Store) -> None:
    row = side.SideRow("d", KEY, 1, 2, 3, "record-1", "SIGNATURE", 4, b"12345")
    with store.writing() as connection:
        add_device(connection, "d")
        side.add_side_records(connection, [row])
        assert side.known_side_records(connection, "d", kind=1, digests={KEY}) == {(KEY, (2, 3))}
        assert side.known_digests(connection, "d", kind=2, digests={KEY}) == set()
        assert side.known_digests(connection, "e", kind=1, digests={KEY}) == set()
        assert side.fill_of(connection, "d", 1) == side.Fill(1, 5)
        assert side.fill_of(connection, "d", 2) == side.Fill(0, 0)
