"""Who may change whom: rules over roles, without any I/O.

1  nobody changes own roles, own state or own way to sign in
2  nobody touches a user who may do something that oneself may not, nor makes one
3  one active superuser stays
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from cloud.access.call import Caller
from cloud.access.roles import Role, permissions_of
from cloud.errors import Reason, ServiceError


def check_not_self(caller: Caller, user_id: str) -> None:
    """Rule 1.

    Raises:
        ServiceError: OWN_ROLES.
    """
    if caller.name == user_id:
        raise ServiceError(Reason.OWN_ROLES, "Nobody changes what oneself may do here.")


def check_not_above(caller: Caller, *roles: Iterable[Role]) -> None:
    """Rule 2, for each set of roles: what a user has, and is to have.

    Raises:
        ServiceError: ABOVE_OWN_ROLES, with the permissions that the caller lacks.
    """
    lacking = permissions_of(role for some in roles for role in some) - permissions_of(caller.roles)
    # Roles for later services have few permissions yet: a superuser is above everybody by name.
    names_superuser = any(Role.SUPERUSER in frozenset(some) for some in roles)
    if lacking or (names_superuser and Role.SUPERUSER not in caller.roles):
        raise ServiceError(
            Reason.ABOVE_OWN_ROLES,
            "This user may do, or would be able to do, more than you.",
            {"permissions": " ".join(sorted(one.value for one in lacking))},
        )


def check_one_stays(active_superusers: Collection[str], user_id: str) -> None:
    """Rule 3, before ``user_id`` is disabled or loses the role.

    Raises:
        ServiceError: LAST_SUPERUSER.
    """
    if set(active_superusers) == {user_id}:
        raise ServiceError(Reason.LAST_SUPERUSER, "This is the last active superuser.")
