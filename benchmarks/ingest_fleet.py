"""A fleet of devices for the load on the service: who they are, and what they sign before it starts.

Each record is what an appliance writes of a whole verification, and cites the receipt and the checkpoint of
its device's first delivery, as records in the field do.
"""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import dataclass, field
from pathlib import Path

import uuid_utils
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from benchmarks.cloud_service import Identity, Service
from edge.model import Decision, Outcome
from tests.support.appliance import statement_of, verified_evidence
from verifield.dsse import pae, parse_envelope
from verifield.statement import STATEMENT_TYPE, encode_statement
from verifield.v1 import attestation_pb2
from verifield.v1.bundle_pb2 import Envelope, EnvelopeSignature, Receipt
from verifield.v1.sync_service_pb2 import DeliverRequest

SINCE_RECEIPT_NS = 1_000_000
"""The first record of the load is made a millisecond after the receipt that it cites."""


@dataclass(slots=True)
class LoadDevice:
    """An enrolled device; keys as PEM, so that they can be handed to another process."""

    device_id: str
    key_pem: bytes
    chain: list[bytes]
    tls_key_pem: bytes
    tls_chain_pem: bytes
    head: bytes = b""
    seq: int = 0
    cited: bytes = b""
    requests: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Fleet:
    """Everything that the load needs to know."""

    address: str
    root_pem: bytes
    devices: list[LoadDevice]


def enroll_fleet(service: Service, count: int) -> Fleet:
    """Enrol ``count`` devices with the running service."""
    endpoint = service.cloud.endpoint.device_listen
    devices = []
    for _ in range(count):
        device = service.cloud.enroll()
        identity = Identity(device, service.cloud.root_pem, endpoint)
        key = device.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        devices.append(
            LoadDevice(
                device.device_id,
                key,
                list(device.chain),
                identity.tls_key_pem(),
                identity.tls_certificates_pem(),
            )
        )
    return Fleet(endpoint, service.cloud.root_pem, devices)


def write_fleet(path: Path, fleet: Fleet) -> None:
    """Hand a fleet over to the load's process."""
    path.write_bytes(pickle.dumps(fleet))


def read_fleet(path: Path) -> Fleet:
    """Read what this benchmark's own :func:`write_fleet` wrote."""
    fleet: Fleet = pickle.loads(path.read_bytes())
    return fleet


def sign_requests(device: LoadDevice, *, batches: int, batch: int) -> None:
    """Sign the next records of ``device``, as serialised requests of ``batch`` records each.

    The certificates go with the first request of the stream.
    """
    key = load_pem_private_key(device.key_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    template = _template(device)
    device.requests = [
        DeliverRequest(
            envelopes=[_next_envelope(device, template, key) for _ in range(batch)],
            certificates=() if number else device.chain,
        ).SerializeToString()
        for number in range(batches)
    ]


def take_receipt(device: LoadDevice, receipt: bytes) -> None:
    """Cite ``receipt`` from now on."""
    device.cited = receipt


def _template(device: LoadDevice) -> attestation_pb2.Statement:
    statement, _ = statement_of(
        verified_evidence(), Decision(Outcome.VERIFIED, ()), device_id=device.device_id
    )
    if device.cited:
        receipt = Receipt.FromString(parse_envelope(device.cited).payload)
        statement.last_receipt_sha256 = hashlib.sha256(device.cited).digest()
        statement.last_checkpoint_sha256 = hashlib.sha256(receipt.checkpoint.encode()).digest()
        statement.clock.since_receipt_ns = SINCE_RECEIPT_NS
        statement.clock.quality = attestation_pb2.TIME_QUALITY_BOUNDED
    return statement


def _next_envelope(
    device: LoadDevice, template: attestation_pb2.Statement, key: ec.EllipticCurvePrivateKey
) -> bytes:
    device.seq += 1
    template.seq = device.seq
    template.previous_envelope_sha256 = device.head
    template.attestation_id = str(uuid_utils.uuid7())
    template.clock.monotonic_ns += 1_000_000
    if template.clock.HasField("since_receipt_ns"):
        template.clock.since_receipt_ns += 1_000_000
    # The rules are those of the product's own code for the first record; the others differ in numbers only.
    payload = (
        encode_statement(template) if device.seq <= 2 else template.SerializeToString(deterministic=True)
    )
    signature = key.sign(pae(STATEMENT_TYPE, payload), ec.ECDSA(SHA256()))
    envelope = Envelope(
        payload=payload, payload_type=STATEMENT_TYPE, signatures=[EnvelopeSignature(sig=signature)]
    ).SerializeToString(deterministic=True)
    device.head = hashlib.sha256(envelope).digest()
    return envelope
