"""Which role may do what: one table. The contract names the permission of each method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType


class Role(StrEnum):
    """What a person is here. Names equal those of verifield.v1.Role without the prefix, in lower case."""

    VIEWER = "viewer"
    CLERK = "clerk"
    WINDOW_STAFF = "window_staff"
    REVIEWER = "reviewer"
    INFORMATION_CENTRE = "information_centre"
    SEAL_REVIEWER = "seal_reviewer"
    ORGANISATION_ADMIN = "organisation_admin"
    AUDITOR = "auditor"
    SUPERUSER = "superuser"


class Permission(StrEnum):
    """What a method needs; the names in the contract's ``access`` options. ``*.read`` changes nothing."""

    ATTESTATIONS_READ = "attestations.read"
    AUDIT_READ = "audit.read"
    AUDIT_SIGN = "audit.sign"  # heads of the audit chain
    DEVICES_ADMIT = "devices.admit"  # join tokens, approvals
    DEVICES_DIRECT = "devices.direct"  # lock, unlock, wipe; alarms
    DEVICES_READ = "devices.read"
    DEVICES_REVOKE = "devices.revoke"
    LOG_READ = "log.read"
    MEDIA_READ = "media.read"  # pictures, encrypted as they came
    POLICIES_PUBLISH = "policies.publish"
    POLICIES_READ = "policies.read"
    SERVICE_READ = "service.read"  # the inside of the running service: status, and who is connected
    TRANSFERS_IMPORT = "transfers.import"
    USERS_MANAGE = "users.manage"
    USERS_READ = "users.read"


_P = Permission
_EVIDENCE = frozenset({_P.ATTESTATIONS_READ, _P.LOG_READ})
_LOOK = _EVIDENCE | {_P.DEVICES_READ, _P.POLICIES_READ}

PERMISSIONS: Mapping[Role, frozenset[Permission]] = MappingProxyType(
    {
        Role.VIEWER: _LOOK,
        # Brings what a device without a line wrote to a stick.
        Role.CLERK: _LOOK | {_P.TRANSFERS_IMPORT},
        Role.WINDOW_STAFF: _EVIDENCE,
        Role.REVIEWER: _EVIDENCE | {_P.DEVICES_READ, _P.MEDIA_READ},
        Role.INFORMATION_CENTRE: _LOOK | {_P.DEVICES_DIRECT},
        Role.SEAL_REVIEWER: _EVIDENCE,
        Role.ORGANISATION_ADMIN: _LOOK
        | {
            _P.DEVICES_ADMIT,
            _P.DEVICES_DIRECT,
            _P.DEVICES_REVOKE,
            _P.TRANSFERS_IMPORT,
            _P.USERS_MANAGE,
            _P.USERS_READ,
        },
        # Sees who did what and changes nothing; a signed head pins down what was seen. Pictures of persons
        # and the inside of the service are no part of that.
        Role.AUDITOR: _LOOK | {_P.AUDIT_READ, _P.AUDIT_SIGN, _P.USERS_READ},
        Role.SUPERUSER: frozenset(Permission),
    }
)


def permissions_of(roles: Iterable[Role]) -> frozenset[Permission]:
    """All that somebody with these roles may do."""
    return frozenset().union(*(PERMISSIONS[role] for role in roles))


def parse_role(name: str) -> Role:
    """``window-staff`` or ``window_staff`` to the role.

    Raises:
        ValueError: there is no such role.
    """
    return Role(name.strip().lower().replace("-", "_"))
