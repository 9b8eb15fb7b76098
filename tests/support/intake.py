"""The intake of the cloud with a real database and a real log, without a network."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import text

from cloud.attestations.chain_writer import Damaged
from cloud.attestations.intake import Batch, Delivery, Intake
from cloud.attestations.signer import Signer
from cloud.attestations.verifying import verify_records
from cloud.authority import Authority
from cloud.log.sequencer import LogSigner, Sequencer
from cloud.sources import Sources, to_us
from cloud.store import attestations, devices
from cloud.store.database import Store, StoreOptions
from tests.support.authority import Device, new_key
from tests.support.databases import in_file
from verifield.certificates import Purpose
from verifield.chain import ChainHead
from verifield.dsse import parse_envelope
from verifield.v1 import sync_service_pb2 as pb
from verifield.v1.attestation_pb2 import KEY_PROTECTION_SOFTWARE
from verifield.v1.bundle_pb2 import Receipt
from verifield.v1.device_service_pb2 import DEVICE_STATE_ACTIVE

_numbers = itertools.count(1)


@dataclass
class Desk:
    """Takes batches of devices in transactions of the log."""

    store: Store
    sequencer: Sequencer
    authority: Authority
    intake: Intake
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def enroll(self) -> Device:
        key, device_id = new_key(), f"device-{next(_numbers)}"
        now = Sources.system().now()
        chain = self.authority.issue_device(
            key.public_key(), device_id=device_id, usage=Purpose.ATTESTATION, now=now
        )
        device = Device(device_id, key, chain)
        with self.store.writing() as connection:
            devices.add_device(
                connection,
                device_id=device_id,
                site_id="site-1",
                key_protection=KEY_PROTECTION_SOFTWARE,
                attestation_key_sha256=hashlib.sha256(signer_of(device).key_spki).digest(),
                enrolled_us=to_us(now),
                chain_epoch=1,
                state=DEVICE_STATE_ACTIVE,
            )
        return device

    def take(
        self, device: Device, envelopes: Sequence[bytes], *, damaged: Sequence[Damaged] = ()
    ) -> Delivery:
        signer = signer_of(device)
        records = verify_records(signer, envelopes)
        return self._take(Batch(device.device_id, signer, records, damaged))

    def resume(self, device: Device) -> Delivery:
        return self._take(Batch(device.device_id))

    def row(self, device: Device) -> devices.DeviceRow:
        with self.store.reading() as connection:
            row = devices.get_device(connection, device.device_id)
        assert row is not None
        return row

    def head(self, device: Device) -> ChainHead:
        row = self.row(device)
        return ChainHead(row.chain_epoch, row.seq, row.head_sha256)

    def set_state(self, device: Device, state: int) -> None:
        with self.store.writing() as connection:
            devices.set_state(connection, device.device_id, state)

    def ask(self, query: str, device: Device) -> list[Any]:
        """Rows of a query about a device, whose id is ``:device``."""
        with self.store.reading() as connection:
            rows = connection.execute(text(query), {"device": device.device_id}).all()
        return [row[0] if len(row) == 1 else tuple(row) for row in rows]

    def stored(self, device: Device) -> list[bytes]:
        """Envelopes of the device in the order of the log."""
        return self.ask(
            "SELECT envelope FROM attestations WHERE device_id = :device ORDER BY log_index", device
        )

    def alarms(self, device: Device) -> list[tuple[int, int, int, str]]:
        """Kind, epoch, seq and reason of all alarms, in order of time."""
        return self.in_order("SELECT kind, chain_epoch, seq, reason FROM alarms", device)

    def acknowledge(self, device: Device) -> None:
        with self.store.writing() as connection:
            connection.execute(
                text("UPDATE alarms SET acknowledged_us = 1 WHERE device_id = :device"),
                {"device": device.device_id},
            )

    def asides(self, device: Device) -> list[tuple[int, int, int, str]]:
        """Kind, epoch, seq and reason of what is kept beside the chain, in order of time."""
        return self.in_order("SELECT kind, chain_epoch, seq, reason FROM side_records", device)

    def waiting(self, device: Device) -> list[tuple[int, int]]:
        return self.ask("SELECT chain_epoch, seq FROM staged WHERE device_id = :device ORDER BY 1, 2", device)

    def in_order(self, query: str, device: Device) -> list[Any]:
        """A device's rows as they were written one after the other: ids of one moment have no order."""
        with self.store.reading() as connection:
            place = "ctid" if connection.dialect.name == "postgresql" else "rowid"
        time = "raised_us" if query.endswith("alarms") else "received_us"
        return self.ask(f"{query} WHERE device_id = :device ORDER BY {time}, {place}", device)

    def _take(self, batch: Batch) -> Delivery:
        work = self.sequencer.transact(partial(self.intake.take, batch=batch), key=batch.device_id)
        return self.loop.run_until_complete(work)


@contextmanager
def open_desk(folder: Path, *, database: str | None = None) -> Iterator[Desk]:
    """A desk with its files in ``folder``; ``database`` None: SQLite there."""
    sources = Sources.system()
    authority = Authority.open(folder, server_names=["localhost"], now=sources.now())
    options = StoreOptions(require_durable=False)
    store = Store.open(database or in_file(folder / "test.db"), options)
    sequencer = Sequencer.open(store, LogSigner(authority.log_origin, authority.log_key), sources)
    with store.writing() as connection:
        leaf = attestations.add_chain(connection, authority.chain_of(authority.receipt.certificate))
    desk = Desk(store, sequencer, authority, Intake(authority, sources, receipt_leaf_sha256=leaf))
    try:
        yield desk
    finally:
        sequencer.close()
        store.close()
        desk.loop.close()


def signer_of(device: Device) -> Signer:
    """The device's certificates as if they had been checked."""
    leaf = x509.load_der_x509_certificate(device.chain[0])
    spki = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Signer(tuple(device.chain), device.device_id, spki, f"{leaf.serial_number:x}")


def statuses(delivery: Delivery) -> list[str]:
    return [name_of(one.status) for one in delivery.verdicts]


def name_of(status: pb.DeliverStatus.ValueType) -> str:
    return pb.DeliverStatus.Name(status).removeprefix("DELIVER_STATUS_")


def receipt_of(delivery: Delivery) -> Receipt | None:
    """The receipt's content; its signature is checked by the tests over the network."""
    return Receipt.FromString(parse_envelope(delivery.receipt).payload) if delivery.receipt else None
