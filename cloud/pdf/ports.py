"""What signing needs from others: who signs, and who says what time it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

MAX_TOKEN = 12 * 1024
"""Bytes: authorities send some of their certificates along, and nothing else that is long."""


class StampUnavailable(Exception):
    """No authority gave a time-stamp that can be used: nothing was signed; to be tried again later."""


class Stamper(Protocol):
    """A time-stamping authority (RFC 3161), or several that are asked in turn. Called from any thread."""

    def stamp(self, digest: bytes) -> bytes:
        """A time-stamp token (the DER of its ContentInfo, at most MAX_TOKEN bytes) over a SHA-256 ``digest``.

        The token carries the certificate of who made it.

        Raises:
            StampUnavailable: no authority answered as it should.
        """
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """Who signs.

    ``chain``: of whom the certificate comes, from its issuer up to the root. ``crls``: the revocation
    lists (DER) of all of these that have one; they are put into the document.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    chain: Sequence[x509.Certificate]
    crls: Sequence[bytes]
