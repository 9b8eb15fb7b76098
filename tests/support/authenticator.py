"""An authenticator in software, as WebAuthn has them: it makes passkeys, and signs what pages ask for.

pad = Authenticator()
response_json = pad.create(options_json)
response_json = pad.get(options_json)
"""

from __future__ import annotations

import hashlib
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2.cose import ES256
from fido2.webauthn import AttestationObject, AttestedCredentialData, AuthenticatorData

FLAG = AuthenticatorData.FLAG


@dataclass
class Authenticator:
    """``verifies``: whether it asks for a finger, a face or a PIN. ``counts``: how its counter goes on."""

    origin: str = "https://localhost"
    verifies: bool = True
    counts: int = 1
    counter: int = 0
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    user_handle: bytes = b""
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def create(self, options_json: str) -> str:
        """A new passkey, as navigator.credentials.create returns it."""
        options = json.loads(options_json)
        self.user_handle = unsafe(options["user"]["id"])
        public = ES256.from_cryptography_key(self.key.public_key())
        credential = AttestedCredentialData.create(bytes(16), self.credential_id, public)
        data = self._data(options["rp"]["id"], FLAG.AT, bytes(credential))
        attestation = AttestationObject.create("none", data, {})
        return self._answer(
            {
                "clientDataJSON": safe(self._client("webauthn.create", options)),
                "attestationObject": safe(attestation),
                "transports": ["internal"],
            }
        )

    def get(self, options_json: str, **changes: Any) -> str:
        """A signature of this passkey; ``changes``: what a page changes in what it was asked for."""
        options = json.loads(options_json) | changes
        data = self._data(options["rpId"], FLAG(0), b"")
        client = self._client("webauthn.get", options)
        signature = self.key.sign(bytes(data) + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        return self._answer(
            {
                "clientDataJSON": safe(client),
                "authenticatorData": safe(data),
                "signature": safe(signature),
                "userHandle": safe(self.user_handle),
            }
        )

    def _data(self, domain: str, flags: AuthenticatorData.FLAG, credential: bytes) -> AuthenticatorData:
        self.counter += self.counts
        flags |= FLAG.UP | (FLAG.UV if self.verifies else FLAG(0))
        digest = hashlib.sha256(domain.encode()).digest()
        return AuthenticatorData.create(digest, flags, self.counter, credential)

    def _client(self, kind: str, options: dict[str, Any]) -> bytes:
        return json.dumps(
            {
                "type": kind,
                "challenge": options["challenge"],
                "origin": self.origin,
                "crossOrigin": False,
            }
        ).encode()

    def _answer(self, response: dict[str, Any]) -> str:
        credential_id = safe(self.credential_id)
        return json.dumps(
            {
                "id": credential_id,
                "rawId": credential_id,
                "type": "public-key",
                "clientExtensionResults": {},
                "response": response,
            }
        )


def safe(content: bytes) -> str:
    """base64url without padding."""
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def unsafe(text: str) -> bytes:
    """The way back."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
