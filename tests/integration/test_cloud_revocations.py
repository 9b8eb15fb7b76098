"""Revocations by two servers at once: the list that is handed down has both."""

from __future__ import annotations

import hashlib
import secrets
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from sqlalchemy import Connection

from cloud.authority import Authority
from cloud.devices.revocation import revoke
from cloud.sources import Sources, to_us
from cloud.store import devices, feed, issued
from cloud.store.database import Store, StoreOptions
from cloud.store.issued import ATTESTATION, IssuedRow
from verifield.v1.device_service_pb2 import (
    DEVICE_STATE_ACTIVE,
    REVOCATION_REASON_KEY_COMPROMISE,
)
from verifield.v1.sync_service_pb2 import DOWN_ITEM_KIND_REVOCATIONS

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SERIALS = {"device-1": "1a", "device-2": "2b"}


def add_devices(connection: Connection) -> None:
    for device_id, serial in SERIALS.items():
        devices.add_device(
            connection,
            device_id=device_id,
            site_id="s",
            key_protection=1,
            attestation_key_sha256=hashlib.sha256(device_id.encode()).digest(),
            enrolled_us=1,
            chain_epoch=1,
            state=DEVICE_STATE_ACTIVE,
        )
        row = IssuedRow(
            serial=serial,
            device_id=device_id,
            purpose=ATTESTATION,
            issued_us=to_us(NOW),
            not_after_us=to_us(NOW + timedelta(days=365)),
        )
        issued.add_issued(connection, row)


@pytest.mark.parametrize("published", [False, True], ids=["the first of all", "one of many"])
def test_of_two_at_once_neither_is_lost(database_url: str, tmp_path: Path, *, published: bool) -> None:
    store = Store.open(database_url, StoreOptions(require_durable=False))
    authority = Authority.open(tmp_path, server_names=("localhost",), now=NOW)
    sources = Sources(now=lambda: NOW, random_bytes=secrets.token_bytes)

    def end(connection: Connection, device_id: str) -> None:
        devices.get_device(connection, device_id, lock=True)
        revoke(connection, authority, sources, device_id=device_id, reason=REVOCATION_REASON_KEY_COMPROMISE)

    def other() -> None:
        begun.set()
        store.run(lambda connection: end(connection, "device-2"))
        done.set()

    try:
        store.run(add_devices)
        if published:
            store.run(lambda connection: feed.publish(connection, feed.SCOPE_ALL, kind=1, item_id="policy"))
        begun, done = threading.Event(), threading.Event()
        thread = threading.Thread(target=other)
        with store.writing() as connection:
            end(connection, "device-1")
            thread.start()
            assert begun.wait(10)
            assert not done.wait(0.5)  # it waits for the end of the first one
        thread.join(20)
        assert done.is_set()
        with store.reading() as connection:
            item = feed.get_item(
                connection, feed.SCOPE_ALL, kind=DOWN_ITEM_KIND_REVOCATIONS, item_id="revocations"
            )
        assert item is not None
        told = x509.load_der_x509_crl(item.content)
        assert {f"{one.serial_number:x}" for one in told} == set(SERIALS.values())
    finally:
        store.close()
