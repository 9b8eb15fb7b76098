"""Checks requests against the rules that the contract states for them (protovalidate).

The rules stand in the ``.proto`` files alone. What they cannot say, because it depends on what is stored,
is checked by the services.
"""

from __future__ import annotations

from typing import NoReturn

from google.protobuf.message import Message
from protovalidate import CompilationError, EvaluationError, Validator, Violation

from cloud.api.moments import find_odd_moment
from cloud.errors import FieldViolation, Reason, ServiceError

MAX_VIOLATIONS = 16
"""Told in one answer: more help nobody, and the answer must stay below the limit for metadata (8 KiB)."""

MAX_EXPLAINED_BYTES = 4096
"""Of a larger message only the first broken rule is told: to find all, a list that is too long would be
looked through to its end, which holds everybody up for seconds. Requests of operators are smaller."""

MAX_PATH_CHARS = 128
"""Paths are as deep as our messages; map keys and the like never make them longer in an answer."""

_validator = Validator()  # holds rules that were compiled, and nothing else


def check_rules(message: Message) -> None:
    """Check a message and all in it.

    Raises:
        ServiceError: REQUEST_INVALID, with the fields that break a rule; values are never repeated.
    """
    try:
        found = _validator.collect_violations(message, fail_fast=message.ByteSize() > MAX_EXPLAINED_BYTES)
    except EvaluationError as error:  # a value that a rule cannot be worked out for
        raise ServiceError(Reason.REQUEST_INVALID, "A rule cannot be worked out for this request.") from error
    if found:
        raise _refusal(tuple(map(_describe, found[:MAX_VIOLATIONS])))
    odd = find_odd_moment(message)
    if odd:
        refuse_field(odd[:MAX_PATH_CHARS], rule="message.moment", why="is no time or span that there is")


def refuse_field(field: str, *, rule: str, why: str) -> NoReturn:
    """Refuse a request for what the contract's options cannot say, in the same form.

    Raises:
        ServiceError: REQUEST_INVALID.
    """
    raise _refusal((FieldViolation(field, rule, why),))


def check_compiles(message: Message) -> None:
    """For tests: that every rule of the message's type can be compiled.

    Raises:
        CompilationError: one cannot.
    """
    try:
        _validator.collect_violations(message)
    except EvaluationError as error:
        if isinstance(error, CompilationError):
            raise


def _refusal(told: tuple[FieldViolation, ...]) -> ServiceError:
    first = told[0]
    return ServiceError(
        Reason.REQUEST_INVALID,
        f"The request breaks a rule: {first.field} {first.description}.",
        {"field": first.field, "rule": first.rule},
        violations=told,
    )


def _describe(violation: Violation) -> FieldViolation:
    proto = violation.proto
    path = ""
    for element in proto.field.elements if proto.field else ():
        path += f".{element.field_name}" if path else element.field_name
        if element.subscript is not None and element.subscript.field == "index":
            path += f"[{element.subscript.value}]"
    return FieldViolation(path[:MAX_PATH_CHARS] or "request", proto.rule_id, proto.message)
