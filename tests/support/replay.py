"""What a network may do with whole batches: they come again, in any order, over several streams at once."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from edge.app import open_identity
from edge.sync import uplink
from tests.support.cloud import TIMEOUT_S
from tests.support.field_office import FieldOffice
from verifield.v1 import sync_service_pb2 as pb
from verifield.v1.sync_service_pb2_grpc import SyncServiceStub


def record_batches(monkeypatch: pytest.MonkeyPatch) -> list[pb.DeliverRequest]:
    """Return a list that fills with every batch that a device of this process sends from now on."""
    tape: list[pb.DeliverRequest] = []
    real = uplink.deliver_request

    def taped(*arguments: Any, **options: Any) -> pb.DeliverRequest:
        request = real(*arguments, **options)
        tape.append(request)
        return request

    monkeypatch.setattr(uplink, "deliver_request", taped)
    return tape


def batches_of(office: FieldOffice, *, size: int) -> list[pb.DeliverRequest]:
    """All that is on the device, as batches of ``size`` records."""
    certificates = open_identity(office.settings).attestation_certificates
    with office.recorder() as recorder:
        records = recorder.outbox.pending(after=None, limit_bytes=1 << 30, limit_count=1 << 30)
    return [
        uplink.deliver_request(
            records[start : start + size], (), certificates=certificates, witnessed_tree_size=0
        )
        for start in range(0, len(records), size)
    ]


@contextmanager
def stub_of(office: FieldOffice, endpoint: str) -> Iterator[SyncServiceStub]:
    """Call the cloud at ``endpoint`` as the device would."""
    identity = open_identity(office.settings)
    credentials = grpc.ssl_channel_credentials(
        identity.root_pem, identity.tls_key_pem(), identity.tls_certificates_pem()
    )
    with grpc.secure_channel(endpoint, credentials) as channel:
        yield SyncServiceStub(channel)


def deliver_all(
    office: FieldOffice, endpoint: str, batches: Sequence[pb.DeliverRequest], *, seed: int, streams: int
) -> list[pb.DeliverResponse]:
    """Send the batches in any order over ``streams`` streams at the same time; return all answers."""
    shuffled = random.Random(seed).sample(batches, len(batches))

    def send(number: int) -> list[pb.DeliverResponse]:
        with stub_of(office, endpoint) as stub:
            return list(stub.Deliver(iter(shuffled[number::streams]), timeout=TIMEOUT_S))

    with ThreadPoolExecutor(streams) as pool:
        return [answer for answers in pool.map(send, range(streams)) for answer in answers]
