"""Two layers of limits on calls: before it is known who calls, and after."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, nullcontext

from google.rpc import code_pb2
from structlog.typing import FilteringBoundLogger

from cloud.access.call import Call
from cloud.access.rates import Places, RateLimits, address_of, class_of
from cloud.access.rules import Rules
from cloud.errors import Reason, ServiceError

STRANGERS = frozenset({Reason.USER_UNKNOWN, Reason.USER_DISABLED})
"""Who proved to be somebody, but nobody of ours."""


class AddressLayer:
    """Limits open methods for each address, and closes the others to who keeps failing to say who it is.

    That is an address, or a client certificate: it has shown a key of ours at the handshake, and somebody
    behind the same address who guesses tokens does not shut it out.
    """

    def __init__(self, limits: RateLimits, places: Places, rules: Rules, log: FilteringBoundLogger) -> None:
        self._limits = limits
        self._places = places
        self._rules = rules
        self._log = log

    def around(self, call: Call) -> AbstractAsyncContextManager[None]:
        return self._limited(call)

    def check(self, call: Call, request: object) -> None:
        """Nothing."""

    @asynccontextmanager
    async def _limited(self, call: Call) -> AsyncIterator[None]:
        address = address_of(call.peer)
        rule = self._rules.find(call.method)
        if rule is not None and rule.open:
            self._limits.take("open", address)
            with self._places.take(address):
                yield
            return
        who = address if call.certificate_pem is None else _certificate_name(call.certificate_pem)
        self._limits.check("failed", who)
        try:
            yield
        except ServiceError as error:
            if _is_failure(error):
                self._note_failure(call, error, who)
            raise

    def _note_failure(self, call: Call, error: ServiceError, who: str) -> None:
        self._log.warning(
            "authentication failed",
            method=call.method,
            reason=error.reason.value,
            check=error.metadata.get("check", ""),
            peer=call.peer,
            request_id=call.request_id,
        )
        self._limits.note("failed", who)


class CallerLayer:
    """Limits each caller, by class of method, and at once."""

    def __init__(self, limits: RateLimits, places: Places, rules: Rules) -> None:
        self._limits = limits
        self._places = places
        self._rules = rules

    def around(self, call: Call) -> AbstractAsyncContextManager[None]:
        return self._limited(call)

    def check(self, call: Call, request: object) -> None:
        """Nothing."""

    @asynccontextmanager
    async def _limited(self, call: Call) -> AsyncIterator[None]:
        place: AbstractContextManager[None] = nullcontext()
        if call.caller is not None:
            who = call.caller.path
            self._limits.take(class_of(self._rules.find(call.method)), who)
            place = self._places.take(who)
        with place:
            yield


def _certificate_name(pem: bytes) -> str:
    return f"certificate/{hashlib.sha256(pem).hexdigest()}"


def _is_failure(error: ServiceError) -> bool:
    return error.status == code_pb2.UNAUTHENTICATED or error.reason in STRANGERS
