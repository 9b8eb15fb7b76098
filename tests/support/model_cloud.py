"""The cloud as the contract describes it, in memory, and a gRPC server that speaks for it."""

from __future__ import annotations

import copy
import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, TypeVar

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from edge.model import Position
from tests.support.authority import LEAF_LIFETIME, Authority, Device, der, new_key
from tests.support.model_chain import DeviceModel
from verifield.certificates import Purpose, check_chain, signing_key
from verifield.chain import ChainHead, envelope_sha256
from verifield.merkle import leaf_hash
from verifield.profile import device_id_of, leaf_certificate
from verifield.v1 import sync_service_pb2 as pb
from verifield.v1.enrollment_service_pb2 import ENROLLMENT_STATE_ACTIVE, EnrollRequest, EnrollResponse
from verifield.v1.enrollment_service_pb2_grpc import (
    EnrollmentServiceServicer,
    add_EnrollmentServiceServicer_to_server,
)
from verifield.v1.sync_service_pb2_grpc import SyncServiceServicer, add_SyncServiceServicer_to_server

Context = grpc.ServicerContext
T = TypeVar("T")


@dataclass
class ModelCloud:
    """``at``: server time of the next answers. ``refuse``: seqs of records that it never takes, with reasons.

    ``fail`` may refuse a call: it gets the method's name and raises :class:`Refusal`.
    """

    authority: Authority
    at: datetime
    devices: dict[str, DeviceModel] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    refuse: dict[int, str] = field(default_factory=dict)
    feed: list[pb.DownItem] = field(default_factory=list)
    media: dict[bytes, dict[int, bytes]] = field(default_factory=dict)
    fail: Callable[[str], None] = lambda _method: None
    lock: threading.RLock = field(default_factory=threading.RLock)

    def device(self, device_id: str) -> DeviceModel:
        if device_id not in self.devices:
            self.devices[device_id] = DeviceModel(device_id, log=self._log)
        return self.devices[device_id]

    def backup(self) -> dict[str, Any]:
        """What a restore brings back; the log is kept elsewhere, and does not forget."""
        return {
            name: {
                item.name: copy.deepcopy(getattr(one, item.name))
                for item in fields(one)
                if item.name != "log"
            }
            for name, one in self.devices.items()
        }

    def restore(self, backup: dict[str, Any]) -> None:
        self.devices = {
            name: DeviceModel(log=self._log, **copy.deepcopy(values)) for name, values in backup.items()
        }

    def deliver(self, device_id: str, request: pb.DeliverRequest) -> pb.DeliverResponse:
        with self.lock:
            self.fail("Deliver")
            leaf = check_chain(
                request.certificates, roots=[self.authority.root], at=self.at, purpose=Purpose.ATTESTATION
            )
            assert device_id_of(leaf) == device_id
            device = self.device(device_id)
            before = device.head
            for row in request.damaged:
                device.take_damaged(Position(row.chain_epoch, row.seq), row.content)
            verdicts = [
                device.take(envelope, key=signing_key(leaf), refuse=self.refuse)
                for envelope in request.envelopes
            ]
            answer = pb.DeliverResponse(results=[verdict() for verdict in verdicts], missing=device.missing())
            here = {pb.DELIVER_STATUS_ACCEPTED, pb.DELIVER_STATUS_ALREADY_HAVE}
            if device.head and (device.head != before or any(one.status in here for one in answer.results)):
                self._add_receipt(answer, device_id, device.head, seen=request.witnessed_tree_size)
            return answer

    def get_head(self, device_id: str) -> pb.GetHeadResponse:
        with self.lock:
            self.fail("GetHead")
            device = self.device(device_id)
            head = device.head
            return pb.GetHeadResponse(
                chain_epoch=device.epoch,
                seq=head.seq if head else 0,
                head_sha256=head.sha256 if head else b"",
                newest_seq=device.newest_seq(),
                missing=device.missing(),
            )

    def pull(self, request: pb.PullRequest) -> pb.PullResponse:
        with self.lock:
            self.fail("Pull")
            first = int(request.cursor or 0)
            items = self.feed[first : first + (request.page_size or 50)]
            after = first + len(items)
            answer = pb.PullResponse(items=items, next_cursor=str(after), more=after < len(self.feed))
            answer.server_time.FromDatetime(self.at)
            return answer

    def get_media(self, request: pb.GetMediaRequest) -> pb.GetMediaResponse:
        with self.lock:
            self.fail("GetMedia")
            chunks = self.media.get(request.sha256, {})
            complete = hashlib.sha256(self.file(request.sha256)).digest() == request.sha256
            return pb.GetMediaResponse(complete=complete, chunks=() if complete else sorted(chunks))

    def put_media_chunk(self, request: pb.PutMediaChunkRequest) -> pb.PutMediaChunkResponse:
        with self.lock:
            self.fail("PutMediaChunk")
            self.media.setdefault(request.sha256, {})[request.index] = request.content
            whole = self.file(request.sha256)
            return pb.PutMediaChunkResponse(complete=hashlib.sha256(whole).digest() == request.sha256)

    def file(self, sha256: bytes) -> bytes:
        """The chunks that are here, in order."""
        chunks = self.media.get(sha256, {})
        return b"".join(chunks[index] for index in sorted(chunks))

    def _log(self, envelope: bytes) -> None:
        self.authority.tree.append(leaf_hash(envelope_sha256(envelope)))

    def _add_receipt(self, answer: pb.DeliverResponse, device_id: str, head: ChainHead, *, seen: int) -> None:
        answer.receipt = self.authority.receipt(device_id, head, at=self.at)
        answer.receipt_certificates.extend(self.authority.receipt_chain)
        answer.log_certificates.extend(self.authority.log_chain)
        tree = self.authority.tree
        if seen <= tree.size:
            answer.consistency_hashes.extend(tree.consistency_proof(seen, tree.size))


class Refusal(Exception):
    """A call that the cloud answers with an error; ``reason`` is that of google.rpc.ErrorInfo."""

    def __init__(self, code: grpc.StatusCode, reason: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


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
    """Names of methods come from the contract."""

    def __init__(self, cloud: ModelCloud) -> None:
        self._cloud = cloud

    def Deliver(  # noqa: N802
        self, request_iterator: Iterator[pb.DeliverRequest], context: Context
    ) -> Iterator[pb.DeliverResponse]:
        for request in request_iterator:
            yield _answer(context, lambda request=request: self._cloud.deliver(_peer(context), request))

    def GetHead(self, request: pb.GetHeadRequest, context: Context) -> pb.GetHeadResponse:  # noqa: N802
        return _answer(context, lambda: self._cloud.get_head(_peer(context)))

    def Pull(self, request: pb.PullRequest, context: Context) -> pb.PullResponse:  # noqa: N802
        return _answer(context, lambda: self._cloud.pull(request))

    def GetMedia(self, request: pb.GetMediaRequest, context: Context) -> pb.GetMediaResponse:  # noqa: N802
        return _answer(context, lambda: self._cloud.get_media(request))

    def PutMediaChunk(  # noqa: N802
        self, request: pb.PutMediaChunkRequest, context: Context
    ) -> pb.PutMediaChunkResponse:
        return _answer(context, lambda: self._cloud.put_media_chunk(request))


def _answer(context: Context, call: Callable[[], T]) -> T:
    try:
        return call()
    except Refusal as refusal:
        _abort(context, refusal)
        raise


def _abort(context: Context, refusal: Refusal) -> None:
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason=refusal.reason, domain="verifield"))
    status = status_pb2.Status(code=refusal.code.value[0], message="refused", details=[detail])
    context.abort_with_status(rpc_status.to_status(status))


class _Enrollment(EnrollmentServiceServicer):
    def __init__(self, cloud: ModelCloud, device_endpoint: str) -> None:
        self._cloud = cloud
        self._device_endpoint = device_endpoint

    def Enroll(self, request: EnrollRequest, context: Context) -> EnrollResponse:  # noqa: N802
        if request.join_token not in self._cloud.tokens:
            _abort(context, Refusal(grpc.StatusCode.PERMISSION_DENIED, "JOIN_TOKEN_UNKNOWN"))
        self._cloud.tokens.remove(request.join_token)
        attestation = _key_of(request.attestation_csr)
        device_id = f"device-{len(self._cloud.devices) + 1}"
        self._cloud.device(device_id)
        authority = self._cloud.authority
        return EnrollResponse(
            state=ENROLLMENT_STATE_ACTIVE,
            device_id=device_id,
            site_id="site-1",
            key_sha256=hashlib.sha256(
                attestation.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            ).digest(),
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
