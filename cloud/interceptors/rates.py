"""Two layers of limits on calls: before it is known who calls, and after."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from google.rpc import code_pb2
from structlog.typing import FilteringBoundLogger

from cloud.access.call import Call
from cloud.access.rates import RateLimits, address_of, class_of
from cloud.access.rules import Rules
from cloud.errors import Reason, ServiceError

STRANGERS = frozenset({Reason.USER_UNKNOWN, Reason.USER_DISABLED})
"""Who proved to be somebody, but nobody of ours."""


class AddressLayer:
    """Limits open methods for each address, and closes the others to one that keeps failing to say who it is.

    Callers with a client certificate have shown a key of ours at the handshake: somebody behind the same
    address who guesses tokens does not shut them out.
    """

    def __init__(self, limits: RateLimits, rules: Rules, log: FilteringBoundLogger) -> None:
        self._limits = limits
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
        anonymous = call.certificate_pem is None
        if rule is not None and rule.open:
            self._limits.take("open", address)
        elif anonymous:
            self._limits.check("failed", address)
        try:
            yield
        except ServiceError as error:
            if _is_failure(error) and not (rule and rule.open):
                self._note_failure(call, error, address if anonymous else None)
            raise

    def _note_failure(self, call: Call, error: ServiceError, address: str | None) -> None:
        self._log.warning(
            "authentication failed",
            method=call.method,
            reason=error.reason.value,
            check=error.metadata.get("check", ""),
            peer=call.peer,
            request_id=call.request_id,
        )
        if address is not None:
            self._limits.note("failed", address)


class CallerLayer:
    """Limits each caller, by class of method."""

    def __init__(self, limits: RateLimits, rules: Rules) -> None:
        self._limits = limits
        self._rules = rules

    def around(self, call: Call) -> AbstractAsyncContextManager[None]:
        return self._limited(call)

    def check(self, call: Call, request: object) -> None:
        """Nothing."""

    @asynccontextmanager
    async def _limited(self, call: Call) -> AsyncIterator[None]:
        rule = self._rules.find(call.method)
        if call.caller is not None:
            self._limits.take(class_of(rule), f"{call.caller.kind}/{call.caller.name}")
        yield


def _is_failure(error: ServiceError) -> bool:
    return error.status == code_pb2.UNAUTHENTICATED or error.reason in STRANGERS
