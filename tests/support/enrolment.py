"""The cloud's enrolment alone: its rules over a real store, called directly or over real TLS.

with open_desk(tmp_path) as desk, desk.serving() as endpoint:
    token = desk.token(waive_approval=True)
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import structlog.testing
from cryptography import x509
from sqlalchemy import delete, select

from cloud.api.rules import check_rules
from cloud.authority import Authority
from cloud.devices.enrollment import approve
from cloud.devices.enrollment_service import EnrollmentService
from cloud.devices.tokens import JOIN_PREFIX, SECRET_BYTES, encode_token, token_sha256
from cloud.interceptors import CallInterceptor
from cloud.interceptors.errors import ErrorLayer
from cloud.server import MAX_PUBLIC_MESSAGE_BYTES, Port, public_credentials
from cloud.sources import Sources, to_us
from cloud.store import devices as rows
from cloud.store import issued, lists, schema
from cloud.store.database import Store, StoreOptions
from tests.support.cloud import FakeClock
from tests.support.databases import in_file
from verifield.v1 import enrollment_service_pb2 as pb
from verifield.v1.enrollment_service_pb2_grpc import add_EnrollmentServiceServicer_to_server

TIMEOUT_S = 20.0


@dataclass
class Desk:
    """``tpm_roots`` may be changed before the service is asked for."""

    store: Store
    authority: Authority
    clock: FakeClock
    sources: Sources
    tpm_roots: Sequence[x509.Certificate] = ()

    @property
    def service(self) -> EnrollmentService:
        return EnrollmentService(
            self.store,
            self.authority,
            self.sources,
            device_endpoint=":8443",
            tpm_roots=self.tpm_roots,
        )

    @property
    def now_us(self) -> int:
        return to_us(self.clock.now())

    def token(
        self,
        *,
        ttl: timedelta = timedelta(days=1),
        waive_approval: bool = False,
        replaces: str | None = None,
        account: str = "",
    ) -> str:
        token = encode_token(JOIN_PREFIX, secrets.token_bytes(SECRET_BYTES))
        with self.store.writing() as connection:
            rows.add_join_token(
                connection,
                token_sha256=token_sha256(token),
                site_id="site-1",
                created_us=self.now_us,
                expires_us=to_us(self.clock.now() + ttl),
                account_id=account,
                predecessor_id=replaces,
                waive_approval=waive_approval,
            )
        return token

    def enroll(self, request: pb.EnrollRequest) -> pb.EnrollResponse:
        check_rules(request)  # as the interceptor does
        return asyncio.run(self.service.Enroll(request, cast("Any", None)))

    def activate(self, token: str, device_id: str, secret: bytes) -> None:
        request = pb.ActivateCredentialRequest(join_token=token, device_id=device_id, secret=secret)
        check_rules(request)
        asyncio.run(self.service.ActivateCredential(request, cast("Any", None)))

    def challenge(self, device_id: str) -> bytes:
        request = pb.CreateRenewalChallengeRequest(device_id=device_id)
        check_rules(request)
        return asyncio.run(self.service.CreateRenewalChallenge(request, cast("Any", None))).challenge

    def renew(self, proof: bytes, tls_csr: bytes) -> pb.RenewCertificatesResponse:
        request = pb.RenewCertificatesRequest(proof=proof, tls_csr=tls_csr)
        check_rules(request)
        return asyncio.run(self.service.RenewCertificates(request, cast("Any", None)))

    def approve(self, device_id: str, key_sha256: bytes) -> rows.DeviceRow:
        with self.store.writing() as connection:
            return approve(connection, device_id, key_sha256=key_sha256)

    def set_state(self, device_id: str, state: int) -> None:
        with self.store.writing() as connection:
            rows.set_state(connection, device_id, state)

    def touch(self, device_id: str) -> None:
        """What every authenticated call of the device does."""
        with self.store.writing() as connection:
            rows.touch(connection, device_id, now_us=self.now_us)

    def device(self, device_id: str) -> rows.DeviceRow:
        with self.store.reading() as connection:
            row = rows.get_device(connection, device_id)
        assert row is not None
        return row

    def devices(self) -> list[rows.DeviceRow]:
        with self.store.reading() as connection:
            query = lists.select_devices(lists.Begin(None, descending=False), 100)
            return [rows.DeviceRow(**row._mapping) for row in connection.execute(query)]

    def issued(self, device_id: str) -> list[issued.IssuedRow]:
        with self.store.reading() as connection:
            table = schema.issued_certificates
            rows = connection.execute(select(*table.c).where(table.c.device_id == device_id))
            return [issued.IssuedRow(**row._mapping) for row in rows]

    def reset(self) -> None:
        """As on the first day, with the same keys: faster than another desk."""
        self.clock.offset = timedelta()
        self.tpm_roots = ()
        with self.store.writing() as connection:
            for table in (
                schema.tpm_challenges,
                schema.issued_certificates,
                schema.join_tokens,
                schema.devices,
            ):
                connection.execute(delete(table))

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve on a free port of this machine; yields the endpoint."""
        server = _Thread(self)
        endpoint = server.start()
        try:
            yield endpoint
        finally:
            server.stop()


@contextmanager
def open_desk(
    data: Path, *, tpm_roots: Sequence[x509.Certificate] = (), database: str | None = None
) -> Iterator[Desk]:
    """A desk with its files in ``data``; ``database`` None: SQLite there."""
    clock = FakeClock()
    sources = Sources(now=clock.now, random_bytes=secrets.token_bytes)
    data.mkdir(parents=True, exist_ok=True)
    authority = Authority.open(data, server_names=["localhost", "127.0.0.1"], now=clock.now())
    options = StoreOptions(require_durable=False)
    store = Store.open(database or in_file(data / "verifield.db"), options)
    try:
        yield Desk(store, authority, clock, sources, tpm_roots)
    finally:
        store.close()


class _Thread:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ready = threading.Event()
        self._endpoint = ""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def start(self) -> str:
        self._thread.start()
        assert self._ready.wait(TIMEOUT_S), "the service was not ready in time"
        return self._endpoint

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive(), "the service did not stop in time"

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        log = structlog.wrap_logger(structlog.testing.CapturingLogger(), processors=[])
        port = Port.bind(
            ("127.0.0.1", 0),
            public_credentials(self._desk.authority),
            interceptor=CallInterceptor([ErrorLayer(log, secrets.token_bytes)]),
            max_message_bytes=MAX_PUBLIC_MESSAGE_BYTES,
        )
        add_EnrollmentServiceServicer_to_server(self._desk.service, port.server)
        await port.start([])
        self._endpoint = port.address
        self._ready.set()
        await self._stop.wait()
        await port.stop(0)
