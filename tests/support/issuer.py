"""An OpenID Connect issuer of our own: real HTTPS, a discovery document, a key set, and tokens to the point.

with open_issuer(tmp_path) as issuer:
    token = issuer.token("li-wei")
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from verifield.profile import Usage, issuing_certificate, leaf_certificate, root_certificate

AUDIENCE = "verifield-operators"
SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey
Answer = tuple[int, bytes]


@dataclass
class IssuerKey:
    kid: str
    alg: str
    key: SigningKey

    def jwk(self) -> dict[str, Any]:
        public = self.key.public_key()
        make: Any = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}[self.alg]
        return {**make.to_jwk(public, as_dict=True), "kid": self.kid, "alg": self.alg, "use": "sig"}


def new_key(kid: str, alg: str = "ES256") -> IssuerKey:
    made: dict[str, Callable[[], SigningKey]] = {
        "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": Ed25519PrivateKey.generate,
    }
    return IssuerKey(kid, alg, made[alg]())


@dataclass
class Issuer:
    """``answers``: what a path answers in the place of the right thing. ``asked``: the paths, in order."""

    url: str
    ca: Path
    keys: list[IssuerKey]
    answers: dict[str, Callable[[], Answer]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def claims(self, subject: str, **changes: Any) -> dict[str, Any]:
        now = datetime.now(UTC)
        claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": subject,
            "iat": int(now.timestamp()),
            "exp": int((now + timedelta(minutes=10)).timestamp()),
        }
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def token(
        self,
        subject: str,
        *,
        key: IssuerKey | None = None,
        header: dict[str, Any] | None = None,
        **changes: Any,
    ) -> str:
        """A token of the newest key; claims that are None are left out."""
        key = key or self.keys[-1]
        headers = {"kid": key.kid, **(header or {})}
        return jwt.encode(self.claims(subject, **changes), key.key, algorithm=key.alg, headers=headers)

    def documents(self) -> dict[str, Any]:
        return {
            "/.well-known/openid-configuration": {"issuer": self.url, "jwks_uri": f"{self.url}/keys"},
            "/keys": {"keys": [key.jwk() for key in self.keys]},
        }


@contextmanager
def open_issuer(folder: Path) -> Iterator[Issuer]:
    """Serve on a free port of localhost until the block ends."""
    ca, chain, key = tls_certificates(folder)
    server = _Server(("127.0.0.1", 0), _Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    server.context = context
    server.issuer = issuer = Issuer(f"https://localhost:{server.server_port}", ca, [new_key("first")])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    issuer: Issuer
    context: ssl.SSLContext

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the thread of the call: who never ends a handshake does not hold up the others."""
        request.settimeout(10)
        try:
            with self.context.wrap_socket(request, server_side=True) as wrapped:
                super().finish_request(wrapped, client_address)
        except OSError:
            return


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        issuer = self.server.issuer
        issuer.asked.append(self.path)
        if self.path in issuer.answers:
            status, content = issuer.answers[self.path]()
        elif self.path in issuer.documents():
            status, content = 200, json.dumps(issuer.documents()[self.path]).encode()
        else:
            status, content = 404, b""
        self.send_response(status)
        if status in (301, 302):
            self.send_header("Location", content.decode())
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on standard error."""


def tls_certificates(folder: Path, purpose: Usage = "tls_server") -> tuple[Path, Path, Path]:
    """A CA, a chain for localhost and its key: files in PEM."""
    now, life = datetime.now(UTC), timedelta(days=1)
    root_key, issuing_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    root = root_certificate(root_key, name="Issuer root", now=now, lifetime=life)
    issuing = issuing_certificate(
        issuer_cert=root,
        issuer_key=root_key,
        public_key=issuing_key.public_key(),
        name="Issuer CA",
        now=now,
        lifetime=life,
    )
    leaf = leaf_certificate(
        issuer_cert=issuing,
        issuer_key=issuing_key,
        public_key=key.public_key(),
        common_name="localhost",
        purpose=purpose,
        now=now,
        lifetime=life,
        san=["localhost"] if purpose == "tls_server" else [],
    )
    files = folder / "issuer-ca.pem", folder / "issuer-chain.pem", folder / "issuer-key.pem"
    files[0].write_bytes(_pem(root))
    files[1].write_bytes(_pem(leaf) + _pem(issuing))
    files[2].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)
