"""Messages that cannot be parsed: gRPC would answer INTERNAL, as if the fault were ours."""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.message import DecodeError

Read = Callable[[bytes], object]


class Unreadable:
    """Stands for a request whose bytes are no message; the layers refuse it."""


def forgiving(read: Read | None) -> Read | None:
    """A reader that returns Unreadable where ``read`` fails; None stays None (the bytes themselves)."""
    if read is None:
        return None

    def parse(data: bytes) -> object:
        try:
            return read(data)
        except DecodeError:
            return Unreadable()

    return parse
