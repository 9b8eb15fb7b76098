"""Who calls, and whether they may: two layers, with the limits of a caller between them.

    open methods           anybody; what they need as proof is in the request
    a client certificate   of a device or of a person, by its purpose; no token beside it
    a bearer token         the operator's own (break-glass), an account's, else one of the configured issuer

Who signed in to an account may stand at a device: that token alone may come beside a device's certificate.

The contract names what each method needs (``cloud.access.rules``); what it does not name is closed.
"""

from __future__ import annotations

from contextlib import suppress

from cryptography import x509

from cloud.access.call import Call, Caller, Kind, Serve
from cloud.access.callers import SESSION_PREFIX, Callers, is_operators
from cloud.access.rates import Places, address_of
from cloud.access.roles import Role, permissions_of
from cloud.access.rules import Rule, Rules
from cloud.devices.peer import device_of_peer
from cloud.devices.tokens import OPERATOR_PREFIX, check_operator_token
from cloud.errors import Reason, ServiceError
from cloud.sources import Sources

TOKEN_NAME = "operator-token"  # noqa: S105 (how its calls are named in logs and in the audit chain)

AUTHORIZATION = "authorization"


class IdentityLayer:
    """``operator_sha256``: digest of the operator's token. ``places``: for those who are not known yet."""

    def __init__(
        self, rules: Rules, callers: Callers, sources: Sources, *, operator_sha256: bytes, places: Places
    ) -> None:
        self._rules = rules
        self._callers = callers
        self._sources = sources
        self._operator_sha256 = operator_sha256
        self._places = places

    async def around(self, call: Call, serve: Serve) -> object:
        rule = self._rules.find(call.method)
        call.device_id = self._device_of(call)
        if rule is None or not rule.open:
            # A token may have to wait for the issuer's keys, which anybody can bring about. Apart from open
            # calls: who watches health does not shut out those who sign in.
            with self._places.take(f"unknown/{address_of(call.peer)}"):
                call.caller = await self._identify(call)
        return await serve()

    def check(self, call: Call, request: object) -> None:  # noqa: ARG002
        """A stream does not outlive what proved its caller."""
        if call.caller is None or call.caller.valid_until is None:
            return
        if self._sources.now() > call.caller.valid_until:
            if call.certificate_pem is not None:
                raise ServiceError(Reason.CLIENT_CERTIFICATE_REFUSED, "The client certificate has expired.")
            raise ServiceError(
                Reason.SIGN_IN_TOKEN_REFUSED, "The sign-in token has expired.", {"check": "EXPIRED"}
            )

    def _device_of(self, call: Call) -> str:
        """The device that the connection comes from; empty where it has no certificate of a device."""
        if not call.auth.get("x509_pem_cert"):
            return ""
        with suppress(ServiceError):
            return device_of_peer(call.auth, now=self._sources.now())
        return ""

    async def _identify(self, call: Call) -> Caller:
        authorization = call.one(AUTHORIZATION)
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else ""
        of_account = token.startswith(SESSION_PREFIX)
        if call.auth.get("x509_pem_cert") and not (of_account and call.device_id):
            if AUTHORIZATION in call.metadata:
                raise ServiceError(
                    Reason.IDENTITY_AMBIGUOUS, "The call has a client certificate and a token."
                )
            return await self._by_certificate(call)
        if of_account:
            return await self._callers.by_session(token)
        if token and not token.startswith(OPERATOR_PREFIX) and self._callers.takes_tokens:
            return await self._callers.by_token(token)
        check_operator_token(authorization, expected_sha256=self._operator_sha256)
        return Caller(Kind.SERVICE_TOKEN, TOKEN_NAME, frozenset({Role.SUPERUSER}))

    async def _by_certificate(self, call: Call) -> Caller:
        certificate = _parse(call.certificate_pem)
        if certificate is not None and is_operators(certificate):
            return await self._callers.by_certificate(certificate)
        device_id = device_of_peer(call.auth, now=self._sources.now())
        ends = certificate.not_valid_after_utc if certificate is not None else None
        return Caller(Kind.DEVICE, device_id, valid_until=ends)


class PermissionLayer:
    """Lets through who may call a method; behind the limits of a caller, so that asking in vain has one."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    async def around(self, call: Call, serve: Serve) -> object:
        rule = self._rules.find(call.method)
        if rule is None or not rule.open:
            check_may(call.caller, rule)
        return await serve()

    def check(self, call: Call, request: object) -> None:
        """Nothing."""


def check_may(caller: Caller | None, rule: Rule | None) -> None:
    """Check that a caller may call a method with this rule; None: nobody known, and one that is closed.

    Raises:
        ServiceError: METHOD_CLOSED, PERMISSION_MISSING.
    """
    if rule is not None and rule.open:
        return
    if caller is None or rule is None or _kind_of(rule) is not _narrow(caller.kind):
        raise ServiceError(Reason.METHOD_CLOSED, "This method is not for such callers.")
    if rule.permission is not None and rule.permission not in permissions_of(caller.roles):
        raise ServiceError(
            Reason.PERMISSION_MISSING,
            f"This call needs the permission {rule.permission.value}.",
            {"permission": rule.permission.value},
        )


def _kind_of(rule: Rule) -> Kind | None:
    """Of whom alone a method is; None: of those who have permissions."""
    if rule.device:
        return Kind.DEVICE
    return Kind.ACCOUNT if rule.account else None


def _narrow(kind: Kind) -> Kind | None:
    return kind if kind in (Kind.DEVICE, Kind.ACCOUNT) else None


def _parse(pem: bytes | None) -> x509.Certificate | None:
    if pem is None:
        return None
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        return None
