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
    return log_leaf_of(envelope, certificate_sha256=hashlib.sha256(certificate_der).digest())


def log_leaf_of(envelope: Envelope, *, certificate_sha256: bytes) -> bytes:
    """The same, where the certificate's digest is known: it is that of thousands of records."""
    content = hashlib.sha256(pae(envelope.payload_type, envelope.payload)).digest()
    signature = hashlib.sha256(envelope.signatures[0].sig).digest()
    return LEAF_PREFIX + content + signature + certificate_sha256
