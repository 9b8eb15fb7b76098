"""The bundle: everything that a third party needs beside the trust root, in one blob."""

from __future__ import annotations

from verifield.errors import Malformed, Unknown
from verifield.v1.bundle_pb2 import Bundle
from verifield.wire import parse_message

BUNDLE_TYPE = "application/vnd.verifield.bundle.v1+protobuf"

MAX_BUNDLE_BYTES = 4 * 1024 * 1024
"""A revocation list of at most 2 MiB; everything else stays far below the rest."""

MAX_WITNESSES = 16
"""A few other devices make the point; each costs a chain and a signature to check."""


def parse_bundle(data: bytes) -> Bundle:
    """Parse a bundle; nothing in it is verified yet.

    Raises:
        Malformed: not a bundle, too large, or without envelope or certificate.
        Unknown: another media type, or fields of a newer version.
    """
    bundle = parse_message(Bundle, data, what="bundle", max_bytes=MAX_BUNDLE_BYTES)
    if not bundle.media_type:
        raise Malformed("NOT_A_BUNDLE", "The file does not say that it is an attestation bundle.")
    if bundle.media_type != BUNDLE_TYPE:
        raise Unknown(
            "BUNDLE_TYPE",
            "The bundle is of a type that this version does not know.",
            hint="It may be of a newer version: use a newer verifier.",
        )
    if not bundle.envelope or not bundle.certificates:
        raise Malformed("BUNDLE_SHAPE", "The bundle lacks the envelope or the device's certificate.")
    if len(bundle.witnesses) > MAX_WITNESSES:
        raise Malformed("BUNDLE_SHAPE", f"The bundle has more than {MAX_WITNESSES} witnesses.")
    return bundle
