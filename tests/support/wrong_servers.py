"""What may answer in the cloud's place: noise, a web page, another cloud, or a line that is hung up."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.authority import new_key
from tests.support.model_cloud import key_pem, new_authority, tls_leaf, to_pem

PAGE = (
    b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/login\r\nContent-Length: 0\r\n"
    b"Connection: close\r\n\r\n"
)
READ_S = 0.3


def noise(link: socket.socket) -> None:
    """Bytes that mean nothing."""
    link.sendall(random.Random(1).randbytes(2000))


def web_page(link: socket.socket) -> None:
    """A portal that wants a login."""
    link.recv(4096)
    link.sendall(PAGE)


def hang_up(link: socket.socket) -> None:
    """Says nothing."""
    link.recv(1)


def tls_alert(link: socket.socket) -> None:
    """Refuses the handshake, as a middlebox does."""
    link.recv(4096)
    link.sendall(bytes([21, 3, 3, 0, 2, 2, 40]))


@contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Answer each connection so until the block ends; yields host:port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def work() -> None:
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            with link, contextlib.suppress(OSError):
                link.settimeout(READ_S)
                answer(link)

    thread = threading.Thread(target=work, name="wrong-server")
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def another_cloud(folder: Path) -> Callable[[socket.socket], None]:
    """Speaks TLS with a certificate of a root that nobody pinned, then HTTP/2 noise."""
    authority, key = new_authority(), new_key()
    path = folder / "another.pem"
    path.write_bytes(key_pem(key) + to_pem(tls_leaf(authority, key, name="cloud", usage="tls_server")))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    context.set_alpn_protocols(["h2"])

    def answer(link: socket.socket) -> None:
        with contextlib.suppress(ssl.SSLError), context.wrap_socket(link, server_side=True) as secure:
            secure.recv(4096)

    return answer


def right_certificate_wrong_words(cloud_data: Path, folder: Path) -> Callable[[socket.socket], None]:
    """Speaks TLS as the cloud itself does, and then nonsense: a proxy in front of it that is broken."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    keys = cloud_data / "keys"
    chain = folder / "chain.pem"
    chain.write_bytes((keys / "server.pem").read_bytes() + (keys / "issuing.pem").read_bytes())
    context.load_cert_chain(chain, keys / "server.key")
    context.set_alpn_protocols(["h2"])

    def answer(link: socket.socket) -> None:
        with contextlib.suppress(ssl.SSLError), context.wrap_socket(link, server_side=True) as secure:
            secure.sendall(random.Random(2).randbytes(500))

    return answer
