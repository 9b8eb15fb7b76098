"""Messages outside a device's chain: an envelope, and the certificate of the key that signed it."""

from __future__ import annotations

from collections.abc import Sequence

from verifield.certificates import parse_certificate, signing_key
from verifield.dsse import check_signature, parse_envelope
from verifield.errors import Malformed, Unknown


def check_signed(envelope: bytes, *, payload_type: str, certificates: Sequence[bytes], what: str) -> bytes:
    """Return the payload of ``envelope`` if the key of the first certificate signed it.

    Whether that certificate counts is for the caller to check, who learns from the payload at what
    time it must have been valid. ``what`` names the message in errors.

    Raises:
        Malformed: not an envelope, or there is no certificate, or a damaged one.
        Forged: the signature is not by the first certificate's key.
        Unknown: of another type or version, or a key of another kind.
    """
    parsed = parse_envelope(envelope)
    if parsed.payload_type != payload_type:
        code = f"{what.upper().replace(' ', '_')}_TYPE"
        raise Unknown(code, f"The {what} is of a type that this version does not know.")
    if not certificates:
        raise Malformed("CHAIN_LENGTH", f"The {what} comes without the certificate of its key.")
    return check_signature(parsed, signing_key(parse_certificate(certificates[0])))
