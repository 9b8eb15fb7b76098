"""Steps about the record itself, as ``verify.py`` numbers them: 1, 2 and 4 to 8."""

from __future__ import annotations

from verifield.bundle import parse_bundle
from verifield.certificates import Purpose, check_chain, parse_certificate, signing_key
from verifield.cosign import check_cosignature
from verifield.dsse import check_signature, parse_envelope
from verifield.errors import Forged, Unknown
from verifield.profile import device_id_of
from verifield.statement import STATEMENT_TYPE, parse_statement
from verifield.steps.run import Missing, Run
from verifield.v1 import attestation_pb2 as pb


def check_bundle(run: Run) -> str:
    """Step 1."""
    run.bundle = parse_bundle(run.data)
    return "An intact bundle of version 1."


def check_envelope(run: Run) -> str:
    """Step 2."""
    run.envelope = parse_envelope(run.bundle.envelope)
    if run.envelope.payload_type != STATEMENT_TYPE:
        raise Unknown(
            "STATEMENT_TYPE", "The envelope holds a type of record that this version does not know."
        )
    return "An intact envelope with an attestation of version 1."


def check_certificate(run: Run) -> str:
    """Step 4. Without a receipt the path alone is checked, at the moment that the certificate begins."""
    run.leaf = parse_certificate(run.bundle.certificates[0])
    at = run.not_after or run.leaf.not_valid_before_utc
    check_chain(run.bundle.certificates, roots=run.roots, at=at, purpose=Purpose.ATTESTATION)
    if run.not_after is None:
        raise Missing(
            "The root vouches for the device's key, but only the device's own clock says that the "
            "certificate was still valid: validity at signing is not proved."
        )
    return "The root vouches for the device's key at the time of the receipt."


def check_device_signature(run: Run) -> str:
    """Step 5."""
    check_signature(run.envelope, signing_key(run.leaf))
    return "The device's key signed exactly this content."


def check_statement(run: Run) -> str:
    """Step 6. Parses the very bytes whose signature held."""
    run.statement = parse_statement(run.envelope.payload)
    return "The content keeps the rules of an attestation."


def check_device(run: Run) -> str:
    """Step 7."""
    if run.statement.device_id != device_id_of(run.leaf):
        raise Forged(
            "DEVICE", "The record names another device than the certificate of the key that signed it."
        )
    return "The certificate names the same device."


def check_second_signature(run: Run) -> str:
    """Step 8."""
    check_cosignature(run.envelope, run.statement, device_key=signing_key(run.leaf))
    if run.statement.outcome != pb.OUTCOME_MANUAL:
        return "Not needed: the record is no decision by people."
    return "The key that the record names for a second person signed it too."
