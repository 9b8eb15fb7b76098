"""Request ids, and one line of the log for each call. The line has no payload and no secret."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable

import grpc
from structlog.typing import FilteringBoundLogger

from cloud.access.call import Call, Refused, Serve

REQUEST_ID_KEY = "x-request-id"
"""Of the metadata, both ways."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")
"""Long enough to be told from others, short and plain enough for every log."""

QUIET_SERVICES = frozenset(
    {
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }
)
"""Asked by machines every few seconds, and by tools before each call: not worth lines."""


class RequestIdLayer:
    """Takes a well-formed id from the caller, makes one where there is none, and sends it back."""

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes

    async def around(self, call: Call, serve: Serve) -> object:
        given = call.one(REQUEST_ID_KEY) or ""
        if not _REQUEST_ID.fullmatch(given):
            given = str(uuid.UUID(bytes=self._random_bytes(16), version=4))
        call.request_id = given
        call.answer_metadata[REQUEST_ID_KEY] = call.request_id
        return await serve()

    def check(self, call: Call, request: object) -> None:
        """Nothing."""


class LogLayer:
    """Who called what, how it ended and how long it took."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log

    async def around(self, call: Call, serve: Serve) -> object:
        started = time.monotonic()
        code, reason = "CANCELLED", ""
        try:
            answer = await serve()
            code = "OK"
        except Refused as refused:
            code, reason = refused.code, refused.reason.value
            raise
        except grpc.aio.AbortError:
            code = "ABORTED_BY_SERVICE"
            raise
        else:
            return answer
        finally:
            if call.service not in QUIET_SERVICES:
                self._log.info(
                    "call",
                    method=call.method,
                    code=code,
                    reason=reason,
                    duration_ms=round((time.monotonic() - started) * 1000, 1),
                    peer=call.peer,
                    request_id=call.request_id,
                    caller=call.caller.name if call.caller else "",
                )

    def check(self, call: Call, request: object) -> None:
        """Nothing."""
