"""Every released schema is brought forward, whole or not at all; a newer one is left alone."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import create_engine, text

from cloud.errors import SetupError
from cloud.sources import to_us
from cloud.store import attestations, database, devices
from cloud.store import log as log_rows
from cloud.store.database import Store
from cloud.store.schema import metadata
from tests.support.authority import Authority, Device, verification
from verifield.v1.device_service_pb2 import DEVICE_STATE_ACTIVE

KEY = bytes(range(32))


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'test.db'}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = Store.open(url)
    yield opened
    opened.close()


def test_migrations_build_the_tables_of_the_schema(store: Store) -> None:
    with store.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_newer_schema_is_refused_and_left_alone(store: Store, url: str, tmp_path: Path) -> None:
    store.close()
    with closing(sqlite3.connect(tmp_path / "test.db")) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
        raw.commit()
        with pytest.raises(SetupError) as caught:
            Store.open(url)
        assert caught.value.code == "DATABASE_NEWER"
        assert raw.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]


P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

MIGRATIONS = Path(database.__file__).with_name("migrations")


def write_0001(path: Path) -> tuple[Device, list[str], list[bytes]]:
    """A database as version 0001 left it: a device with three records, the last two of which cite a
    checkpoint, and a device without any. Returns the first device, the notes and the envelopes."""
    authority = Authority.create()
    device = authority.enroll("device-1")
    notes, envelopes = [authority.checkpoint(0)], []
    leaf, issuing = (hashlib.sha256(der).digest() for der in device.chain)
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        add = connection.exec_driver_sql
        add("INSERT INTO devices VALUES ('device-1', 'site-1', 1, ?, 5, 1, 3, ?, 7)", (KEY, KEY))
        add("INSERT INTO devices VALUES ('device-2', 'site-1', 1, ?, 5, 1, 0, x'', NULL)", (KEY[::-1],))
        add("INSERT INTO join_tokens VALUES (?, 'site-1', 1, 2, NULL, NULL)", (KEY,))
        add("INSERT INTO certificates VALUES (?, ?, NULL)", (issuing, device.chain[1]))
        add("INSERT INTO certificates VALUES (?, ?, ?)", (leaf, device.chain[0], issuing))
        add("INSERT INTO checkpoints VALUES (0, ?, 1)", (notes[0],))
        add("INSERT INTO receipts VALUES (?, 'device-1', ?, 9)", (KEY, b"receipt"))
        for number in range(3):
            statement = verification(device)
            if number:
                statement.last_checkpoint_sha256 = hashlib.sha256(notes[-1].encode()).digest()
            envelopes.append(device.sign(statement))
            authority.append(envelopes[-1], device.chain[0])
            notes.append(authority.checkpoint())
            add("INSERT INTO log_leaves VALUES (?, ?)", (number, KEY))
            add("INSERT INTO checkpoints VALUES (?, ?, 1)", (number + 1, notes[-1]))
            add(
                "INSERT INTO attestations"
                " VALUES (?, ?, 'device-1', 1, ?, ?, ?, ?, 'site-1', 1, 1, '[]', 3, 4)",
                (number, statement.attestation_id, number + 1, envelopes[-1], KEY, leaf),
            )
    engine.dispose()
    return device, notes, envelopes


@pytest.mark.parametrize("chunk", [1, 2, 1000])
def test_a_filled_database_of_version_0001_is_brought_forward(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    device, notes, envelopes = write_0001(tmp_path / "test.db")
    load = ScriptDirectory._load_revisions

    def with_chunk(scripts: ScriptDirectory) -> Iterator[Script]:
        for script in load(scripts):
            if script.revision == "0002":
                script.module._CHUNK = chunk
            yield script

    monkeypatch.setattr(ScriptDirectory, "_load_revisions", with_chunk)
    opened = Store.open(url)
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
        assert list(kept) == envelopes
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


def test_a_certificate_in_two_forms_is_one(url: str, tmp_path: Path) -> None:
    device, _, _ = write_0001(tmp_path / "test.db")
    other = twin(device.certificate)
    parsed = x509.load_der_x509_certificate(other)
    assert other != device.chain[0]
    parsed.verify_directly_issued_by(x509.load_der_x509_certificate(device.chain[1]))
    digest = hashlib.sha256(other).digest()
    with closing(sqlite3.connect(tmp_path / "test.db")) as raw:
        raw.execute(
            "INSERT INTO certificates SELECT ?, ?, issuer_sha256 FROM certificates LIMIT 1", (digest, other)
        )
        raw.execute("UPDATE attestations SET certificate_sha256 = ? WHERE log_index = 2", (digest,))
        raw.commit()
    opened = Store.open(url)
    with opened.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM issued_certificates")).scalar() == 1
    opened.close()


def test_a_migration_that_fails_leaves_the_old_schema(url: str, tmp_path: Path) -> None:
    write_0001(tmp_path / "test.db")
    with closing(sqlite3.connect(tmp_path / "test.db")) as raw:
        raw.execute("UPDATE certificates SET der = x'00'")
        raw.commit()
    with pytest.raises(ValueError, match="error parsing"):
        Store.open(url)
    with closing(sqlite3.connect(tmp_path / "test.db")) as raw:
        assert raw.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
        names = {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert not names & {"staged", "alarms", "feed_items"}
        assert "state" not in {row[1] for row in raw.execute("PRAGMA table_info(devices)")}
