"""The way to the cloud: SyncService over mutual TLS, one bounded call at a time.

Each batch travels in a stream of its own. The connection and its TLS session stay; a stream costs
some bytes of headers, and gives each batch a deadline and a clean end on links that die half-way.
Deadlines grow with what has to travel, so that a slow link is not taken for a dead one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self

import grpc

from edge.rpc import FailureKind, RpcFailure, channel_options, judge_failure
from edge.sync.events import CloudChain, RecordResult, Verdict, refusal_code
from edge.sync.ports import Damaged, Media, Outgoing, UplinkError, UplinkIdentity
from verifield.chain import ChainHead, excuses_of
from verifield.dsse import parse_envelope
from verifield.errors import VerifieldError
from verifield.rules import DIGEST_BYTES, MAX_COUNTER
from verifield.statement import parse_statement
from verifield.v1.signing_service_pb2 import SubmitOfflineSignatureRequest, SubmitOfflineSignatureResponse
from verifield.v1.signing_service_pb2_grpc import SigningServiceStub
from verifield.v1.sync_service_pb2 import (
    DamagedRecord,
    DeliverRequest,
    DeliverResponse,
    DeliverStatus,
    GetHeadRequest,
    GetHeadResponse,
    GetMediaRequest,
    PullRequest,
    PullResponse,
    PutMediaChunkRequest,
)
from verifield.v1.sync_service_pb2_grpc import SyncServiceStub
from verifield.v1.task_service_pb2 import GetTaskDocumentRequest, GetTaskDocumentResponse
from verifield.v1.task_service_pb2_grpc import TaskServiceStub

MAX_BATCH_RECORDS = 256
MAX_BATCH_BYTES = 2 * 1024 * 1024
MAX_DAMAGED = 16
MAX_MISSING = 64
"""All are limits of the contract (sync_service.proto)."""

MAX_EPOCHS_AHEAD = 2**20
"""A reset a minute for two years; however often a cloud says so, it does not use up 2**63 of them."""

CALL_TIMEOUT_S = 30.0
"""For connecting, and for the cloud to make a batch durable."""

SLOWEST_LINK_BYTES_PER_S = 2048
"""A 23 kbit/s field link with a third of it lost; slower than this, less is tried at once."""

LARGEST_PART_BYTES = 128 * 1024
"""Of a task's document; a limit of the contract (task_service.proto)."""

LARGEST_ITEM_BYTES = 256 * 1024
TYPICAL_ITEM_BYTES = 16 * 1024
"""Of what comes down: contracts have a few pages."""

_STATUS_PREFIX = "DELIVER_STATUS_"


class GrpcUplink:
    """Implements ``edge.sync.ports.Uplink``."""

    def __init__(self, channel: grpc.Channel, certificates: tuple[bytes, ...]) -> None:
        self._channel = channel
        self._stub = SyncServiceStub(channel)
        self._certificates = certificates

    @classmethod
    def open(cls, identity: UplinkIdentity) -> Self:
        """Prepare the channel; it connects with the first call."""
        credentials = grpc.ssl_channel_credentials(
            root_certificates=identity.root_pem,
            private_key=identity.tls_key_pem(),
            certificate_chain=identity.tls_certificates_pem(),
        )
        channel = grpc.secure_channel(identity.device_endpoint, credentials, options=channel_options())
        return cls(channel, identity.attestation_certificates)

    def get_head(self) -> CloudChain:
        with _failures():
            answer = self._stub.GetHead(GetHeadRequest(), timeout=CALL_TIMEOUT_S)
        return parse_head(answer)

    def deliver(
        self, records: Sequence[Outgoing], *, damaged: Sequence[Damaged], witnessed_tree_size: int
    ) -> tuple[tuple[RecordResult, ...], DeliverResponse]:
        request = deliver_request(
            records, damaged, certificates=self._certificates, witnessed_tree_size=witnessed_tree_size
        )
        with _failures():
            answers = list(self._stub.Deliver(iter([request]), timeout=timeout_s(request.ByteSize())))
        if len(answers) != 1:
            raise UplinkError(nonsense(f"{len(answers)} answers to one batch"))
        return parse_results(answers[0], records), answers[0]

    def pull(self, *, cursor: str, page_size: int) -> PullResponse:
        size = max(page_size * TYPICAL_ITEM_BYTES, LARGEST_ITEM_BYTES)
        with _failures():
            return self._stub.Pull(PullRequest(cursor=cursor, page_size=page_size), timeout=timeout_s(size))

    def get_media(self, sha256: bytes) -> frozenset[int] | None:
        with _failures():
            answer = self._stub.GetMedia(GetMediaRequest(sha256=sha256), timeout=CALL_TIMEOUT_S)
        return None if answer.complete else frozenset(answer.chunks)

    def put_media_chunk(self, media: Media, *, index: int, content: bytes) -> bool:
        request = PutMediaChunkRequest(
            sha256=media.sha256, size_bytes=media.size, index=index, content=content
        )
        with _failures():
            answer = self._stub.PutMediaChunk(request, timeout=timeout_s(len(content)))
        return answer.complete

    def get_task_document(self, task_id: str, *, sha256: bytes, start: int) -> GetTaskDocumentResponse:
        request = GetTaskDocumentRequest(task_id=task_id, document_sha256=sha256, start=start)
        with _failures():
            stub = TaskServiceStub(self._channel)
            return stub.GetTaskDocument(request, timeout=timeout_s(LARGEST_PART_BYTES))

    def submit_signature(self, request: SubmitOfflineSignatureRequest) -> SubmitOfflineSignatureResponse:
        with _failures():
            stub = SigningServiceStub(self._channel)
            return stub.SubmitOfflineSignature(request, timeout=timeout_s(request.ByteSize()))

    def close(self) -> None:
        self._channel.close()


def timeout_s(size: int) -> float:
    """How long a call may take that moves ``size`` bytes."""
    return CALL_TIMEOUT_S + size / SLOWEST_LINK_BYTES_PER_S


def deliver_request(
    records: Sequence[Outgoing],
    damaged: Sequence[Damaged],
    *,
    certificates: Sequence[bytes],
    witnessed_tree_size: int,
) -> DeliverRequest:
    """Return one batch as it travels, over the network or by hand."""
    return DeliverRequest(
        envelopes=[record.envelope for record in records],
        certificates=certificates,
        witnessed_tree_size=witnessed_tree_size,
        damaged=[
            DamagedRecord(chain_epoch=row.position.epoch, seq=row.position.seq, content=row.content)
            for row in damaged
        ],
    )


def parse_head(answer: GetHeadResponse) -> CloudChain:
    """Return where the cloud says that it stands.

    Raises:
        UplinkError: numbers that no chain has.
    """
    if max(answer.chain_epoch, answer.seq, answer.newest_seq) > MAX_COUNTER:
        raise UplinkError(nonsense("places that no record can have"))
    if answer.seq and (not answer.chain_epoch or len(answer.head_sha256) != DIGEST_BYTES):
        raise UplinkError(nonsense("a newest record without an epoch or a digest"))
    head = ChainHead(answer.chain_epoch, answer.seq, answer.head_sha256) if answer.seq else None
    return CloudChain(head, answer.newest_seq, parse_missing(answer))


def parse_missing(answer: GetHeadResponse | DeliverResponse) -> tuple[tuple[int, int], ...]:
    """Return the first and last places of the ranges that the cloud waits for.

    Raises:
        UplinkError: they are none, or too many.
    """
    missing = tuple((one.first_seq, one.last_seq) for one in answer.missing)
    if len(missing) > MAX_MISSING or any(not 0 < first <= last <= MAX_COUNTER for first, last in missing):
        raise UplinkError(nonsense("ranges of missing records"))
    return missing


def check_epoch(cloud: ChainHead | None, ours: ChainHead | None) -> None:
    """Refuse an epoch far beyond ours: a RESET behind it would use up the epochs that there are.

    Raises:
        UplinkError: more than MAX_EPOCHS_AHEAD.
    """
    if cloud is not None and cloud.epoch - (ours.epoch if ours else 0) > MAX_EPOCHS_AHEAD:
        raise UplinkError(nonsense(f"epoch {cloud.epoch}, far beyond this device's"))


def parse_results(answer: DeliverResponse, records: Sequence[Outgoing]) -> tuple[RecordResult, ...]:
    """Pair the results with the records that were sent.

    Raises:
        UplinkError: the answer does not fit the batch.
    """
    if len(answer.results) != len(records):
        raise UplinkError(nonsense(f"{len(answer.results)} results for {len(records)} records"))
    results = []
    for record, result in zip(records, answer.results, strict=True):
        known = result.status in DeliverStatus.values()
        name = DeliverStatus.Name(result.status).removeprefix(_STATUS_PREFIX) if known else ""
        if name not in Verdict.__members__:
            raise UplinkError(nonsense(f"status {result.status} for record {record.position.seq}"))
        verdict = Verdict[name]
        results.append(
            RecordResult(
                record.position,
                verdict,
                reason=refusal_code(result.reason) if verdict is Verdict.INVALID else result.reason,
                new=record.state == "PENDING",
                excuse=verdict is Verdict.INVALID and _is_excuse(record.envelope),
                closed=record.state == "INVALID",
            )
        )
    return tuple(results)


def _is_excuse(envelope: bytes) -> bool:
    try:
        return excuses_of(parse_statement(parse_envelope(envelope).payload)) is not None
    except VerifieldError:  # signed by an older version under other rules
        return False


def nonsense(what: str, kind: FailureKind = FailureKind.TRANSIENT) -> RpcFailure:
    """A cloud of another version may be replaced by the right one: try again later."""
    return RpcFailure(kind, "CLOUD_ANSWER", f"The cloud's answer makes no sense: {what}.")


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise UplinkError(judge_failure(error)) from None
    except ValueError:  # how gRPC says that the channel was closed, which another thread may do at any time
        raise UplinkError(
            RpcFailure(FailureKind.TRANSIENT, "HUNG_UP", "The connection was closed by this device.")
        ) from None
