"""The tables, as SQLAlchemy Core. Times are microseconds since 1970 (UTC), digests are raw SHA-256.

Migrations build these in a database; a test compares the two. What belongs to a device has the device's
id first in its key, so that an engine that spreads tables over machines can keep a device together; no
key comes from a sequence. Numbers of a kind or a state are those of the contract's enums.
"""

from cloud.store.schema.attestations import (
    attestations,
    certificates,
    epochs,
    excuses,
    media,
    receipts,
    side_records,
    staged,
)
from cloud.store.schema.audit import audit_chains, audit_events, audit_heads, person_keys
from cloud.store.schema.base import metadata
from cloud.store.schema.devices import alarms, devices, issued_certificates, join_tokens, tpm_challenges
from cloud.store.schema.down import feed_items, feed_scopes, policies
from cloud.store.schema.labels import device_labels
from cloud.store.schema.log import checkpoints, log_head, log_leaves, log_tiles
from cloud.store.schema.requests import kept_answers
from cloud.store.schema.users import user_certificates, user_roles, users

__all__ = [
    "alarms",
    "attestations",
    "audit_chains",
    "audit_events",
    "audit_heads",
    "certificates",
    "checkpoints",
    "device_labels",
    "devices",
    "epochs",
    "excuses",
    "feed_items",
    "feed_scopes",
    "issued_certificates",
    "join_tokens",
    "kept_answers",
    "log_head",
    "log_leaves",
    "log_tiles",
    "media",
    "metadata",
    "person_keys",
    "policies",
    "receipts",
    "side_records",
    "staged",
    "tpm_challenges",
    "user_certificates",
    "user_roles",
    "users",
]
