"""From a proof to a caller: sign-in tokens and client certificates of people, looked up in the users table.

A certificate counts while it stands in the table, is not revoked, and its user is active. A token counts as
``cloud.access.oidc`` says; its user is the one with that issuer and subject. Where the configuration maps
a claim to roles, somebody without a row comes in with those roles, and one with a row has both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from cloud.access.call import Caller, Kind
from cloud.access.jwks import IssuerKeys
from cloud.access.oidc import SignIn, Trust, check_token, key_id_of, refused
from cloud.access.roles import Role
from cloud.errors import Reason, ServiceError
from cloud.privacy.blind import candidates
from cloud.privacy.ring import KeyRing
from cloud.sources import Sources
from cloud.store import users
from cloud.store.database import Store
from verifield.certificates import OPERATOR_CLIENT, common_name
from verifield.errors import VerifieldError
from verifield.v1 import user_service_pb2 as pb

USAGES = frozenset({ExtendedKeyUsageOID.CLIENT_AUTH, OPERATOR_CLIENT})
"""Of an operator's certificate: exactly these. That of a device has the first alone."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """Whose sign-in tokens count, and where its keys come from."""

    trust: Trust
    keys: IssuerKeys


SESSION_PREFIX = "vfs_"
"""Of the token of who signed in to an account."""


class Sessions(Protocol):
    """Who signed in to accounts."""

    async def find(self, token: str) -> Caller:
        """Whose token this is: of kind ACCOUNT, named by the account's id.

        Raises:
            ServiceError: SESSION_REFUSED: unknown, ended, or too old.
        """
        ...


class NoSessions:
    """Where nobody has an account."""

    async def find(self, token: str) -> Caller:  # noqa: ARG002
        raise ServiceError(Reason.SESSION_REFUSED, "Nobody is signed in with this token.")


class Callers:
    """``issuer``: None where nobody signs in by its tokens."""

    def __init__(
        self,
        store: Store,
        ring: KeyRing,
        sources: Sources,
        issuer: Issuer | None = None,
        *,
        sessions: Sessions | None = None,
    ) -> None:
        self._sessions = sessions or NoSessions()
        self._store = store
        self._ring = ring
        self._sources = sources
        self._issuer = issuer

    @property
    def takes_tokens(self) -> bool:
        """Whether an issuer is configured."""
        return self._issuer is not None

    async def by_token(self, token: str) -> Caller:
        """Who signed in.

        Raises:
            ServiceError: SIGN_IN_TOKEN_REFUSED, SIGN_IN_UNAVAILABLE, USER_UNKNOWN, USER_DISABLED.
        """
        if self._issuer is None:
            raise refused("NO_ISSUER")
        key_id = key_id_of(token)
        key = await self._issuer.keys.find(key_id)
        if key is None:
            raise refused("KEY")
        found = check_token(token, key, trust=self._issuer.trust, now=self._sources.now())
        identities = candidates(self._ring, "users", "identity", identity_text(found.issuer, found.subject))
        standing = await asyncio.to_thread(self._by_identity, identities)
        if standing is None:
            if not found.roles:
                raise ServiceError(Reason.USER_UNKNOWN, "Nobody here has this issuer and subject.")
            return Caller(Kind.USER, name_of_stranger(identities[0]), found.roles, found.valid_until)
        return _caller(standing, extra=found.roles, valid_until=found)

    async def by_session(self, token: str) -> Caller:
        """Who signed in to an account; as :meth:`Sessions.find`."""
        return await self._sessions.find(token)

    async def by_certificate(self, certificate: x509.Certificate) -> Caller:
        """Whose certificate this is; TLS has checked its chain, and its time when the connection was made.

        Raises:
            ServiceError: CLIENT_CERTIFICATE_REFUSED, USER_DISABLED.
        """
        if self._sources.now() > certificate.not_valid_after_utc:
            raise ServiceError(Reason.CLIENT_CERTIFICATE_REFUSED, "The client certificate has expired.")
        try:
            user_id = common_name(certificate)
        except VerifieldError as error:
            raise _not_counted() from error
        serial = f"{certificate.serial_number:x}"
        standing = await asyncio.to_thread(self._by_certificate, user_id, serial)
        if standing is None:
            raise _not_counted()
        return _caller(standing, valid_until=certificate)

    def _by_identity(self, identities: list[bytes]) -> users.Standing | None:
        with self._store.reading() as connection:
            return users.standing_by_identity(connection, identities)

    def _by_certificate(self, user_id: str, serial: str) -> users.Standing | None:
        with self._store.reading() as connection:
            return users.standing_by_certificate(connection, user_id, serial)


def is_operators(certificate: x509.Certificate) -> bool:
    """Whether this is a person's certificate, by what it says it is for."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    return OPERATOR_CLIENT in usage and frozenset(usage) == USAGES


def identity_text(issuer: str, subject: str) -> str:
    """Issuer and subject as one text that no other pair gives: what the blind index is made of."""
    return f"{len(issuer)} {issuer} {subject}"


def name_of_stranger(identity: bytes) -> str:
    """How somebody without a row stands in logs: by the end of the blind index, which tells nothing."""
    return f"sign-in-{identity.hex()[-16:]}"


def to_roles(numbers: Iterable[int]) -> frozenset[Role]:
    """Numbers of verifield.v1.Role to roles."""
    values = pb.Role.DESCRIPTOR.values_by_number
    return frozenset(Role(values[number].name.removeprefix("ROLE_").lower()) for number in numbers)


def to_number(role: Role) -> pb.Role.ValueType:
    """A role to its number in verifield.v1.Role."""
    return pb.Role.Value(f"ROLE_{role.name}")


def _caller(
    standing: users.Standing,
    *,
    extra: frozenset[Role] = frozenset(),
    valid_until: SignIn | x509.Certificate,
) -> Caller:
    if standing.state != pb.USER_STATE_ACTIVE:
        raise ServiceError(Reason.USER_DISABLED, "This user is disabled.")
    ends = valid_until.valid_until if isinstance(valid_until, SignIn) else valid_until.not_valid_after_utc
    roles = to_roles(standing.roles) | extra
    return Caller(Kind.USER, standing.user_id, roles, ends)


def _not_counted() -> ServiceError:
    return ServiceError(
        Reason.CLIENT_CERTIFICATE_REFUSED, "The client certificate is not one that counts here."
    )
