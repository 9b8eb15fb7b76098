"""The receipt: the service's signed promise that a chain is durable and logged up to a record."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509

from verifield.certificates import Purpose, check_chain
from verifield.dsse import MAX_ENVELOPE_BYTES
from verifield.errors import Malformed
from verifield.note import parse_checkpoint
from verifield.rules import DIGEST_BYTES, MAX_COUNTER, check_device_id
from verifield.signed import check_signed
from verifield.statement import RECEIPT_TYPE
from verifield.v1.bundle_pb2 import Receipt
from verifield.wire import check_all_known, parse_message, parse_time


def check_receipt(
    envelope: bytes, *, certificates: Sequence[bytes], roots: Sequence[x509.Certificate]
) -> Receipt:
    """Check a receipt envelope and return the receipt that was signed.

    The chain is checked at the receipt's own server time, which is known only after the signature
    by the leaf's key held; so the content is trusted only once the chain holds as well.

    Raises:
        Malformed: not a receipt, or a certificate is damaged.
        Forged: the signature is not by the first certificate's key.
        Untrusted: the certificate was not valid then, not for receipts, or not from this root.
        Unknown: of another type or version.
    """
    payload = check_signed(envelope, payload_type=RECEIPT_TYPE, certificates=certificates, what="receipt")
    receipt = parse_message(Receipt, payload, what="receipt", max_bytes=MAX_ENVELOPE_BYTES)
    _check_shape(receipt)
    server_time = parse_time(receipt.server_time, what="receipt's server time")
    check_chain(certificates, roots=roots, at=server_time, purpose=Purpose.RECEIPT)
    return receipt


def encode_receipt(receipt: Receipt) -> bytes:
    """Return the bytes to sign; the same receipt always gives the same bytes.

    Raises:
        Malformed, Unknown: the receipt breaks a rule that :func:`check_receipt` would refuse.
    """
    check_all_known(receipt, what="receipt")
    _check_shape(receipt)
    return receipt.SerializeToString(deterministic=True)


def _check_shape(receipt: Receipt) -> None:
    check_device_id(receipt.device_id)
    in_range = 1 <= receipt.chain_epoch <= MAX_COUNTER and 1 <= receipt.through_seq <= MAX_COUNTER
    if not in_range or len(receipt.head_sha256) != DIGEST_BYTES or not receipt.HasField("server_time"):
        raise Malformed("RECEIPT", "The receipt lacks its position, its digest or its time.")
    parse_time(receipt.server_time, what="receipt's server time")
    parse_checkpoint(receipt.checkpoint)
