"""The tables, as SQLAlchemy Core. Times are microseconds since 1970 (UTC), digests are raw SHA-256.

Migrations build these in a database; a test compares the two. What belongs to a device has the device's
id first in its key, so that an engine that spreads tables over machines can keep a device together; no
key comes from a sequence. Numbers of a kind or a state are those of the contract's enums.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()

devices = Table(
    "devices",
    metadata,
    Column("device_id", String(36), primary_key=True),
    Column("site_id", String(64), nullable=False),
    Column("key_protection", Integer, nullable=False),
    # SHA-256 of the attestation key's SubjectPublicKeyInfo: one key never has two chains.
    Column("attestation_key_sha256", LargeBinary(32), nullable=False, unique=True),
    Column("enrolled_us", BigInteger, nullable=False),
    # Head of the device's chain; seq 0 and an empty digest before the first record.
    Column("chain_epoch", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("head_sha256", LargeBinary(32), nullable=False),
    Column("last_delivery_us", BigInteger),
    Column("state", Integer, nullable=False, server_default=text("2")),  # DeviceState
    Column("account_id", String(64), nullable=False, server_default=text("''")),
    # The device whose place this one took.
    Column("predecessor_id", String(36)),
    # A TPM has proved that the attestation key lives in it.
    Column("residency", Boolean, nullable=False, server_default=text("FALSE")),
    # SubjectPublicKeyInfo, DER; null only for a device of schema 0001 that has delivered nothing since.
    Column("attestation_key", LargeBinary),
    # To the minute: see devices.touch.
    Column("last_contact_us", BigInteger),
    Index("ix_devices_state", "state", "device_id"),
    Index("ix_devices_site", "site_id", "device_id"),
)

join_tokens = Table(
    "join_tokens",
    metadata,
    # The token itself is never kept.
    Column("token_sha256", LargeBinary(32), primary_key=True),
    Column("site_id", String(64), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("used_us", BigInteger),
    Column("device_id", String(36), ForeignKey("devices.device_id")),
    Column("account_id", String(64), nullable=False, server_default=text("''")),
    Column("predecessor_id", String(36)),
    Column("waive_approval", Boolean, nullable=False, server_default=text("FALSE")),
)

# Every certificate that a device was given; those with revoked_us make up the revocation list.
issued_certificates = Table(
    "issued_certificates",
    metadata,
    Column("device_id", String(36), ForeignKey("devices.device_id"), primary_key=True),
    Column("serial", String(40), primary_key=True),  # lower-case hex
    Column("purpose", String(16), nullable=False),  # attestation or tls_client
    Column("issued_us", BigInteger, nullable=False),
    Column("not_after_us", BigInteger, nullable=False),
    Column("revoked_us", BigInteger),
    Column("reason", Integer),  # RevocationReason
    # Leaf of the chain, for attestation certificates: a renewal gives a young one again.
    Column("certificate_sha256", LargeBinary(32), ForeignKey("certificates.sha256")),
    Index("ix_issued_certificates_revoked", "revoked_us"),
)

# The open question to a device's TPM: at most one for each device.
tpm_challenges = Table(
    "tpm_challenges",
    metadata,
    Column("device_id", String(36), ForeignKey("devices.device_id"), primary_key=True),
    Column("secret_sha256", LargeBinary(32), nullable=False),
    Column("expires_us", BigInteger, nullable=False),
)

alarms = Table(
    "alarms",
    metadata,
    Column("device_id", String(36), ForeignKey("devices.device_id"), primary_key=True),
    Column("alarm_id", String(36), primary_key=True),  # UUID version 7: ascending with time
    Column("kind", Integer, nullable=False),  # AlarmKind
    Column("raised_us", BigInteger, nullable=False),
    Column("chain_epoch", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("reason", String(64), nullable=False),
    Column("acknowledged_us", BigInteger),
    Index("ix_alarms_alarm", "alarm_id"),
)

certificates = Table(
    "certificates",
    metadata,
    Column("sha256", LargeBinary(32), primary_key=True),
    Column("der", LargeBinary, nullable=False),
    # The next certificate of the chain; null below the root, which is left out.
    Column("issuer_sha256", LargeBinary(32), ForeignKey("certificates.sha256")),
)

attestations = Table(
    "attestations",
    metadata,
    Column(
        "log_index", BigInteger, ForeignKey("log_leaves.log_index"), primary_key=True, autoincrement=False
    ),
    Column("attestation_id", String(36), nullable=False, unique=True),
    Column("device_id", String(36), ForeignKey("devices.device_id"), nullable=False),
    Column("chain_epoch", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    # The bytes as the device wrote them.
    Column("envelope", LargeBinary, nullable=False),
    Column("envelope_sha256", LargeBinary(32), nullable=False),
    Column("certificate_sha256", LargeBinary(32), ForeignKey("certificates.sha256"), nullable=False),
    # Copied out of the statement for listing.
    Column("site_id", String(64), nullable=False),
    Column("kind", Integer, nullable=False),
    Column("outcome", Integer, nullable=False),
    Column("reasons", Text, nullable=False),  # JSON list of codes
    Column("wall_us", BigInteger, nullable=False),
    Column("received_us", BigInteger, nullable=False),
    # Size of the tree whose checkpoint the statement cites; null where it cites none of ours.
    Column("cited_tree_size", BigInteger),
    UniqueConstraint("device_id", "chain_epoch", "seq", name="uq_attestations_position"),
    Index("ix_attestations_device", "device_id", "log_index"),
    Index("ix_attestations_outcome", "outcome", "log_index"),
    Index("ix_attestations_cited", "cited_tree_size", "log_index", "device_id"),
)

# Records that are durable and wait for their turn in the chain.
staged = Table(
    "staged",
    metadata,
    Column("device_id", String(36), ForeignKey("devices.device_id"), primary_key=True),
    Column("chain_epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("envelope_sha256", LargeBinary(32), nullable=False),
    Column("leaf_hash", LargeBinary(32), nullable=False),
    Column("certificate_sha256", LargeBinary(32), ForeignKey("certificates.sha256"), nullable=False),
    Column("excusing", Boolean, nullable=False),  # a GAP or a TOMBSTONE
    Column("received_us", BigInteger, nullable=False),
)

# Places of a chain that a GAP or TOMBSTONE of the same epoch has given up.
excuses = Table(
    "excuses",
    metadata,
    Column("device_id", String(36), ForeignKey("devices.device_id"), primary_key=True),
    Column("chain_epoch", BigInteger, primary_key=True, autoincrement=False),
    # The record that says so.
    Column("by_seq", BigInteger, primary_key=True, autoincrement=False),
    Column("first_seq", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    # What the record behind last_seq names as its predecessor.
    Column("last_sha256", LargeBinary(32), nullable=False),
    Column("refused", Boolean, nullable=False),  # a TOMBSTONE: counts only for refused bytes of this digest
)

# Epochs that a RESET opened, with the two heads that it cites.
epochs = Table(
    "epochs",
    metadata,
    Column("device_id", String(36), ForeignKey("devices.device_id"), primary_key=True),
    Column("chain_epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("opened_us", BigInteger, nullable=False),
    # Where the chain stood here: the closed head. Epoch 1 and seq 0 where there was none.
    Column("closed_epoch", BigInteger, nullable=False),
    Column("closed_seq", BigInteger, nullable=False),
    Column("closed_sha256", LargeBinary(32), nullable=False),
    # Where the device says it stood: null where its store was lost.
    Column("device_epoch", BigInteger),
    Column("device_seq", BigInteger),
    Column("device_sha256", LargeBinary(32)),
)

# What was delivered and is in no chain.
side_records = Table(
    "side_records",
    metadata,
    Column("device_id", String(36), ForeignKey("devices.device_id"), primary_key=True),
    Column("sha256", LargeBinary(32), primary_key=True),
    Column("kind", Integer, primary_key=True, autoincrement=False),  # SideRecordKind
    # As claimed; 0 where nothing could be read.
    Column("chain_epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("record_id", String(36), nullable=False),  # UUID version 7: ascending with time
    Column("reason", String(64), nullable=False),
    Column("received_us", BigInteger, nullable=False),
    # Cut, or empty, beyond the limits of cloud.attestations.limits.
    Column("content", LargeBinary, nullable=False),
    Index("ix_side_records_record", "record_id"),
)

# Files that an accepted or staged statement of the device names; the bytes are in DATA/media.
media = Table(
    "media",
    metadata,
    Column("device_id", String(36), ForeignKey("devices.device_id"), primary_key=True),
    Column("sha256", LargeBinary(32), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("attestation_id", String(36), nullable=False),
    Column("name", String(64), nullable=False),
    Column("named_us", BigInteger, nullable=False),
    Column("complete_us", BigInteger),
)

policies = Table(
    "policies",
    metadata,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("envelope", LargeBinary, nullable=False),
    # Of the signed payload, as statements name it.
    Column("payload_sha256", LargeBinary(32), nullable=False),
    Column("issued_us", BigInteger, nullable=False),
)

# How many items were ever published in a scope: all, site:<id> or device:<id>.
feed_scopes = Table(
    "feed_scopes",
    metadata,
    Column("scope", String(80), primary_key=True),
    Column("seq", BigInteger, nullable=False),
)

# The newest item of each kind and id in its scope.
feed_items = Table(
    "feed_items",
    metadata,
    Column("scope", String(80), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Integer, nullable=False),  # DownItemKind
    Column("item_id", String(64), nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("removed", Boolean, nullable=False),
    UniqueConstraint("scope", "kind", "item_id", name="uq_feed_items_item"),
)

log_leaves = Table(
    "log_leaves",
    metadata,
    Column("log_index", BigInteger, primary_key=True, autoincrement=False),
    Column("leaf_hash", LargeBinary(32), nullable=False),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("tree_size", BigInteger, primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
    Column("signed_us", BigInteger, nullable=False),
    # Statements cite a checkpoint by it.
    Column("note_sha256", LargeBinary(32), nullable=False, server_default=text("''")),
    Index("ix_checkpoints_note", "note_sha256"),
)

receipts = Table(
    "receipts",
    metadata,
    Column("sha256", LargeBinary(32), primary_key=True),
    Column("device_id", String(36), ForeignKey("devices.device_id"), nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("signed_us", BigInteger, nullable=False),
    # Leaf of the chain for the key that signed it; null in rows of schema 0001, whose key is still in use.
    Column("certificate_sha256", LargeBinary(32)),
)
