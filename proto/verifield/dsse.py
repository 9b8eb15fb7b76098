"""DSSE 1.0.2: what is signed is PAE(type, payload), opaque bytes of a stated type.

The envelope travels as protobuf (``verifield.v1.Envelope``). ``keyid`` is a hint for people and
is never read here.
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from verifield.errors import Forged, Malformed, Unknown
from verifield.v1.bundle_pb2 import Envelope, EnvelopeSignature
from verifield.wire import parse_message

MAX_ENVELOPE_BYTES = 64 * 1024
"""A statement is about 2 KiB; the rest is room for candidates and co-signatures."""

MAX_SIGNATURES = 8
"""The device, a supervisor, and room; each costs a verification."""

MAX_SIGNATURE_BYTES = 72
"""The longest DER encoding of a P-256 signature."""

MAX_TYPE_BYTES = 256
"""Media types are short; a long one is an attack on whoever prints it."""


_ALGORITHM = ec.ECDSA(SHA256())


def pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-authentication encoding. Lengths count bytes, the type is UTF-8."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def encode_envelope(*, payload_type: str, payload: bytes, signatures: Sequence[bytes]) -> bytes:
    """Return the serialised envelope: the bytes to hash, store and send as they are.

    The first signature is that of the device or service that speaks; others sign the same PAE.

    Raises:
        Malformed: it would pass a limit that :func:`parse_envelope` keeps.
    """
    envelope = Envelope(
        payload=payload,
        payload_type=payload_type,
        signatures=[EnvelopeSignature(sig=signature) for signature in signatures],
    )
    data = envelope.SerializeToString(deterministic=True)
    parse_envelope(data)
    return data


def parse_envelope(data: bytes) -> Envelope:
    """Parse an envelope; nothing in it is verified yet.

    Raises:
        Malformed: not an envelope, or outside the limits above.
        Unknown: fields of a newer version.
    """
    envelope = parse_message(Envelope, data, what="envelope", max_bytes=MAX_ENVELOPE_BYTES)
    if not envelope.payload or not envelope.payload_type:
        raise Malformed("ENVELOPE_SHAPE", "The envelope has no payload or no payload type.")
    if len(envelope.payload_type.encode()) > MAX_TYPE_BYTES:
        raise Malformed("ENVELOPE_SHAPE", f"The envelope's payload type passes {MAX_TYPE_BYTES} bytes.")
    if not 1 <= len(envelope.signatures) <= MAX_SIGNATURES:
        raise Malformed("ENVELOPE_SHAPE", f"The envelope needs 1 to {MAX_SIGNATURES} signatures.")
    if any(not 1 <= len(signature.sig) <= MAX_SIGNATURE_BYTES for signature in envelope.signatures):
        raise Malformed("ENVELOPE_SHAPE", f"A signature must have 1 to {MAX_SIGNATURE_BYTES} bytes.")
    return envelope


def check_signature(envelope: Envelope, key: ec.EllipticCurvePublicKey) -> bytes:
    """Return the payload if one of the signatures is by ``key`` (ECDSA P-256, SHA-256 over the PAE).

    Raises:
        Forged: no signature of the envelope is by this key.
        Unknown: the key is not on P-256.
    """
    if not isinstance(key.curve, ec.SECP256R1):
        raise Unknown("KEY_ALGORITHM", "The key is not a P-256 key, the only kind that signs envelopes.")
    message = pae(envelope.payload_type, envelope.payload)
    for signature in envelope.signatures:
        try:
            key.verify(signature.sig, message, _ALGORITHM)
        except InvalidSignature:
            continue
        return envelope.payload
    raise Forged(
        "SIGNATURE",
        "The signature does not fit the content: one of them was changed, or another key signed.",
        hint="Treat the content as false.",
    )
