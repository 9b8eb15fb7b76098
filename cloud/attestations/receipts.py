"""Signs receipts: the service's promise that a chain is durable and logged up to a record."""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.timestamp_pb2 import Timestamp

from cloud.sources import from_us
from verifield.chain import ChainHead
from verifield.dsse import encode_envelope, pae
from verifield.receipt import encode_receipt
from verifield.statement import RECEIPT_TYPE
from verifield.v1.bundle_pb2 import Receipt


def sign_receipt(
    key: ec.EllipticCurvePrivateKey, *, device_id: str, head: ChainHead, server_us: int, checkpoint: str
) -> bytes:
    """Return a serialised receipt envelope through ``head``, durable since ``server_us``."""
    receipt = Receipt(
        device_id=device_id,
        chain_epoch=head.epoch,
        through_seq=head.seq,
        head_sha256=head.sha256,
        server_time=to_timestamp(server_us),
        checkpoint=checkpoint,
    )
    payload = encode_receipt(receipt)
    signature = key.sign(pae(RECEIPT_TYPE, payload), ec.ECDSA(hashes.SHA256()))
    return encode_envelope(payload_type=RECEIPT_TYPE, payload=payload, signatures=[signature])


def to_timestamp(microseconds: int) -> Timestamp:
    """The protobuf time of a stored time."""
    stamp = Timestamp()
    stamp.FromDatetime(from_us(microseconds))
    return stamp
