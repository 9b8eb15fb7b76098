"""The proof by which a device renews its certificates, also after they have expired."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec

from verifield.dsse import MAX_ENVELOPE_BYTES, check_signature, parse_envelope
from verifield.errors import Malformed, Unknown
from verifield.rules import DIGEST_BYTES, check_device_id
from verifield.v1.enrollment_service_pb2 import RenewalProof
from verifield.wire import check_all_known, parse_message

RENEWAL_TYPE = "application/vnd.verifield.renewal.v1+protobuf"

MIN_CHALLENGE_BYTES = 16
"""Nobody guesses 128 random bits."""

MAX_CHALLENGE_BYTES = 64
"""More would only make the message longer."""


def encode_proof(proof: RenewalProof) -> bytes:
    """Return the bytes to sign; the same proof always gives the same bytes.

    Raises:
        Malformed, Unknown: it breaks a rule that :func:`check_proof` would refuse.
    """
    check_all_known(proof, what="renewal proof")
    _check_shape(proof)
    return proof.SerializeToString(deterministic=True)


def check_proof(envelope: bytes, *, key: ec.EllipticCurvePublicKey) -> RenewalProof:
    """Return the proof if ``key``, the attestation key that the service knows, signed it.

    Whether the challenge is the one given out, and fresh, is for the caller to check.

    Raises:
        Malformed: not a proof.
        Forged: not signed by ``key``.
        Unknown: of another type or version.
    """
    parsed = parse_envelope(envelope)
    if parsed.payload_type != RENEWAL_TYPE:
        raise Unknown("RENEWAL_TYPE", "The renewal proof is of a type that this version does not know.")
    payload = check_signature(parsed, key)
    proof = parse_message(RenewalProof, payload, what="renewal proof", max_bytes=MAX_ENVELOPE_BYTES)
    _check_shape(proof)
    return proof


def _check_shape(proof: RenewalProof) -> None:
    check_device_id(proof.device_id)
    if not MIN_CHALLENGE_BYTES <= len(proof.challenge) <= MAX_CHALLENGE_BYTES:
        raise Malformed(
            "RENEWAL",
            f"The challenge must have {MIN_CHALLENGE_BYTES} to {MAX_CHALLENGE_BYTES} bytes.",
        )
    if len(proof.tls_csr_sha256) != DIGEST_BYTES:
        raise Malformed("RENEWAL", "The renewal proof lacks the digest of the certificate request.")
