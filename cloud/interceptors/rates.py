"""Two layers of limits on calls: before it is known who calls, and after."""

from __future__ import annotations

import hashlib

from google.rpc import code_pb2
from structlog.typing import FilteringBoundLogger

from cloud.access.call import Call, Serve
from cloud.access.rates import Places, RateLimits, address_of, class_of
from cloud.access.rules import REFLECTION, Rules
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

    async def around(self, call: Call, serve: Serve) -> object:
        address = address_of(call.peer)
        rule = self._rules.find(call.method)
        if rule is not None and rule.open:
            self._limits.take("open", address)
            with self._places.take(address):
                return await serve()
        who = address if call.certificate_pem is None else _certificate_name(call.certificate_pem)
        self._limits.check("failed", who)
        try:
            return await serve()
        except ServiceError as error:
            if _is_failure(error):
                self._note_failure(call, error, who)
            raise

    def check(self, call: Call, request: object) -> None:  # noqa: ARG002 (the shape of a layer)
        """Count each question of a reflection call as a call: its answer may have 100 KiB."""
        if call.service in REFLECTION:
            self._limits.take("open", address_of(call.peer))

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

    async def around(self, call: Call, serve: Serve) -> object:
        if call.caller is None:
            return await serve()
        who = call.caller.path
        self._limits.take(class_of(self._rules.find(call.method)), who)
        with self._places.take(who):
            return await serve()

    def check(self, call: Call, request: object) -> None:
        """Nothing."""


def _certificate_name(pem: bytes) -> str:
    return f"certificate/{hashlib.sha256(pem).hexdigest()}"


def _is_failure(error: ServiceError) -> bool:
    return error.status == code_pb2.UNAUTHENTICATED or error.reason in STRANGERS
