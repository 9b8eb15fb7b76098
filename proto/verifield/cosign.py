"""The second signature: a decision by people counts only where a second person signed it as well."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from verifield.dsse import check_signature
from verifield.errors import Forged, Malformed, Unknown
from verifield.v1 import attestation_pb2 as pb
from verifield.v1.attestation_pb2 import Statement
from verifield.v1.bundle_pb2 import Envelope


def check_cosignature(
    envelope: Envelope, statement: Statement, *, device_key: ec.EllipticCurvePublicKey
) -> None:
    """Check that the second person named in a MANUAL decision signed ``envelope`` too.

    ``statement`` is the parsed payload of ``envelope``. Other outcomes need no second signature.
    Who holds the second key is what the device says: no certificate vouches for it.

    Raises:
        Forged: the second signature is missing, does not hold, or is by the device's own key.
        Malformed, Unknown: the second key is damaged, or of a kind that is not known here.
    """
    if statement.outcome != pb.OUTCOME_MANUAL:
        return
    key = parse_cosigner_key(statement.manual.cosigner_key)
    if key.public_numbers() == device_key.public_numbers():
        raise Forged("COSIGNATURE", "The device itself signed in place of the second person.")
    try:
        check_signature(envelope, key)
    except Forged as error:
        raise Forged(
            "COSIGNATURE",
            "The second person that the manual decision names did not sign it.",
            hint="A manual decision counts only with both signatures: treat it as not made.",
        ) from error


def parse_cosigner_key(der: bytes) -> ec.EllipticCurvePublicKey:
    """Parse a DER SubjectPublicKeyInfo of a P-256 key.

    Raises:
        Malformed: not a key, or not in the one form that DER and SEC 1 (uncompressed) give it.
        Unknown: a key of another kind.
    """
    try:
        key = load_der_public_key(der)
    except UnsupportedAlgorithm as error:
        raise _unknown() from error
    except (ValueError, TypeError) as error:
        raise Malformed("COSIGNER_KEY", "The second person's key cannot be parsed: it is damaged.") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _unknown()
    if encode_cosigner_key(key) != der:
        raise Malformed("COSIGNER_KEY", "The second person's key is not in its canonical form.")
    return key


def encode_cosigner_key(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return the DER SubjectPublicKeyInfo, as a statement holds it."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _unknown() -> Unknown:
    return Unknown("KEY_ALGORITHM", "The second person's key is not a P-256 key.")
