"""The cloud service as a process of its own, and what a device needs to call it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from structlog.testing import CapturingLogger

from cloud.app import Endpoint
from cloud.client import find_target, open_client
from tests.support.cloud import CloudDevice, FakeClock, RunningCloud

STOP_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Identity:
    """What GrpcUplink needs of an enrolled device."""

    device: CloudDevice
    root_pem: bytes
    device_endpoint: str

    @property
    def attestation_certificates(self) -> tuple[bytes, ...]:
        return tuple(self.device.chain)

    def tls_certificates_pem(self) -> bytes:
        chain = (x509.load_der_x509_certificate(der) for der in self.device.tls_chain)
        return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)

    def tls_key_pem(self) -> bytes:
        return self.device.tls_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass(frozen=True, slots=True)
class Service:
    """The running service, seen by its clients and by the system."""

    cloud: RunningCloud
    pid: int


@contextmanager
def served(data: Path) -> Iterator[Service]:
    """Run ``verifield-cloud serve`` as a process on free ports."""
    command = [str(Path(sys.executable).parent / "verifield-cloud"), "serve", "--data", str(data)]
    with subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            announced = process.stdout.readline()
            if not announced:
                raise RuntimeError("the service did not start: try `verifield-cloud serve` by itself")
            endpoint = Endpoint(**json.loads(announced))
            target = find_target(data, endpoint=None, root=None, token_file=None)
            with open_client(target) as operator:
                yield Service(
                    RunningCloud(data, endpoint, FakeClock(), operator, CapturingLogger()), process.pid
                )
        finally:
            process.terminate()
            process.wait(STOP_TIMEOUT_S)
