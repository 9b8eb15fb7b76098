from __future__ import annotations

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from edge.rpc import MAX_MESSAGE_BYTES, FailureKind, RpcFailure, channel_options, error_reason, judge_failure
from edge.sync.machine import RecordResult, Verdict
from edge.sync.uplink import MAX_BATCH_BYTES, MAX_BATCH_RECORDS, UplinkError, parse_delivery
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


def test_long_details_of_the_cloud_are_cut() -> None:
    assert len(judge_failure(Answer(grpc.StatusCode.INTERNAL, "x" * 10_000)).message) < 300


def test_the_largest_batch_fits_a_message_and_one_record_fits_a_batch() -> None:
    framing = MAX_BATCH_RECORDS * 8 + 64 * 1024  # lengths of the records, and certificates
    assert MAX_BATCH_BYTES + framing <= MAX_MESSAGE_BYTES
    assert MAX_ENVELOPE_BYTES <= MAX_BATCH_BYTES
    options = dict(channel_options())
    assert options["grpc.max_receive_message_length"] == options["grpc.max_send_message_length"]
    assert options["grpc.keepalive_time_ms"] > 0


def test_every_status_of_the_contract_is_understood() -> None:
    for name, status in pb.DeliverStatus.items():
        answer = pb.DeliverResponse(results=[pb.DeliverResult(status=status, reason="R")], receipt=b"r")
        if status == pb.DELIVER_STATUS_UNSPECIFIED:
            with pytest.raises(UplinkError):
                parse_delivery(answer, seqs=[7])
            continue
        verdict = Verdict(name.removeprefix("DELIVER_STATUS_"))
        delivery = parse_delivery(answer, seqs=[7])
        assert delivery.results == (RecordResult(7, verdict, "R"),)
        assert delivery.receipt == b"r"


@pytest.mark.parametrize("results", [0, 1, 3])
def test_another_number_of_results_than_records_is_refused(results: int) -> None:
    good = pb.DeliverResult(status=pb.DELIVER_STATUS_ACCEPTED)
    with pytest.raises(UplinkError) as error:
        parse_delivery(pb.DeliverResponse(results=[good] * results), seqs=[1, 2])
    assert error.value.failure == RpcFailure(
        FailureKind.TRANSIENT, "CLOUD_ANSWER", error.value.failure.message
    )


def test_a_status_of_a_newer_contract_is_refused() -> None:
    answer = pb.DeliverResponse.FromString(b"\x0a\x02\x08\x63")  # status 99
    with pytest.raises(UplinkError):
        parse_delivery(answer, seqs=[1])
