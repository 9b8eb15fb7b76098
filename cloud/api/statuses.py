"""What a caller reads of a refusal: one google.rpc.Status, with its details.

ErrorInfo          the reason, for machines (AIP-193)
LocalizedMessage   what to do about it, in the language that ``accept-language`` asks for
BadRequest         the fields that are at fault
RetryInfo          when to try again, where waiting helps
"""

from __future__ import annotations

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, LocalizedMessage, RetryInfo
from google.rpc.status_pb2 import Status

from cloud.errors import ERROR_DOMAIN, ServiceError
from cloud.hints import choose_language, hint_of

LANGUAGE_KEY = "accept-language"
"""Of the metadata, as in HTTP (RFC 9110, 12.5.4)."""


def to_status(error: ServiceError, *, accept_language: str | None = None) -> Status:
    """The rich status of a refusal."""
    language = choose_language(accept_language)
    details: list[Message] = [
        ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN, metadata=error.metadata),
        LocalizedMessage(locale=language, message=hint_of(error.reason, language)),
    ]
    if error.violations:
        details.append(_bad_request(error))
    if error.retry_s is not None:
        retry = RetryInfo()
        retry.retry_delay.FromMicroseconds(round(error.retry_s * 1e6))
        details.append(retry)
    status = Status(code=error.status, message=error.message)
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _bad_request(error: ServiceError) -> BadRequest:
    return BadRequest(
        field_violations=[
            BadRequest.FieldViolation(field=one.field, description=one.description, reason=one.rule)
            for one in error.violations
        ]
    )
