"""TLS 1.3 and nothing older.

gRPC's Python has no setting for the TLS version, but its list of TLS 1.2 cipher suites can be set:
with an ECDSA certificate and only RSA suites no TLS 1.2 handshake succeeds, while the suites of
TLS 1.3 are not touched by that list. gRPC reads the list when it is imported, so this module imports
nothing of it, and a start is proved by a handshake.
"""

from __future__ import annotations

import os
import socket
import ssl

from cloud.errors import SetupError

CIPHER_VARIABLE = "GRPC_SSL_CIPHER_SUITES"
NO_TLS_1_2 = "ECDHE-RSA-AES256-GCM-SHA384"

HANDSHAKE_TIMEOUT_S = 5.0
"""With this very machine: milliseconds."""


def require_tls13() -> None:
    """Make this process refuse older TLS; without effect once gRPC is imported."""
    os.environ[CIPHER_VARIABLE] = NO_TLS_1_2


def check_tls13(host: str, port: int) -> None:
    """Check that the server does not speak TLS 1.2.

    Raises:
        SetupError: it does.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # what matters is whether a session comes about
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection((host, port), timeout=HANDSHAKE_TIMEOUT_S) as plain,
            context.wrap_socket(plain),
        ):
            pass
    except OSError:
        return
    raise SetupError(
        "TLS_1_2_ENABLED",
        "The service would accept connections with TLS 1.2.",
        hint=f"Start it with verifield-cloud, or set {CIPHER_VARIABLE}={NO_TLS_1_2} before the start.",
    )
