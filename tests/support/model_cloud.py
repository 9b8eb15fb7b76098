"""The cloud as the contract describes it, in memory, and a gRPC server that speaks for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from tests.support.authority import LEAF_LIFETIME, Authority, Device, der, new_key
from verifield.certificates import Purpose, check_chain, signing_key
from verifield.chain import ChainBreak, ChainHead, check_link, envelope_sha256, next_head
from verifield.dsse import check_signature, parse_envelope
from verifield.errors import VerifieldError
from verifield.profile import device_id_of, leaf_certificate
from verifield.statement import parse_statement
from verifield.v1 import sync_service_pb2 as pb
from verifield.v1.enrollment_service_pb2 import EnrollRequest, EnrollResponse
from verifield.v1.enrollment_service_pb2_grpc import (
    EnrollmentServiceServicer,
    add_EnrollmentServiceServicer_to_server,
)
from verifield.v1.sync_service_pb2_grpc import SyncServiceServicer, add_SyncServiceServicer_to_server

Context = grpc.ServicerContext


@dataclass
class ModelCloud:
    """One chain for each device. ``at``: server time of the next receipt."""

    authority: Authority
    at: datetime
    chains: dict[str, list[bytes]] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    refuse: dict[int, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def head(self, device_id: str) -> ChainHead | None:
        chain = self.chains.get(device_id, [])
        return ChainHead(1, len(chain), envelope_sha256(chain[-1])) if chain else None

    def deliver(self, device_id: str, request: pb.DeliverRequest) -> pb.DeliverResponse:
        with self.lock:
            leaf = check_chain(
                request.certificates, roots=[self.authority.root], at=self.at, purpose=Purpose.ATTESTATION
            )
            assert device_id_of(leaf) == device_id
            results = [self._take(device_id, envelope, leaf) for envelope in request.envelopes]
            answer = pb.DeliverResponse(results=results)
            head = self.head(device_id)
            good = {pb.DELIVER_STATUS_ACCEPTED, pb.DELIVER_STATUS_ALREADY_HAVE}
            if head and any(result.status in good for result in results):
                answer.receipt = self.authority.receipt(device_id, head, at=self.at)
                answer.receipt_certificates.extend(self.authority.receipt_chain)
                answer.log_certificates.extend(self.authority.log_chain)
            return answer

    def _take(self, device_id: str, envelope: bytes, leaf: x509.Certificate) -> pb.DeliverResult:
        chain = self.chains.setdefault(device_id, [])
        try:
            statement = parse_statement(check_signature(parse_envelope(envelope), signing_key(leaf)))
        except VerifieldError as error:
            return pb.DeliverResult(status=pb.DELIVER_STATUS_INVALID, reason=error.code)
        if statement.seq in self.refuse:
            return pb.DeliverResult(status=pb.DELIVER_STATUS_INVALID, reason=self.refuse[statement.seq])
        if statement.seq <= len(chain):
            same = chain[statement.seq - 1] == envelope
            return pb.DeliverResult(status=pb.DELIVER_STATUS_ALREADY_HAVE if same else pb.DELIVER_STATUS_FORK)
        if statement.seq > len(chain) + 1:
            return pb.DeliverResult(status=pb.DELIVER_STATUS_OUT_OF_ORDER, expected_seq=len(chain) + 1)
        try:
            check_link(statement, self.head(device_id))
        except ChainBreak:
            return pb.DeliverResult(status=pb.DELIVER_STATUS_FORK)
        assert next_head(statement, envelope).seq == len(chain) + 1
        chain.append(envelope)
        self.authority.append(envelope, der(leaf))
        return pb.DeliverResult(status=pb.DELIVER_STATUS_ACCEPTED)


@dataclass(frozen=True)
class TestIdentity:
    """What the uplink needs, without files."""

    __test__ = False

    device_endpoint: str
    root_pem: bytes
    attestation_certificates: tuple[bytes, ...]
    tls_chain_pem: bytes
    tls_key: bytes

    def tls_certificates_pem(self) -> bytes:
        return self.tls_chain_pem

    def tls_key_pem(self) -> bytes:
        return self.tls_key


def new_authority() -> Authority:
    """An authority of today, because TLS looks at the real clock."""
    return Authority.create(now=datetime.now(UTC))


def tls_leaf(
    authority: Authority,
    key: ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey,
    *,
    name: str,
    usage: Any,
) -> list[bytes]:
    public = key.public_key() if isinstance(key, ec.EllipticCurvePrivateKey) else key
    leaf = leaf_certificate(
        issuer_cert=authority.issuing,
        issuer_key=authority.issuing_key,
        public_key=public,
        common_name=name,
        purpose=usage,
        now=datetime.now(UTC),
        lifetime=LEAF_LIFETIME,
        san=["localhost", "127.0.0.1"] if usage == "tls_server" else [],
    )
    return [der(leaf), der(authority.issuing)]


def to_pem(chain: Sequence[bytes]) -> bytes:
    return b"".join(x509.load_der_x509_certificate(item).public_bytes(Encoding.PEM) for item in chain)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def identity_for(authority: Authority, device: Device, *, endpoint: str) -> TestIdentity:
    key = new_key()
    return TestIdentity(
        device_endpoint=endpoint,
        root_pem=authority.root_pem,
        attestation_certificates=tuple(device.chain),
        tls_chain_pem=to_pem(tls_leaf(authority, key, name=device.device_id, usage="tls_client")),
        tls_key=key_pem(key),
    )


class _Sync(SyncServiceServicer):
    def __init__(self, cloud: ModelCloud) -> None:
        self._cloud = cloud

    def Deliver(  # noqa: N802
        self, request_iterator: Iterator[pb.DeliverRequest], context: Context
    ) -> Iterator[pb.DeliverResponse]:
        for request in request_iterator:
            yield self._cloud.deliver(_peer(context), request)

    def GetHead(self, request: pb.GetHeadRequest, context: Context) -> pb.GetHeadResponse:  # noqa: N802
        head = self._cloud.head(_peer(context))
        if head is None:
            return pb.GetHeadResponse(chain_epoch=1)
        return pb.GetHeadResponse(chain_epoch=head.epoch, seq=head.seq, head_sha256=head.sha256)


class _Enrollment(EnrollmentServiceServicer):
    def __init__(self, cloud: ModelCloud, device_endpoint: str) -> None:
        self._cloud = cloud
        self._device_endpoint = device_endpoint

    def Enroll(self, request: EnrollRequest, context: Context) -> EnrollResponse:  # noqa: N802
        if request.join_token not in self._cloud.tokens:
            detail = any_pb2.Any()
            detail.Pack(error_details_pb2.ErrorInfo(reason="JOIN_TOKEN_UNKNOWN", domain="verifield"))
            context.abort_with_status(
                rpc_status.to_status(
                    status_pb2.Status(
                        code=grpc.StatusCode.PERMISSION_DENIED.value[0],
                        message="no such token",
                        details=[detail],
                    )
                )
            )
        self._cloud.tokens.remove(request.join_token)
        attestation = _key_of(request.attestation_csr)
        device_id = f"device-{len(self._cloud.chains) + 1}"
        self._cloud.chains[device_id] = []
        authority = self._cloud.authority
        return EnrollResponse(
            device_id=device_id,
            site_id="site-1",
            attestation_certificates=authority.issue(
                attestation, name=device_id, purpose=Purpose.ATTESTATION, now=datetime.now(UTC)
            ),
            tls_certificates=tls_leaf(
                authority, _key_of(request.tls_csr), name=device_id, usage="tls_client"
            ),
            device_endpoint=self._device_endpoint,
        )


@contextmanager
def serving(cloud: ModelCloud) -> Iterator[tuple[str, str]]:
    """Serve on two ports of this machine; yields the public and the device endpoint."""
    authority = cloud.authority
    key = new_key()
    pair = (key_pem(key), to_pem(tls_leaf(authority, key, name="cloud", usage="tls_server")))
    device_server = grpc.server(futures.ThreadPoolExecutor(4))
    add_SyncServiceServicer_to_server(_Sync(cloud), device_server)
    device_port = device_server.add_secure_port(
        "127.0.0.1:0",
        grpc.ssl_server_credentials([pair], root_certificates=authority.root_pem, require_client_auth=True),
    )
    public_server = grpc.server(futures.ThreadPoolExecutor(2))
    add_EnrollmentServiceServicer_to_server(_Enrollment(cloud, f":{device_port}"), public_server)
    public_port = public_server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    device_server.start()
    public_server.start()
    try:
        yield f"127.0.0.1:{public_port}", f"127.0.0.1:{device_port}"
    finally:
        public_server.stop(None).wait()
        device_server.stop(None).wait()


def _key_of(csr: bytes) -> ec.EllipticCurvePublicKey:
    request = x509.load_der_x509_csr(csr)
    assert request.is_signature_valid
    key = request.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key


def _peer(context: Context) -> str:
    pem = context.auth_context()["x509_pem_cert"][0]
    return device_id_of(x509.load_pem_x509_certificate(pem))
