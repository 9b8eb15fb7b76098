"""Bytes to protobuf messages, strictly: what would be skipped in silence is refused instead."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypeVar

from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.unknown_fields import UnknownFieldSet

from verifield.closed import is_closed
from verifield.errors import Malformed, Unknown

M = TypeVar("M", bound=Message)


def parse_message(message_type: type[M], data: bytes, *, what: str, max_bytes: int) -> M:
    """Parse ``data``, which is called ``what`` in errors.

    Raises:
        Malformed: empty, larger than ``max_bytes``, or not such a message.
        Unknown: a field or an enum value that this version does not know. Protobuf would skip it;
            a verifier that skips what it cannot read would vouch for what it has not seen.
    """
    if not data:
        raise Malformed("EMPTY", f"The {what} is empty.", hint="Fetch it again.")
    if len(data) > max_bytes:
        raise Malformed("TOO_LARGE", f"The {what} has {len(data)} bytes; at most {max_bytes} are allowed.")
    try:
        message = message_type.FromString(data)
    except DecodeError as error:
        raise Malformed(
            "NOT_PROTOBUF",
            f"The {what} cannot be parsed: it is damaged, cut short or something else.",
            hint="Compare its size with the original, and fetch it again.",
        ) from error
    if not is_closed(message_type, data):  # a slower look tells what is unknown
        check_all_known(message, what=what)
    return message


def check_all_known(message: Message, *, what: str) -> None:
    """Raise Unknown where ``message``, at any depth, has a field or enum value unknown here."""
    if len(UnknownFieldSet(message)):
        raise Unknown(
            "UNKNOWN_FIELD",
            f"The {what} has fields that this version does not know.",
            hint="It was written by a newer version: use a newer one to read it.",
        )
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue  # maps here lead from text to text: nothing in them can be unknown
        values = value if field.is_repeated else (value,)
        if field.enum_type is not None:
            if any(number not in field.enum_type.values_by_number for number in values):
                raise Unknown(
                    "UNKNOWN_VALUE",
                    f"The {what} has a value in {field.name} that this version does not know.",
                    hint="It was written by a newer version: use a newer one to read it.",
                )
        elif field.message_type is not None:
            for item in values:
                check_all_known(item, what=what)


def parse_time(timestamp: Timestamp, *, what: str) -> datetime:
    """Return an aware UTC time, cut to microseconds.

    Raises:
        Malformed: outside the years 1 to 9999, or nanoseconds out of range.
    """
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise Malformed("BAD_TIME", f"The {what} is not a valid time.") from error
