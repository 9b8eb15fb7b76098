"""The way to the cloud: SyncService over mutual TLS, one bounded call at a time.

Each batch travels in a stream of its own. The connection and its TLS session stay; a stream costs
some bytes of headers, and gives each batch a deadline and a clean end on links that die half-way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, Self

import grpc

from edge.rpc import FailureKind, RpcFailure, channel_options, judge_failure
from edge.sync.machine import RecordResult, Verdict
from verifield.chain import ChainHead
from verifield.v1.sync_service_pb2 import DeliverRequest, DeliverResponse, DeliverStatus, GetHeadRequest
from verifield.v1.sync_service_pb2_grpc import SyncServiceStub

MAX_BATCH_RECORDS = 256
MAX_BATCH_BYTES = 2 * 1024 * 1024
"""Both are limits of the contract (sync_service.proto)."""

CALL_TIMEOUT_S = 30.0
"""For connecting, and for the cloud to make a batch durable."""

SLOWEST_LINK_BYTES_PER_S = 2048
"""A 23 kbit/s field link with half of it lost; slower than this, a batch is tried again."""

_STATUS_PREFIX = "DELIVER_STATUS_"


class UplinkError(Exception):
    """A call failed; ``failure`` says how."""

    def __init__(self, failure: RpcFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class UplinkIdentity(Protocol):
    """What the uplink needs of the device's identity."""

    @property
    def device_endpoint(self) -> str: ...

    @property
    def root_pem(self) -> bytes: ...

    @property
    def attestation_certificates(self) -> tuple[bytes, ...]: ...

    def tls_certificates_pem(self) -> bytes: ...

    def tls_key_pem(self) -> bytes: ...


class Outgoing(Protocol):
    """A record as the outbox gives it."""

    @property
    def seq(self) -> int: ...

    @property
    def envelope(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """The cloud's answer to a batch. ``receipt``: an envelope that nobody has verified yet, or empty."""

    results: tuple[RecordResult, ...]
    receipt: bytes
    receipt_certificates: tuple[bytes, ...]


class Uplink(Protocol):
    """A connection to the cloud. Every method raises UplinkError, and nothing else, when it fails."""

    def get_head(self) -> ChainHead | None: ...

    def deliver(self, records: Sequence[Outgoing]) -> Delivery: ...

    def close(self) -> None:
        """Hang up, also from another thread; a call under way fails. Closing twice is fine."""


class GrpcUplink:
    """The real one."""

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

    def get_head(self) -> ChainHead | None:
        """Ask where the cloud stands with this device; None when it has nothing yet."""
        with _failures():
            answer = self._stub.GetHead(GetHeadRequest(), timeout=CALL_TIMEOUT_S)
        return ChainHead(answer.chain_epoch, answer.seq, answer.head_sha256) if answer.seq else None

    def deliver(self, records: Sequence[Outgoing]) -> Delivery:
        """Send one batch and wait for its answer."""
        envelopes = [record.envelope for record in records]
        request = DeliverRequest(envelopes=envelopes, certificates=self._certificates)
        timeout_s = CALL_TIMEOUT_S + sum(map(len, envelopes)) / SLOWEST_LINK_BYTES_PER_S
        with _failures():
            answers = list(self._stub.Deliver(iter([request]), timeout=timeout_s))
        if len(answers) != 1:
            raise UplinkError(_nonsense(f"{len(answers)} answers to one batch"))
        return parse_delivery(answers[0], seqs=[record.seq for record in records])

    def close(self) -> None:
        self._channel.close()


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


def parse_delivery(answer: DeliverResponse, *, seqs: Sequence[int]) -> Delivery:
    """Pair the results with the records that were sent.

    Raises:
        UplinkError: the answer does not fit the batch.
    """
    if len(answer.results) != len(seqs):
        raise UplinkError(_nonsense(f"{len(answer.results)} results for {len(seqs)} records"))
    results = []
    for seq, result in zip(seqs, answer.results, strict=True):
        known = result.status in DeliverStatus.values()
        name = DeliverStatus.Name(result.status).removeprefix(_STATUS_PREFIX) if known else ""
        if name not in Verdict.__members__:
            raise UplinkError(_nonsense(f"status {result.status} for record {seq}"))
        results.append(RecordResult(seq, Verdict[name], result.reason))
    return Delivery(tuple(results), answer.receipt, tuple(answer.receipt_certificates))


def _nonsense(what: str) -> RpcFailure:
    """A cloud of another version may be replaced by the right one: try again later."""
    return RpcFailure(FailureKind.TRANSIENT, "CLOUD_ANSWER", f"The cloud's answer makes no sense: {what}.")
