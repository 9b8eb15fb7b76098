"""Every released schema is brought forward, whole or not at all; a newer one is left alone."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import Connection, inspect, text

from cloud.errors import SetupError
from cloud.sources import to_us
from cloud.store import attestations, database, devices, lists
from cloud.store import log as log_rows
from cloud.store.database import Store, StoreOptions
from cloud.store.lanes import lane_of
from cloud.store.schema import metadata
from tests.support.released import KEY, all_rows, insert, raw, write_0001, write_0002
from verifield.v1.device_service_pb2 import DEVICE_STATE_ACTIVE


def open_store(url: str) -> Store:
    return Store.open(url, StoreOptions(require_durable=False))


@pytest.fixture
def store(empty_database_url: str) -> Iterator[Store]:
    opened = open_store(empty_database_url)
    yield opened
    opened.close()


def keys_of(connection: Connection) -> dict[str, Any]:
    """What a comparison of columns does not see: primary keys, what refers to what, and partial indexes."""
    inspector = inspect(connection)
    found: dict[str, Any] = {}
    for table in metadata.tables:
        foreign = {
            (*key["constrained_columns"], key["referred_table"]) for key in inspector.get_foreign_keys(table)
        }
        partial = {
            index["name"]
            for index in inspector.get_indexes(table)
            if {"postgresql_where", "sqlite_where"} & set(index.get("dialect_options", {}))
        }
        found[table] = inspector.get_pk_constraint(table)["constrained_columns"], foreign, partial
    return found


def wanted_keys() -> dict[str, Any]:
    return {
        name: (
            [column.name for column in table.primary_key],
            {(key.parent.name, key.column.table.name) for key in table.foreign_keys},
            {index.name for index in table.indexes if index.dialect_options["sqlite"]["where"] is not None},
        )
        for name, table in metadata.tables.items()
    }


def test_migrations_build_the_tables_of_the_schema(store: Store) -> None:
    with store.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert keys_of(connection) == wanted_keys()


def test_a_newer_schema_is_refused_and_left_alone(store: Store, empty_database_url: str) -> None:
    store.close()
    with raw(empty_database_url) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SetupError) as caught:
        open_store(empty_database_url)
    assert caught.value.code == "DATABASE_NEWER"
    with raw(empty_database_url) as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == ["9999"]


P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.mark.parametrize("chunk", [1, 2])
def test_a_filled_database_of_version_0001_is_brought_forward(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    released = write_0001(empty_database_url)
    device, notes = released.device, released.notes
    load = ScriptDirectory._load_revisions

    def with_chunk(scripts: ScriptDirectory) -> Iterator[Script]:
        for script in load(scripts):
            if hasattr(script.module, "_CHUNK"):
                vars(script.module)["_CHUNK"] = chunk
            yield script

    monkeypatch.setattr(ScriptDirectory, "_load_revisions", with_chunk)
    opened = open_store(empty_database_url)
    with opened.reading() as connection:
        row = devices.get_device(connection, "device-1")
        assert row is not None
        assert (row.state, row.seq, row.residency, row.account_id) == (DEVICE_STATE_ACTIVE, 3, False, "")
        spki = device.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert row.attestation_key == spki
        fresh = devices.get_device(connection, "device-2")
        assert fresh is not None
        assert (fresh.state, fresh.attestation_key) == (DEVICE_STATE_ACTIVE, None)
        [certificate] = connection.execute(text("SELECT * FROM issued_certificates"))
        assert certificate.device_id == "device-1"
        assert certificate.serial == f"{device.certificate.serial_number:x}"
        assert certificate.purpose == "attestation"
        assert certificate.not_after_us == to_us(device.certificate.not_valid_after_utc)
        assert certificate.certificate_sha256 == hashlib.sha256(device.chain[0]).digest()
        digests = [hashlib.sha256(note.encode()).digest() for note in notes]
        assert log_rows.sizes_of_notes(connection, digests) == {one: size for size, one in enumerate(digests)}
        cited = connection.execute(text("SELECT cited_tree_size FROM attestations ORDER BY log_index"))
        assert list(cited.scalars()) == [None, 1, 2]
        token = devices.get_join_token(connection, KEY)
        assert token is not None
        assert (token.account_id, token.waive_approval, token.predecessor_id) == ("", False, None)
        receipt = attestations.get_receipt(connection, KEY, device_id="device-1")
        assert receipt == attestations.ReceiptRow(b"receipt", None)
        kept = connection.execute(text("SELECT envelope FROM attestations ORDER BY log_index")).scalars()
        assert list(kept) == released.envelopes
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    opened.close()


def twin(certificate: x509.Certificate) -> bytes:
    """The same certificate with the other signature that ECDSA allows for it, (r, n - s)."""
    r, s = decode_dss_signature(certificate.signature)
    der = certificate.public_bytes(Encoding.DER)
    start = der.index(certificate.signature)
    signature = encode_dss_signature(r, P256_ORDER - s)
    if len(signature) == len(certificate.signature):
        return der[:start] + signature
    grown = len(signature) - len(certificate.signature)
    size = int.from_bytes(der[2:4], "big") + grown  # 30 82 SIZE SIZE
    return der[:2] + size.to_bytes(2, "big") + der[4 : start - 2] + bytes([len(signature) + 1, 0]) + signature


def test_a_certificate_in_two_forms_is_one(empty_database_url: str) -> None:
    device = write_0001(empty_database_url).device
    other = twin(device.certificate)
    parsed = x509.load_der_x509_certificate(other)
    assert other != device.chain[0]
    parsed.verify_directly_issued_by(x509.load_der_x509_certificate(device.chain[1]))
    digest = hashlib.sha256(other).digest()
    with raw(empty_database_url) as connection:
        insert(connection, "certificates", sha256=digest, der=other)
        change = text("UPDATE attestations SET certificate_sha256 = :digest WHERE log_index = 2")
        connection.execute(change, {"digest": digest})
    opened = open_store(empty_database_url)
    with opened.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM issued_certificates")).scalar() == 1
    opened.close()


def test_a_migration_that_fails_leaves_the_old_schema(empty_database_url: str) -> None:
    write_0001(empty_database_url)
    with raw(empty_database_url) as connection:
        connection.execute(text("UPDATE certificates SET der = :der"), {"der": b"\0"})
        before = all_rows(connection)
    with pytest.raises(ValueError, match="error parsing"):
        open_store(empty_database_url)
    with raw(empty_database_url) as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == ["0001"]
        assert all_rows(connection) == before


def test_a_filled_database_of_version_0002_is_brought_forward(empty_database_url: str) -> None:
    """Each row of each table is there as it was; what is new beside it is what can be known."""
    _, before = write_0002(empty_database_url)
    assert all(before.values()), "a table without rows shows nothing"
    open_store(empty_database_url).close()
    with raw(empty_database_url) as connection:
        after = all_rows(connection)
        assert keys_of(connection) == wanted_keys()
    for table, rows in before.items():
        columns = set(rows[0])
        kept = [{name: row[name] for name in columns} for row in after[table]]
        assert sorted(kept, key=by_content) == sorted(rows, key=by_content), table
    for table in ("attestations", "alarms", "side_records"):
        assert {(row["device_id"], row["lane"]) for row in after[table]} == {
            (row["device_id"], lane_of(row["device_id"])) for row in before[table]
        }
    places = [
        (row["log_index"], row["device_id"], row["chain_epoch"], row["seq"]) for row in after["log_leaves"]
    ]
    assert sorted(places) == [(0, "device-1", 1, 1), (1, "device-1", 1, 2), (2, "device-1", 1, 3)]


def by_content(row: dict[str, Any]) -> str:
    return repr(sorted(row.items()))


def test_the_rows_of_version_0002_are_found_in_the_new_ways(empty_database_url: str) -> None:
    released, _ = write_0002(empty_database_url)
    opened = open_store(empty_database_url)
    with opened.reading() as connection:
        for device_id, outcome in (("", 0), ("device-1", 0), ("", 1), ("device-1", 1)):
            query = lists.select_attestations(
                connection, lists.Begin(None, descending=True), 9, device_id=device_id, outcome=outcome
            )
            assert [row.log_index for row in connection.execute(query)] == [2, 1, 0]
        assert attestations.get_receipt(connection, KEY[::-1], device_id="device-2") is not None
        # The second and the third record cite the trees of one leaf and of two.
        seen = attestations.find_witnesses(connection, 0, but="device-2", limit=3)
        assert [row.envelope for row in seen] == [released.envelopes[1]]
    opened.close()


def test_servers_that_start_together_migrate_once(empty_database_url: str) -> None:
    write_0001(empty_database_url)
    began = threading.Barrier(4)
    faults: list[BaseException] = []

    def start() -> None:
        began.wait(30)
        try:
            open_store(empty_database_url).close()
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert faults == []
    with raw(empty_database_url) as connection:
        [version] = connection.execute(text("SELECT version_num FROM alembic_version")).scalars()
        assert version == database._scripts().get_current_head()
        assert connection.execute(text("SELECT count(*) FROM issued_certificates")).scalar() == 1
