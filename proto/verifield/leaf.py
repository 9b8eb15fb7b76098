"""What the transparency log records of an attestation: digests only, nothing personal."""

from __future__ import annotations

import hashlib

from verifield.dsse import pae
from verifield.v1.bundle_pb2 import Envelope

LEAF_PREFIX = b"verifield-leaf-v1\0"


def log_leaf(envelope: Envelope, certificate_der: bytes) -> bytes:
    """Return the leaf input (114 bytes), to be hashed with :func:`verifield.merkle.leaf_hash`.

    It binds the signed content, the first signature and the signer's certificate:
    prefix || SHA-256(PAE) || SHA-256(signature) || SHA-256(certificate).
    """
    parts = (pae(envelope.payload_type, envelope.payload), envelope.signatures[0].sig, certificate_der)
    return LEAF_PREFIX + b"".join(hashlib.sha256(part).digest() for part in parts)
