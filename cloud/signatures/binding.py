"""What an authentication is bound to: this document, this party of this contract, this act of signing.

H = SHA-256("verifield sign v1" 0 contract_id 0 party_id 0 document_sha256 challenge), where 0 is one zero
byte. The challenge stands in the evidence: whoever has the document can work H out again.
"""

from __future__ import annotations

from hashlib import sha256

CHALLENGE_BYTES = 16

_DIGEST_BYTES = 32
_DOMAIN = b"verifield sign v1"


def bind(contract_id: str, party_id: str, document_sha256: bytes, challenge: bytes) -> bytes:
    """H: the nonce of a face, the challenge of a passkey, and what a code is for."""
    if len(document_sha256) != _DIGEST_BYTES or len(challenge) != CHALLENGE_BYTES:
        raise ValueError("a document's digest has 32 bytes, a challenge 16")
    head = b"\0".join((_DOMAIN, contract_id.encode(), party_id.encode(), b""))
    return sha256(head + document_sha256 + challenge).digest()
