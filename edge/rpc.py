"""What every gRPC client of the device needs: bounded channels, and errors read the same way."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Twice the largest batch of records; an answer is far smaller."""

KEEPALIVE_S = 60
"""A link that is silently dead is noticed within this and the time-out, also in a long upload."""

KEEPALIVE_TIMEOUT_S = 150
"""A ping may stand behind a chunk of 256 KiB: two minutes on a link of 2 KiB/s."""

CONNECT_S = 20
"""For name, TCP and TLS: on a link of 23 kbit/s with seconds of delay a handshake takes six."""

MAX_WHY_CHARS = 64
"""Reasons are words in capital letters."""

_WRONG_ROOT = "CERTIFICATE_VERIFY_FAILED"
_WRONG_TIME = (f"{_WRONG_ROOT}: certificate is not yet valid", f"{_WRONG_ROOT}: certificate has expired")
"""TLS judges the time only where the chain leads to the root. Worded otherwise it counts as a wrong root."""


class FailureKind(Enum):
    """What to do about a failed call."""

    TRANSIENT = auto()  # try again later, for ever
    AUTH = auto()  # the cloud does not accept this device, or the device not this cloud
    PERMANENT = auto()  # the same call will fail again: somebody has to look


@dataclass(frozen=True, slots=True)
class RpcFailure:
    """``code`` is stable: CLOUD_AWAY, CLOCK_OR_CERTIFICATE, ROOT_MISMATCH, the cloud's own reason, or CLOUD_
    and the status.

    ``why``: the reason behind that reason, where the cloud gives one.
    """

    kind: FailureKind
    code: str
    message: str
    why: str = ""


_AUTH = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
_PERMANENT = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.DATA_LOSS,
}


def channel_options() -> list[tuple[str, int]]:
    """Options of every channel: bounded messages, dead links noticed, no state shared with other channels."""
    return [
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", KEEPALIVE_S * 1000),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_S * 1000),
        ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_S * 1000),  # of all pings: the larger one counts
        ("grpc.min_reconnect_backoff_ms", CONNECT_S * 1000),  # also how long one attempt may take
        ("grpc.use_local_subchannel_pool", 1),  # a new channel must not inherit an old one's backoff
    ]


def judge_failure(error: grpc.RpcError) -> RpcFailure:
    """Classify ``error``. What is not known is TRANSIENT: a retry loses nothing, giving up might."""
    status = error.code()
    details = error.details() or ""
    if status is grpc.StatusCode.UNAVAILABLE and any(words in details for words in _WRONG_TIME):
        return RpcFailure(
            FailureKind.TRANSIENT,
            "CLOCK_OR_CERTIFICATE",
            "The server's certificate is not valid at this device's date and time: check these first.",
        )
    if status is grpc.StatusCode.UNAVAILABLE and _WRONG_ROOT in details:
        return RpcFailure(
            FailureKind.AUTH, "ROOT_MISMATCH", "The server's certificate does not lead to the pinned root."
        )
    if status in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return RpcFailure(FailureKind.TRANSIENT, "CLOUD_AWAY", "The cloud cannot be reached.")
    kind = FailureKind.TRANSIENT
    if status in _AUTH:
        kind = FailureKind.AUTH
    elif status in _PERMANENT:
        kind = FailureKind.PERMANENT
    info = _error_info(error)
    code = info.reason or f"CLOUD_{status.name}"
    message = f"The cloud answered {status.name}: {details[:200]}"
    return RpcFailure(kind, code, message, info.metadata.get("why", "")[:MAX_WHY_CHARS])


def error_reason(error: grpc.RpcError) -> str:
    """Return the reason of the answer's google.rpc.ErrorInfo, or an empty text."""
    return str(_error_info(error).reason)


def _error_info(error: grpc.RpcError) -> ErrorInfo:
    with suppress(ValueError, DecodeError):  # details that contradict the status, or are none, say nothing
        status = rpc_status.from_call(error)
        for detail in status.details if status else ():
            info = ErrorInfo()
            if detail.Unpack(info):
                return info
    return ErrorInfo()
