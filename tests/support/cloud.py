"""A whole cloud service for tests, in this process, over real TLS; and devices that enrol with it.

with running_cloud(tmp_path) as cloud:
    device = cloud.enroll()
    [answer] = cloud.deliver(device, [device.sign(verification_of(device))])
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import structlog.testing
import uuid_utils
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.rpc.error_details_pb2 import ErrorInfo, LocalizedMessage
from grpc_status import rpc_status
from sqlalchemy import Connection
from structlog.typing import FilteringBoundLogger

from cloud.app import Endpoint, serve
from cloud.client import OperatorClient, find_target, open_client
from cloud.config import Config
from cloud.sources import Sources
from cloud.store.database import Store, StoreOptions
from tests.support.authority import Device, new_key, verification
from tests.support.databases import in_file
from verifield.v1 import attestation_pb2, device_service_pb2, enrollment_service_pb2, sync_service_pb2
from verifield.v1.enrollment_service_pb2_grpc import EnrollmentServiceStub
from verifield.v1.sync_service_pb2_grpc import SyncServiceStub

TIMEOUT_S = 30.0


@dataclass
class FakeClock:
    """The real time and an offset that a test can change."""

    offset: timedelta = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset


@dataclass
class CloudDevice(Device):
    """An enrolled device: beside the attestation key it has a TLS key."""

    tls_key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    tls_chain: list[bytes] = field(default_factory=list)
    site_id: str = ""
    endpoint: str = ""


@dataclass
class RunningCloud:
    data: Path
    endpoint: Endpoint
    clock: FakeClock
    operator: OperatorClient
    log: structlog.testing.CapturingLogger
    database_url: str

    @property
    def root_pem(self) -> bytes:
        return Path(self.endpoint.root).read_bytes()

    @contextmanager
    def public_channel(self) -> Iterator[grpc.Channel]:
        """Without any credentials of the client."""
        credentials = grpc.ssl_channel_credentials(self.root_pem)
        with grpc.secure_channel(self.endpoint.listen, credentials) as channel:
            yield channel

    @contextmanager
    def device_channel(
        self, chain: Sequence[bytes], key: ec.EllipticCurvePrivateKey
    ) -> Iterator[grpc.Channel]:
        """With a client certificate."""
        with grpc.secure_channel(
            self.endpoint.device_listen, device_credentials(self.root_pem, chain, key)
        ) as channel:
            yield channel

    def join_token(
        self,
        site: str = "site-1",
        ttl: timedelta | None = None,
        *,
        waive_approval: bool = True,
        account: str = "",
        replaces: str = "",
    ) -> str:
        request = device_service_pb2.CreateJoinTokenRequest(
            site_id=site, waive_approval=waive_approval, account_id=account, predecessor_id=replaces
        )
        if ttl is not None:
            request.ttl.FromTimedelta(ttl)
        return self.operator.call(self.operator.devices.CreateJoinToken, request).join_token

    def enroll(self, token: str | None = None) -> CloudDevice:
        key, tls_key = new_key(), new_key()
        request = enroll_request(token or self.join_token(), key, tls_key)
        with self.public_channel() as channel:
            answer = EnrollmentServiceStub(channel).Enroll(request, timeout=TIMEOUT_S)
        return CloudDevice(
            answer.device_id,
            key,
            list(answer.attestation_certificates),
            tls_key=tls_key,
            tls_chain=list(answer.tls_certificates),
            site_id=answer.site_id,
            endpoint=answer.device_endpoint,
        )

    def deliver(
        self, device: CloudDevice, *batches: Sequence[bytes]
    ) -> list[sync_service_pb2.DeliverResponse]:
        """Send batches in one stream, certificates in the first; return the answers."""
        requests = [
            sync_service_pb2.DeliverRequest(envelopes=batch, certificates=() if number else device.chain)
            for number, batch in enumerate(batches)
        ]
        with self.device_channel(device.tls_chain, device.tls_key) as channel:
            return list(SyncServiceStub(channel).Deliver(iter(requests), timeout=TIMEOUT_S))

    @contextmanager
    def sync(self, device: CloudDevice) -> Iterator[SyncServiceStub]:
        """What the device calls."""
        with self.device_channel(device.tls_chain, device.tls_key) as channel:
            yield SyncServiceStub(channel)

    def head(self, device: CloudDevice) -> sync_service_pb2.GetHeadResponse:
        with self.sync(device) as stub:
            return stub.GetHead(sync_service_pb2.GetHeadRequest(), timeout=TIMEOUT_S)

    def pull(self, device: CloudDevice, cursor: str = "", *, size: int = 0) -> sync_service_pb2.PullResponse:
        request = sync_service_pb2.PullRequest(cursor=cursor, page_size=size)
        with self.sync(device) as stub:
            return stub.Pull(request, timeout=TIMEOUT_S)

    @contextmanager
    def database(self) -> Iterator[Connection]:
        """One writing transaction beside those of the service."""
        store = Store.open(self.database_url, StoreOptions(require_durable=False))
        try:
            with store.writing() as connection:
                yield connection
        finally:
            store.close()


def enroll_request(
    token: str, key: ec.EllipticCurvePrivateKey, tls_key: ec.EllipticCurvePrivateKey
) -> enrollment_service_pb2.EnrollRequest:
    return enrollment_service_pb2.EnrollRequest(
        join_token=token,
        attestation_csr=csr(key),
        tls_csr=csr(tls_key),
        key_protection=attestation_pb2.KEY_PROTECTION_SOFTWARE,
    )


def csr(key: Any, *, algorithm: Any = None) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, algorithm or SHA256()).public_bytes(Encoding.DER)


def device_credentials(
    root_pem: bytes, chain: Sequence[bytes], key: ec.EllipticCurvePrivateKey
) -> grpc.ChannelCredentials:
    certificates = [x509.load_der_x509_certificate(der) for der in chain]
    return grpc.ssl_channel_credentials(
        root_pem,
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates),
    )


def verification_of(
    device: Device,
    *,
    outcome: attestation_pb2.Outcome.ValueType = attestation_pb2.OUTCOME_VERIFIED,
    cites: bytes = b"",
) -> attestation_pb2.Statement:
    """The next statement of ``device``, with an id of its own."""
    statement = verification(device, outcome=outcome, cites=cites)
    statement.attestation_id = str(uuid_utils.uuid7())
    return statement


def next_envelopes(device: Device, count: int) -> list[bytes]:
    return [device.sign(verification_of(device)) for _ in range(count)]


def refusal(error: grpc.RpcError) -> tuple[grpc.StatusCode, ErrorInfo, str]:
    """Status, ErrorInfo and hint of a refused call."""
    call: Any = error
    status = rpc_status.from_call(call)
    assert status is not None, f"no rich status: {call.code()} {call.details()}"
    info, hint = ErrorInfo(), LocalizedMessage()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(hint)
    return call.code(), info, hint.message


@contextmanager
def running_cloud(
    data: Path,
    *,
    clock: FakeClock | None = None,
    tpm_roots: Path | None = None,
    database: str | None = None,
    verify_processes: int = 0,
    log: FilteringBoundLogger | None = None,
    **settings: Any,
) -> Iterator[RunningCloud]:
    """Serve from ``data`` on free ports until the block ends; ``database`` None: SQLite in ``data``.

    What is new there begins with all tables, see ``tests.support.databases.in_file``.
    """
    clock = clock or FakeClock()
    if database is None:
        with suppress(OSError):  # the service says it
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
        in_file(data / "verifield.db")
    given = {"stop_grace_s": 1.0} | settings
    config = Config(
        data=data,
        listen="127.0.0.1:0",
        verify_processes=verify_processes,
        tpm_roots=tpm_roots,
        database=database,
        require_durable_database=False,  # the tests' own PostgreSQL does not wait for the disk
        **given,
    )
    service = _ServiceThread(config, clock, log)
    endpoint = service.start()
    try:
        target = find_target(data, endpoint=None, root=None, token_file=None)
        with open_client(target) as operator:
            yield RunningCloud(data, endpoint, clock, operator, service.calls, config.database_url)
    finally:
        service.stop()


class _ServiceThread:
    def __init__(self, config: Config, clock: FakeClock, log: FilteringBoundLogger | None) -> None:
        self._config = config
        self._sources = Sources(now=clock.now, random_bytes=secrets.token_bytes)
        self.calls = structlog.testing.CapturingLogger()
        self._log = log or structlog.wrap_logger(self.calls, processors=[])
        self._ready = threading.Event()
        self._endpoint: Endpoint | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def start(self) -> Endpoint:
        self._thread.start()
        assert self._ready.wait(TIMEOUT_S), "the service was not ready in time"
        if self._error:
            self._thread.join()
            raise self._error
        assert self._endpoint is not None
        return self._endpoint

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive(), "the service did not stop in time"
        if self._error:
            raise self._error

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # handed to the test's thread
            self._error = error
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        await serve(self._config, self._sources, log=self._log, announce=self._announce, stop=self._stop)

    def _announce(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._ready.set()
