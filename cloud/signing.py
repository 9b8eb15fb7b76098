"""Signs what devices obey: policies and directives."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from cloud.authority import Authority
from verifield.dsse import encode_envelope, pae


def sign_for_devices(authority: Authority, *, payload_type: str, payload: bytes) -> bytes:
    """Return the serialised envelope of ``payload``, signed by the policy key.

    Raises:
        Malformed: the payload does not fit into an envelope.
    """
    signature = authority.policy_key.sign(pae(payload_type, payload), ec.ECDSA(SHA256()))
    return encode_envelope(payload_type=payload_type, payload=payload, signatures=[signature])
