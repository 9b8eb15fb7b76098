from __future__ import annotations

from dataclasses import dataclass

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from edge.model import Position
from edge.rpc import MAX_MESSAGE_BYTES, FailureKind, RpcFailure, channel_options, error_reason, judge_failure
from edge.sync.events import RecordResult, Verdict
from edge.sync.ports import UplinkError
from edge.sync.uplink import (
    CALL_TIMEOUT_S,
    MAX_BATCH_BYTES,
    MAX_BATCH_RECORDS,
    MAX_DAMAGED,
    SLOWEST_LINK_BYTES_PER_S,
    deliver_request,
    parse_results,
    timeout_s,
)
from tests.support.authority import Authority, Device, verification
from tests.support.events import DIGEST, gap_event, tombstone_event
from verifield.dsse import MAX_ENVELOPE_BYTES
from verifield.v1 import sync_service_pb2 as pb

HANDSHAKE = "Ssl handshake failed: SSL_ERROR_SSL: CERTIFICATE_VERIFY_FAILED: self signed certificate in chain"


class Answer(grpc.RpcError):
    """An error as gRPC raises it, with rich details where a reason is given."""

    def __init__(self, status: grpc.StatusCode, details: str | None = "", reason: str = "") -> None:
        super().__init__()
        self._status = status
        self._details = details
        self._reason = reason

    def code(self) -> grpc.StatusCode:
        return self._status

    def details(self) -> str | None:
        return self._details

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        if not self._reason:
            return ()
        detail = any_pb2.Any()
        detail.Pack(error_details_pb2.ErrorInfo(reason=self._reason, domain="verifield"))
        status = status_pb2.Status(code=self._status.value[0], message=self._details or "", details=[detail])
        return (("grpc-status-details-bin", status.SerializeToString()),)


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (Answer(grpc.StatusCode.UNAVAILABLE, "connection refused"), FailureKind.TRANSIENT, "CLOUD_AWAY"),
        (Answer(grpc.StatusCode.DEADLINE_EXCEEDED, None), FailureKind.TRANSIENT, "CLOUD_AWAY"),
        (Answer(grpc.StatusCode.UNAVAILABLE, HANDSHAKE), FailureKind.AUTH, "ROOT_MISMATCH"),
        (Answer(grpc.StatusCode.INTERNAL, "bug"), FailureKind.TRANSIENT, "CLOUD_INTERNAL"),
        (Answer(grpc.StatusCode.UNKNOWN, "bug"), FailureKind.TRANSIENT, "CLOUD_UNKNOWN"),
        (Answer(grpc.StatusCode.RESOURCE_EXHAUSTED), FailureKind.TRANSIENT, "CLOUD_RESOURCE_EXHAUSTED"),
        (Answer(grpc.StatusCode.ABORTED), FailureKind.TRANSIENT, "CLOUD_ABORTED"),
        (Answer(grpc.StatusCode.CANCELLED), FailureKind.TRANSIENT, "CLOUD_CANCELLED"),
        (Answer(grpc.StatusCode.UNAUTHENTICATED), FailureKind.AUTH, "CLOUD_UNAUTHENTICATED"),
        (Answer(grpc.StatusCode.PERMISSION_DENIED, "", "DEVICE_UNKNOWN"), FailureKind.AUTH, "DEVICE_UNKNOWN"),
        (
            Answer(grpc.StatusCode.INVALID_ARGUMENT, "", "BATCH_TOO_LARGE"),
            FailureKind.PERMANENT,
            "BATCH_TOO_LARGE",
        ),
        (Answer(grpc.StatusCode.UNIMPLEMENTED), FailureKind.PERMANENT, "CLOUD_UNIMPLEMENTED"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else None,
)
def test_every_failure_has_a_class_and_a_code(error: Answer, kind: FailureKind, code: str) -> None:
    failure = judge_failure(error)
    assert (failure.kind, failure.code) == (kind, code)
    assert failure.message


def test_details_that_contradict_the_status_are_not_believed() -> None:
    class Contradiction(Answer):
        def details(self) -> str:
            return "another text than in the rich status"

    honest = Answer(grpc.StatusCode.PERMISSION_DENIED, "no", "DEVICE_UNKNOWN")
    assert error_reason(honest) == "DEVICE_UNKNOWN"
    assert error_reason(Contradiction(grpc.StatusCode.PERMISSION_DENIED, "no", "DEVICE_UNKNOWN")) == ""


def test_details_that_are_no_protobuf_say_nothing() -> None:
    class Garbage(Answer):
        def __init__(self, content: bytes) -> None:
            super().__init__(grpc.StatusCode.INTERNAL)
            self._content = content

        def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
            return (("grpc-status-details-bin", self._content),)

    broken = any_pb2.Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff\xff")
    status = status_pb2.Status(code=grpc.StatusCode.INTERNAL.value[0], details=[broken])
    for content in (b"\xff\xff", status.SerializeToString()):
        failure = judge_failure(Garbage(content))
        assert (failure.kind, failure.code) == (FailureKind.TRANSIENT, "CLOUD_INTERNAL")


def test_long_details_of_the_cloud_are_cut() -> None:
    assert len(judge_failure(Answer(grpc.StatusCode.INTERNAL, "x" * 10_000)).message) < 300


def test_the_largest_batch_fits_a_message_and_one_record_fits_a_batch() -> None:
    framing = MAX_BATCH_RECORDS * 8 + 64 * 1024  # lengths of the records, and certificates
    assert MAX_BATCH_BYTES + framing <= MAX_MESSAGE_BYTES
    assert MAX_ENVELOPE_BYTES <= MAX_BATCH_BYTES
    options = dict(channel_options())
    assert options["grpc.max_receive_message_length"] == options["grpc.max_send_message_length"]
    assert options["grpc.keepalive_time_ms"] > 0


@dataclass(frozen=True)
class Sent:
    position: Position
    envelope: bytes = b"any"
    state: str = "PENDING"


def at(seq: int) -> Position:
    return Position(1, seq)


def test_every_status_of_the_contract_is_understood() -> None:
    for name, status in pb.DeliverStatus.items():
        answer = pb.DeliverResponse(results=[pb.DeliverResult(status=status, reason="R")])
        if status == pb.DELIVER_STATUS_UNSPECIFIED:
            with pytest.raises(UplinkError):
                parse_results(answer, [Sent(at(7))])
            continue
        verdict = Verdict(name.removeprefix("DELIVER_STATUS_"))
        assert parse_results(answer, [Sent(at(7))]) == (RecordResult(at(7), verdict, "R"),)


@pytest.mark.parametrize(
    ("state", "new", "closed"),
    [
        ("PENDING", True, False),
        ("DELIVERED", False, False),
        ("CONFIRMED", False, False),
        ("INVALID", False, True),
    ],
)
def test_what_we_knew_of_a_record_goes_with_its_result(state: str, new: bool, closed: bool) -> None:
    answer = pb.DeliverResponse(results=[pb.DeliverResult(status=pb.DELIVER_STATUS_INVALID)])
    [result] = parse_results(answer, [Sent(at(7), state=state)])
    assert (result.new, result.closed) == (new, closed)


def test_our_own_notes_are_known_as_such_when_they_are_refused() -> None:
    device = Authority.create().enroll("device-1")
    refused = pb.DeliverResponse(results=[pb.DeliverResult(status=pb.DELIVER_STATUS_INVALID)])

    def is_excuse(envelope: bytes) -> bool:
        return parse_results(refused, [Sent(at(1), envelope)])[0].excuse

    def sealed(device: Device, kind: str) -> bytes:
        device.sign(verification(device))
        if kind == "gap":
            return device.sign(gap_event(device, first=1, last=1, last_sha256=DIGEST))
        return device.sign(tombstone_event(device, seq=1))

    assert is_excuse(sealed(device, "gap"))
    assert is_excuse(sealed(device, "tombstone"))
    assert not is_excuse(device.sign(verification(device)))
    assert not is_excuse(b"what an older version signed")


@pytest.mark.parametrize("results", [0, 1, 3])
def test_another_number_of_results_than_records_is_refused(results: int) -> None:
    good = pb.DeliverResult(status=pb.DELIVER_STATUS_ACCEPTED)
    with pytest.raises(UplinkError) as error:
        parse_results(pb.DeliverResponse(results=[good] * results), [Sent(at(1)), Sent(at(2))])
    assert error.value.failure == RpcFailure(
        FailureKind.TRANSIENT, "CLOUD_ANSWER", error.value.failure.message
    )


def test_a_status_of_a_newer_contract_is_refused() -> None:
    answer = pb.DeliverResponse.FromString(b"\x0a\x02\x08\x63")  # status 99
    with pytest.raises(UplinkError):
        parse_results(answer, [Sent(at(1))])


def test_a_deadline_grows_with_what_travels() -> None:
    assert timeout_s(0) == CALL_TIMEOUT_S
    assert timeout_s(MAX_BATCH_BYTES) - CALL_TIMEOUT_S == MAX_BATCH_BYTES / SLOWEST_LINK_BYTES_PER_S


def test_the_largest_request_fits_a_message() -> None:
    class Row:
        position = at(1)
        content = bytes(64 * 1024)

    records = [Sent(at(seq), bytes(MAX_BATCH_BYTES // MAX_BATCH_RECORDS)) for seq in range(MAX_BATCH_RECORDS)]
    request = deliver_request(
        records, [Row()] * MAX_DAMAGED, certificates=[bytes(2000)] * 4, witnessed_tree_size=2**63
    )
    assert request.ByteSize() <= MAX_MESSAGE_BYTES
