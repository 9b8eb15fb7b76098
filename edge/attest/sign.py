"""From statement to sealed bytes: what is signed is what is stored, hashed and sent."""

from __future__ import annotations

from collections.abc import Sequence

from edge.ports import Signer
from verifield.dsse import encode_envelope, pae
from verifield.statement import STATEMENT_TYPE, encode_statement
from verifield.v1.attestation_pb2 import Statement


def seal(statement: Statement, signer: Signer, cosigners: Sequence[Signer] = ()) -> bytes:
    """Return the serialised DSSE envelope of ``statement``, signed by the device first.

    ``cosigners``: who answers for it as well, each with a key of their own, over the same bytes.

    Raises:
        verifield.errors.Malformed: the statement breaks a rule, so nothing was signed.
    """
    payload = encode_statement(statement)
    message = pae(STATEMENT_TYPE, payload)
    signatures = [one.sign(message) for one in (signer, *cosigners)]
    return encode_envelope(payload_type=STATEMENT_TYPE, payload=payload, signatures=signatures)
