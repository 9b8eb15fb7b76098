"""The cloud service as a process of its own, and what a device needs to call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from structlog.testing import CapturingLogger

from cloud.app import Endpoint
from cloud.client import find_target, open_client
from cloud.config import ENV_PREFIX
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
def served(
    data: Path, *, database: str | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[Service]:
    """Run ``verifield-cloud serve`` as a process on free ports; ``settings`` by their names in the config."""
    command = [str(Path(sys.executable).parent / "verifield-cloud"), "serve", "--data", str(data)]
    extra = ["--database", database] if database else []
    environ = {f"{ENV_PREFIX}{name.upper()}": value for name, value in (settings or {}).items()}
    with subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0", *extra],
        env=os.environ | environ,
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
                url = database or f"sqlite:///{data.absolute() / 'verifield.db'}"
                yield Service(
                    RunningCloud(data, endpoint, FakeClock(), operator, CapturingLogger(), url), process.pid
                )
        finally:
            process.terminate()
            process.wait(STOP_TIMEOUT_S)
