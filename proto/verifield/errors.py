"""Every way in which a check of the protocol can fail, in one tree.

    VerifieldError
    +-- Malformed    the bytes are not what they claim to be, or pass a limit
    +-- Forged       a signature, a hash or a proof does not hold
    +-- Untrusted    the signature holds, but no certificate that was valid then leads to the given root
    +-- Unknown      well formed, but of a type, version or algorithm that is not known here

The four are four different answers to the person who asks: send it again; do not believe it;
ask who vouches for the signer; take a newer verifier. No error carries personal data.
"""

from __future__ import annotations

from typing import ClassVar


class VerifieldError(Exception):
    """Base of all. ``code`` is stable, ``message`` is one sentence, ``hint`` says what to do."""

    verdict: ClassVar[str] = "unknown"

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class Malformed(VerifieldError):
    """The bytes are not what they claim to be."""

    verdict = "malformed"


class Forged(VerifieldError):
    """A signature, a hash or a proof does not hold."""

    verdict = "forged"


class Untrusted(VerifieldError):
    """The signature holds, but nothing valid leads from its key to the given root."""

    verdict = "untrusted"


class Unknown(VerifieldError):
    """Well formed, but of a kind that this version does not know."""

    verdict = "unknown"
