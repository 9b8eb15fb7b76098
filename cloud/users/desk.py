"""Changes of users, each within the transaction that it is given: rules first, then rows."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.field_mask_pb2 import FieldMask
from sqlalchemy import Connection

from cloud.access.call import Caller
from cloud.access.callers import name_of_stranger, to_number, to_roles
from cloud.access.roles import Role
from cloud.authority import Authority
from cloud.errors import Reason, ServiceError
from cloud.sources import Sources, to_us
from cloud.store import users as rows
from cloud.store.users import CertificateRow, UserRow
from cloud.users.personal import Personal, PersonalVault
from cloud.users.rules import check_not_above, check_not_self, check_one_stays
from verifield.profile import BACKDATE
from verifield.v1 import user_service_pb2 as pb

DEFAULT_LIFETIME = timedelta(days=90)
"""Of a person's certificate: short enough to notice who no longer comes, long enough not to be a nuisance."""

MUTABLE = ("display_name", "issuer", "subject")


@dataclass(frozen=True, slots=True)
class Desk:
    """``caller``: who asks for the change."""

    authority: Authority
    vault: PersonalVault
    sources: Sources

    def add(self, connection: Connection, wanted: pb.User, *, caller: Caller) -> str:
        """Add a user and return the id.

        Raises:
            ServiceError: OWN_ROLES, ABOVE_OWN_ROLES, LOGIN_TAKEN, SUBJECT_TAKEN.
        """
        check_not_above(caller, to_roles(wanted.roles))
        if rows.get_by_login(connection, wanted.login) is not None:
            raise ServiceError(Reason.LOGIN_TAKEN, "There is a user with this login.")
        user_id, now_us = self.sources.uuid7(), to_us(self.sources.now())
        row = UserRow(
            user_id=user_id,
            login=wanted.login,
            state=pb.USER_STATE_ACTIVE,
            display_name=None,
            issuer=None,
            subject=None,
            identity=None,
            created_us=now_us,
            updated_us=now_us,
            version=1,
        )
        row = self._with_personal(
            connection, row, wanted.issuer, Personal(wanted.display_name, wanted.subject), caller=caller
        )
        rows.add_user(connection, row, roles=wanted.roles)
        return user_id

    def update(
        self, connection: Connection, wanted: pb.User, mask: FieldMask | None, *, caller: Caller
    ) -> None:
        """Change the fields in ``mask``; None: those that have a value.

        Raises:
            ServiceError: UPDATE_MASK_INVALID, USER_NOT_FOUND, ETAG_MISMATCH, OWN_ROLES, ABOVE_OWN_ROLES,
                SUBJECT_TAKEN.
        """
        paths = check_mask(wanted, mask)
        row = self._open(connection, wanted.user_id, wanted.etag, caller=caller)
        if {"issuer", "subject"} & paths:
            check_not_self(caller, row.user_id)
        old = self.vault.open_all(connection, [row])[row.user_id]
        known = row.issuer if row.issuer and old.subject else ""  # of who was erased, the subject is gone
        issuer = wanted.issuer if "issuer" in paths else known
        personal = Personal(
            display_name=wanted.display_name if "display_name" in paths else old.display_name,
            subject=wanted.subject if "subject" in paths else old.subject,
        )
        if bool(issuer) != bool(personal.subject):
            raise ServiceError(Reason.UPDATE_MASK_INVALID, "Issuer and subject are changed together.")
        changed = self._with_personal(connection, row, issuer, personal, caller=caller)
        rows.change_user(connection, self._next(changed))

    def set_roles(
        self, connection: Connection, user_id: str, wanted: Iterable[int], *, etag: str, caller: Caller
    ) -> frozenset[Role]:
        """Replace the roles; return what they were.

        Raises:
            ServiceError: USER_NOT_FOUND, ETAG_MISMATCH, OWN_ROLES, ABOVE_OWN_ROLES, LAST_SUPERUSER.
        """
        row = self._open(connection, user_id, etag, caller=caller)
        check_not_self(caller, user_id)
        new = to_roles(wanted)
        check_not_above(caller, new)
        if Role.SUPERUSER not in new:
            check_one_stays(rows.active_superusers(connection), user_id)
        old = to_roles(rows.roles_of(connection, [user_id]).get(user_id, frozenset()))
        rows.set_roles(connection, user_id, map(to_number, new))
        rows.change_user(connection, self._next(row))
        return old

    def disable(self, connection: Connection, user_id: str, *, etag: str, caller: Caller) -> int:
        """Let a user in no more; return how many certificates this ended.

        Raises:
            ServiceError: USER_NOT_FOUND, ETAG_MISMATCH, OWN_ROLES, ABOVE_OWN_ROLES, LAST_SUPERUSER.
        """
        row = self._open(connection, user_id, etag, caller=caller)
        check_not_self(caller, user_id)
        check_one_stays(rows.active_superusers(connection), user_id)
        changed = self._next(replace(row, state=pb.USER_STATE_DISABLED))
        if row.state != pb.USER_STATE_DISABLED:
            rows.change_user(connection, changed)
        return rows.revoke_certificates(connection, user_id, revoked_us=changed.updated_us)

    def enable(self, connection: Connection, user_id: str, *, etag: str, caller: Caller) -> None:
        """Let a user in again.

        Raises:
            ServiceError: USER_NOT_FOUND, ETAG_MISMATCH, OWN_ROLES, ABOVE_OWN_ROLES.
        """
        row = self._open(connection, user_id, etag, caller=caller)
        check_not_self(caller, user_id)
        if row.state != pb.USER_STATE_ACTIVE:
            rows.change_user(connection, self._next(replace(row, state=pb.USER_STATE_ACTIVE)))

    def issue(
        self,
        connection: Connection,
        user_id: str,
        key: ec.EllipticCurvePublicKey,
        *,
        lifetime: timedelta,
        caller: Caller,
    ) -> list[bytes]:
        """Issue a client certificate and record it; return the chain, DER, leaf first.

        Who holds it is that user: so it is a change of a user like the others. Nobody extends an own one.

        Raises:
            ServiceError: USER_NOT_FOUND, USER_NOT_ACTIVE, OWN_ROLES, ABOVE_OWN_ROLES.
        """
        row = self._open(connection, user_id, "", caller=caller)
        check_not_self(caller, user_id)
        if row.state != pb.USER_STATE_ACTIVE:
            raise ServiceError(Reason.USER_NOT_ACTIVE, "This user is disabled.")
        chain = self.authority.issue_operator(key, user_id=user_id, now=self.sources.now(), lifetime=lifetime)
        leaf = x509.load_der_x509_certificate(chain[0])
        rows.add_certificate(
            connection,
            CertificateRow(
                user_id=user_id,
                serial=f"{leaf.serial_number:x}",
                issued_us=to_us(leaf.not_valid_before_utc + BACKDATE),
                not_after_us=to_us(leaf.not_valid_after_utc),
            ),
        )
        return chain

    def _open(self, connection: Connection, user_id: str, etag: str, *, caller: Caller) -> UserRow:
        """Lock a user whom the caller may touch, as the caller knows it."""
        row = rows.get_user(connection, user_id, lock=True)
        if row is None:
            raise ServiceError(Reason.USER_NOT_FOUND, "There is no such user.")
        check_not_above(caller, to_roles(rows.roles_of(connection, [user_id]).get(user_id, frozenset())))
        if etag and etag != etag_of(row):
            raise ServiceError(Reason.ETAG_MISMATCH, "This user was changed meanwhile.")
        return row

    def _next(self, row: UserRow) -> UserRow:
        return replace(row, version=row.version + 1, updated_us=to_us(self.sources.now()))

    def _with_personal(
        self, connection: Connection, row: UserRow, issuer: str, personal: Personal, *, caller: Caller
    ) -> UserRow:
        identity = self.vault.identity(issuer, personal.subject)
        if identity is not None:
            check_not_self(caller, name_of_stranger(identity))
            taken = self.vault.identities(issuer, personal.subject)
            if rows.has_identity(connection, taken, besides=row.user_id):
                raise ServiceError(Reason.SUBJECT_TAKEN, "Another user has this issuer and subject.")
        if personal == Personal():  # nothing to seal, so also for somebody who was erased
            return replace(row, display_name=None, issuer=None, subject=None, identity=None)
        key = self.vault.key_of(connection, row.user_id)
        return replace(
            row,
            display_name=self.vault.seal(key, row.user_id, "display_name", personal.display_name),
            issuer=issuer or None,
            subject=self.vault.seal(key, row.user_id, "subject", personal.subject),
            identity=identity,
        )


def check_mask(wanted: pb.User, mask: FieldMask | None) -> frozenset[str]:
    """The fields to change: those of the mask, or without one all that have a value (AIP-134).

    Raises:
        ServiceError: UPDATE_MASK_INVALID: it names another field, or there is nothing to change.
    """
    paths = frozenset(mask.paths if mask else (name for name in MUTABLE if getattr(wanted, name)))
    if not paths or paths - frozenset(MUTABLE):
        raise ServiceError(
            Reason.UPDATE_MASK_INVALID,
            f"What can be changed is {', '.join(MUTABLE)}.",
        )
    return paths


def etag_of(row: UserRow) -> str:
    """Changes with every change of the row."""
    digest = hashlib.sha256(f"{row.user_id} {row.version}".encode()).digest()
    return base64.urlsafe_b64encode(digest[:12]).decode()


def describe(connection: Connection, vault: PersonalVault, found: Sequence[UserRow]) -> list[pb.User]:
    """Users as the contract shows them."""
    ids = [row.user_id for row in found]
    roles, ends = rows.roles_of(connection, ids), rows.certificate_ends(connection, ids)
    personal = vault.open_all(connection, found)
    return [
        _to_user(row, personal[row.user_id], roles.get(row.user_id, frozenset()), ends.get(row.user_id))
        for row in found
    ]


def _to_user(row: UserRow, personal: Personal, roles: frozenset[int], certificate_us: int | None) -> pb.User:
    user = pb.User(
        user_id=row.user_id,
        login=row.login,
        display_name=personal.display_name,
        issuer=row.issuer or "",
        subject=personal.subject,
        roles=sorted(map(to_number, to_roles(roles))),
        state=cast("pb.UserState.ValueType", row.state),
        etag=etag_of(row),
    )
    user.create_time.FromMicroseconds(row.created_us)
    user.update_time.FromMicroseconds(row.updated_us)
    if certificate_us is not None:
        user.certificate_expire_time.FromMicroseconds(certificate_us)
    return user
