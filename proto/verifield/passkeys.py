"""Assertions of passkeys (WebAuthn level 3), checked offline: an authenticator signed this challenge.

The evidence is JSON with authenticatorData, clientDataJSON, signature and publicKey (a COSE_Key, RFC 9052),
each in base64url without padding.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from hashlib import sha256

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from verifield.errors import Forged, Malformed, Unknown

MAX_ASSERTION_BYTES = 32 * 1024

_FIELDS = frozenset({"authenticatorData", "clientDataJSON", "publicKey", "signature"})
_HEAD_BYTES = 37  # of authenticator data: digest of the service's name, flags, counter
_PRESENT, _VERIFIED = 0x01, 0x04
_ES256, _EDDSA, _RS256 = -7, -8, -257

_LENGTHS = {24: 1, 25: 2, 26: 4, 27: 8}
"""Of numbers that do not fit into the first byte of an item of CBOR."""

_PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey


def check_assertion(content: bytes, *, challenge: bytes) -> None:
    """Check that the passkey signed ``challenge``, opened by its owner.

    Raises:
        Malformed: it is no assertion.
        Forged: it is for another challenge, nobody was verified, or its signature does not hold.
        Unknown: a key of a kind that is not known here.
    """
    if len(content) > MAX_ASSERTION_BYTES:
        raise Malformed("ASSERTION", f"An assertion has at most {MAX_ASSERTION_BYTES} bytes.")
    try:
        found = json.loads(content)
        parts = {name: _bytes(found[name]) for name in _FIELDS}
        client = json.loads(parts["clientDataJSON"])
        asked, kind = _bytes(client["challenge"]), client["type"]
        data = parts["authenticatorData"]
        flags = data[_HEAD_BYTES - 5]
        key = _key(parts["publicKey"])
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, binascii.Error) as error:
        raise Malformed("ASSERTION", "What should be the assertion of a passkey is none.") from error
    if kind != "webauthn.get" or not hmac.compare_digest(asked, challenge):
        raise Forged("ASSERTION_CHALLENGE", "The passkey's assertion is for something else.")
    if not flags & _PRESENT or not flags & _VERIFIED:
        raise Forged("ASSERTION_USER", "The passkey was not opened by its owner.")
    signed = data + sha256(parts["clientDataJSON"]).digest()
    try:
        _verify(key, parts["signature"], signed)
    except InvalidSignature as error:
        raise Forged("ASSERTION_SIGNATURE", "The signature of the passkey does not hold.") from error


def _verify(key: _PublicKey, signature: bytes, signed: bytes) -> None:
    match key:
        case ec.EllipticCurvePublicKey():
            key.verify(signature, signed, ec.ECDSA(SHA256()))
        case ed25519.Ed25519PublicKey():
            key.verify(signature, signed)
        case rsa.RSAPublicKey():
            key.verify(signature, signed, padding.PKCS1v15(), SHA256())


def _key(encoded: bytes) -> _PublicKey:
    """A COSE_Key (RFC 9053) of one of the three algorithms that authenticators have."""
    found = _Cbor(encoded).whole()
    if not isinstance(found, dict):
        raise TypeError("no map")
    algorithm = found[3]
    try:
        if algorithm == _ES256 and (found[1], found[-1]) == (2, 1):
            point = b"\x04" + _sized(found[-2], 32) + _sized(found[-3], 32)
            return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        if algorithm == _EDDSA and (found[1], found[-1]) == (1, 6):
            return ed25519.Ed25519PublicKey.from_public_bytes(_sized(found[-2], 32))
        if algorithm == _RS256 and found[1] == 3:
            modulus, exponent = (int.from_bytes(_sized(found[name]), "big") for name in (-1, -2))
            return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except UnsupportedAlgorithm as error:
        raise Unknown("ASSERTION_KEY", "The passkey's key is of a kind that is not known here.") from error
    raise Unknown("ASSERTION_KEY", "The passkey's key is of a kind that is not known here.")


def _sized(value: object, size: int | None = None) -> bytes:
    if not isinstance(value, bytes) or (size is not None and len(value) != size):
        raise ValueError("size")
    return value


def _bytes(text: object) -> bytes:
    if not isinstance(text, str):
        raise TypeError("no text")
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


class _Cbor:
    """As much of CBOR (RFC 8949) as a COSE_Key needs: integers, byte strings, and one map of them."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def whole(self) -> object:
        """The one item that the data are."""
        found = self._item(inside=False)
        if self._at != len(self._data):
            raise ValueError("more follows")
        return found

    def _item(self, *, inside: bool) -> object:
        first = self._take(1)[0]
        major, value = first >> 5, first & 31
        if value in _LENGTHS:
            value = int.from_bytes(self._take(_LENGTHS[value]), "big")
        elif value > 23:
            raise ValueError("length")
        if major == 0:
            return value
        if major == 1:
            return -1 - value
        if major == 2:
            return self._take(value)
        if major == 5 and not inside and value <= 16:
            return {self._item(inside=True): self._item(inside=True) for _ in range(value)}
        raise ValueError("kind")

    def _take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) != count:
            raise ValueError("too short")
        self._at += count
        return taken
