"""From statement to sealed bytes: what is signed is what is stored, hashed and sent."""

from __future__ import annotations

from edge.ports import Signer
from verifield.dsse import encode_envelope, pae
from verifield.statement import STATEMENT_TYPE, encode_statement
from verifield.v1.attestation_pb2 import Statement


def seal(statement: Statement, signer: Signer) -> bytes:
    """Return the serialised DSSE envelope of ``statement``.

    Raises:
        verifield.errors.Malformed: the statement breaks a rule, so nothing was signed.
    """
    payload = encode_statement(statement)
    signature = signer.sign(pae(STATEMENT_TYPE, payload))
    return encode_envelope(payload_type=STATEMENT_TYPE, payload=payload, signature=signature)
