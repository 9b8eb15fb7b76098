"""What is in the store, on the disk and in the certificates, counted together."""

from __future__ import annotations

import shutil
from pathlib import Path

from cryptography import x509
from sqlalchemy import Connection

from cloud.authority import Authority
from cloud.config import Config
from cloud.layout import LAST_BACKUP_FILE
from cloud.sources import Sources, to_us
from cloud.store import census as rows
from cloud.store import replicas
from cloud.store.database import Store
from cloud.telemetry.census import Census, StoreFigures


def take_census(config: Config, *, store: Store, authority: Authority, sources: Sources) -> Census:
    """Count what is in the store, on the disk and in the certificates.

    Raises:
        SQLAlchemyError: the database is away.
    """
    with store.reading() as connection:
        counts = rows.count(connection)
        stores = _stores(connection, now_us=to_us(sources.now()))
    return Census(
        devices=counts.devices,
        open_alarms=counts.open_alarms,
        oldest_alarm_us=counts.oldest_alarm_us,
        staged_records=counts.staged_records,
        database_bytes=counts.database_bytes,
        disk_free_bytes=shutil.disk_usage(config.data).free,
        last_backup_us=last_backup_us(config.data / LAST_BACKUP_FILE),
        certificate_ends_us=certificate_ends_us(authority),
        schema_revision=counts.schema_revision,
        stores=stores,
    )


def _stores(connection: Connection, *, now_us: int) -> dict[str, StoreFigures]:
    known = {row.name: row for row in replicas.list_stores(connection)}
    figures = {}
    for name, tally in replicas.tallies(connection).items():
        since_us = tally.lagging_since_us
        lag_s = max(0.0, (now_us - since_us) / 1e6) if since_us is not None else 0.0
        files = {state.name.lower(): tally.counts.get(state, 0) for state in replicas.ReplicaState}
        figures[name] = StoreFigures(not known[name].fault, lag_s, files)
    return figures


def last_backup_us(note: Path) -> int | None:
    """What the newest backup left behind; None where there was none, or none that can be read."""
    try:
        return int(note.read_bytes()[:20])
    except (OSError, ValueError):
        return None


def certificate_ends_us(authority: Authority) -> dict[str, int]:
    """When each certificate of the service ends, by the name of its key's file."""
    issuing = x509.load_der_x509_certificate(authority.chain_of(authority.server.certificate)[1])
    certificates = {
        "root": authority.root,
        "issuing": issuing,
        "server": authority.server.certificate,
        "receipt": authority.receipt.certificate,
        "log": authority.log.certificate,
        "policy": authority.policy.certificate,
        "audit": authority.audit.certificate,
    }
    return {name: to_us(one.not_valid_after_utc) for name, one in certificates.items()}
