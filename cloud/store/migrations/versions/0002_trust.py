"""States of devices, staging and side records, alarms, the feed, media; citations of checkpoints."""

import hashlib
from typing import Any

import sqlalchemy as sa
from alembic import op
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from verifield.v1.attestation_pb2 import Statement
from verifield.v1.bundle_pb2 import Envelope

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Rows read at once: memory stays small however large the database is.
_CHUNK = 1000
_ACTIVE = "2"  # DeviceState: every device of schema 0001 is


def upgrade() -> None:
    """Add what is new, and fill what can be known of the old rows."""
    _extend_tables()
    _create_device_tables()
    _create_chain_tables()
    _create_down_tables()
    connection = op.get_bind()
    _fill_checkpoints(connection)
    _fill_citations(connection)
    _fill_certificates(connection)


def _extend_tables() -> None:
    columns: dict[str, list[sa.Column[Any]]] = {
        "devices": [
            sa.Column("state", sa.Integer, nullable=False, server_default=sa.text(_ACTIVE)),
            sa.Column("account_id", sa.String(64), nullable=False, server_default=sa.text("''")),
            sa.Column("predecessor_id", sa.String(36)),
            sa.Column("residency", sa.Boolean, nullable=False, server_default=sa.text("FALSE")),
            sa.Column("attestation_key", sa.LargeBinary),
            sa.Column("last_contact_us", sa.BigInteger),
        ],
        "join_tokens": [
            sa.Column("account_id", sa.String(64), nullable=False, server_default=sa.text("''")),
            sa.Column("predecessor_id", sa.String(36)),
            sa.Column("waive_approval", sa.Boolean, nullable=False, server_default=sa.text("FALSE")),
        ],
        "attestations": [sa.Column("cited_tree_size", sa.BigInteger)],
        "checkpoints": [
            sa.Column("note_sha256", sa.LargeBinary(32), nullable=False, server_default=sa.text("''"))
        ],
        "receipts": [sa.Column("certificate_sha256", sa.LargeBinary(32))],
    }
    for table, added in columns.items():
        for column in added:
            op.add_column(table, column)
    op.create_index("ix_devices_state", "devices", ["state", "device_id"])
    op.create_index("ix_devices_site", "devices", ["site_id", "device_id"])
    op.create_index("ix_attestations_cited", "attestations", ["cited_tree_size", "log_index", "device_id"])
    op.create_index("ix_checkpoints_note", "checkpoints", ["note_sha256"])


def _device_id() -> sa.Column[str]:
    return sa.Column("device_id", sa.String(36), sa.ForeignKey("devices.device_id"), primary_key=True)


def _number_in_key(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, primary_key=True, autoincrement=False)


def _create_device_tables() -> None:
    op.create_table(
        "issued_certificates",
        _device_id(),
        sa.Column("serial", sa.String(40), primary_key=True),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("issued_us", sa.BigInteger, nullable=False),
        sa.Column("not_after_us", sa.BigInteger, nullable=False),
        sa.Column("revoked_us", sa.BigInteger),
        sa.Column("reason", sa.Integer),
        sa.Column("certificate_sha256", sa.LargeBinary(32), sa.ForeignKey("certificates.sha256")),
    )
    op.create_index("ix_issued_certificates_revoked", "issued_certificates", ["revoked_us"])
    op.create_table(
        "tpm_challenges",
        _device_id(),
        sa.Column("secret_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "alarms",
        _device_id(),
        sa.Column("alarm_id", sa.String(36), primary_key=True),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("raised_us", sa.BigInteger, nullable=False),
        sa.Column("chain_epoch", sa.BigInteger, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("acknowledged_us", sa.BigInteger),
    )
    op.create_index("ix_alarms_alarm", "alarms", ["alarm_id"])


def _create_chain_tables() -> None:
    op.create_table(
        "staged",
        _device_id(),
        _number_in_key("chain_epoch"),
        _number_in_key("seq"),
        sa.Column("envelope", sa.LargeBinary, nullable=False),
        sa.Column("envelope_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(32), nullable=False),
        sa.Column(
            "certificate_sha256", sa.LargeBinary(32), sa.ForeignKey("certificates.sha256"), nullable=False
        ),
        sa.Column("excusing", sa.Boolean, nullable=False),
        sa.Column("received_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "excuses",
        _device_id(),
        _number_in_key("chain_epoch"),
        _number_in_key("by_seq"),
        sa.Column("first_seq", sa.BigInteger, nullable=False),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("last_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("refused", sa.Boolean, nullable=False),
    )
    op.create_table(
        "epochs",
        _device_id(),
        _number_in_key("chain_epoch"),
        sa.Column("opened_us", sa.BigInteger, nullable=False),
        sa.Column("closed_epoch", sa.BigInteger, nullable=False),
        sa.Column("closed_seq", sa.BigInteger, nullable=False),
        sa.Column("closed_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("device_epoch", sa.BigInteger),
        sa.Column("device_seq", sa.BigInteger),
        sa.Column("device_sha256", sa.LargeBinary(32)),
    )
    op.create_table(
        "side_records",
        _device_id(),
        sa.Column("sha256", sa.LargeBinary(32), primary_key=True),
        sa.Column("kind", sa.Integer, primary_key=True, autoincrement=False),
        _number_in_key("chain_epoch"),
        _number_in_key("seq"),
        sa.Column("record_id", sa.String(36), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("received_us", sa.BigInteger, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_side_records_record", "side_records", ["record_id"])
    op.create_table(
        "media",
        _device_id(),
        sa.Column("sha256", sa.LargeBinary(32), primary_key=True),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("attestation_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("named_us", sa.BigInteger, nullable=False),
        sa.Column("complete_us", sa.BigInteger),
    )


def _create_down_tables() -> None:
    op.create_table(
        "policies",
        _number_in_key("version"),
        sa.Column("envelope", sa.LargeBinary, nullable=False),
        sa.Column("payload_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("issued_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "feed_scopes",
        sa.Column("scope", sa.String(80), primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "feed_items",
        sa.Column("scope", sa.String(80), primary_key=True),
        _number_in_key("seq"),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("item_id", sa.String(64), nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("removed", sa.Boolean, nullable=False),
        sa.UniqueConstraint("scope", "kind", "item_id", name="uq_feed_items_item"),
    )


def _fill_checkpoints(connection: sa.Connection) -> None:
    table = sa.table("checkpoints", sa.column("tree_size"), sa.column("note"), sa.column("note_sha256"))
    change = (
        sa.update(table)
        .where(table.c.tree_size == sa.bindparam("key"))
        .values(note_sha256=sa.bindparam("digest"))
    )
    after = -1
    while True:
        query = sa.select(table.c.tree_size, table.c.note).where(table.c.tree_size > after)
        rows = connection.execute(query.order_by(table.c.tree_size).limit(_CHUNK)).all()
        if not rows:
            return
        connection.execute(
            change, [{"key": size, "digest": hashlib.sha256(note.encode()).digest()} for size, note in rows]
        )
        after = rows[-1].tree_size


def _fill_citations(connection: sa.Connection) -> None:
    table = sa.table(
        "attestations", sa.column("log_index"), sa.column("envelope"), sa.column("cited_tree_size")
    )
    notes = sa.table("checkpoints", sa.column("tree_size"), sa.column("note_sha256"))
    change = (
        sa.update(table)
        .where(table.c.log_index == sa.bindparam("key"))
        .values(cited_tree_size=sa.bindparam("size"))
    )
    after = -1
    while True:
        query = sa.select(table.c.log_index, table.c.envelope).where(table.c.log_index > after)
        rows = connection.execute(query.order_by(table.c.log_index).limit(_CHUNK)).all()
        if not rows:
            return
        cited = {index: _cited_checkpoint(envelope) for index, envelope in rows}
        known = sa.select(notes.c.note_sha256, notes.c.tree_size).where(
            notes.c.note_sha256.in_(set(cited.values()) - {b""})
        )
        sizes = {bytes(digest): size for digest, size in connection.execute(known)}
        changes = [
            {"key": index, "size": sizes[digest]} for index, digest in cited.items() if digest in sizes
        ]
        if changes:
            connection.execute(change, changes)
        after = rows[-1].log_index


def _cited_checkpoint(envelope: bytes) -> bytes:
    return Statement.FromString(Envelope.FromString(envelope).payload).last_checkpoint_sha256


def _fill_certificates(connection: sa.Connection) -> None:
    """What devices signed with: their certificates and their keys."""
    attestations = sa.table(
        "attestations", sa.column("device_id"), sa.column("certificate_sha256"), sa.column("received_us")
    )
    certificates = sa.table("certificates", sa.column("sha256"), sa.column("der"))
    devices = sa.table("devices", sa.column("device_id"), sa.column("attestation_key"))
    issued = sa.table(
        "issued_certificates",
        *map(
            sa.column,
            ("device_id", "serial", "purpose", "issued_us", "not_after_us", "certificate_sha256"),
        ),
    )
    query = (
        sa.select(attestations.c.device_id, certificates.c.sha256, certificates.c.der)
        .join(certificates, certificates.c.sha256 == attestations.c.certificate_sha256)
        .distinct()
    )
    filled: set[tuple[str, int]] = set()
    for device_id, sha256, der in connection.execute(query).all():
        certificate = x509.load_der_x509_certificate(der)
        # An ECDSA signature has a twin that is as good: one certificate may be here in two forms.
        if (device_id, certificate.serial_number) in filled:
            continue
        filled.add((device_id, certificate.serial_number))
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        connection.execute(
            sa.update(devices).where(devices.c.device_id == device_id).values(attestation_key=key)
        )
        connection.execute(
            sa.insert(issued).values(
                device_id=device_id,
                serial=f"{certificate.serial_number:x}",
                purpose="attestation",
                issued_us=int(certificate.not_valid_before_utc.timestamp() * 1_000_000),
                not_after_us=int(certificate.not_valid_after_utc.timestamp() * 1_000_000),
                certificate_sha256=bytes(sha256),
            )
        )
