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

    ACCOUNTS_IMPORT = "accounts.import"  # from an earlier system
    ACCOUNTS_MANAGE = "accounts.manage"  # end them, lock them, bind another telephone number
    ACCOUNTS_READ = "accounts.read"
    ARCHIVE_READ = "archive.read"  # decisions and results of certifications, with their material
    ATTESTATIONS_READ = "attestations.read"
    AUDIT_READ = "audit.read"
    AUDIT_SIGN = "audit.sign"  # heads of the audit chain
    BANK_MANAGE = "bank.manage"  # banks, notices, periods; end a record
    BANK_READ = "bank.read"
    BUSINESS_DECIDE = "business.decide"
    BUSINESS_READ = "business.read"
    CERTIFICATIONS_SANCTION = "certifications.sanction"  # false information, limits of applicants
    DEVICES_ADMIT = "devices.admit"  # join tokens, approvals
    DEVICES_DIRECT = "devices.direct"  # lock, unlock, wipe; alarms
    DEVICES_READ = "devices.read"
    DEVICES_REVOKE = "devices.revoke"
    ESCALATIONS_OPEN = "escalations.open"  # from a window to the information centre
    ESCALATIONS_READ = "escalations.read"
    ESCALATIONS_RESOLVE = "escalations.resolve"
    FEEDBACK_READ = "feedback.read"
    IDENTITY_READ = "identity.read"  # verifications, and the ledger of those by hand
    IDENTITY_VERIFY = "identity.verify"  # by hand, at a window
    LOG_READ = "log.read"
    MEDIA_READ = "media.read"  # pictures, encrypted as they came
    MESSAGES_READ = "messages.read"
    MESSAGES_RETRY = "messages.retry"  # take up what was given up
    ORGANISATIONS_READ = "organisations.read"  # and their documents, seals, approvals
    POLICIES_PUBLISH = "policies.publish"
    POLICIES_READ = "policies.read"
    REVIEWS_DECIDE = "reviews.decide"
    REVIEWS_MANAGE = "reviews.manage"  # reviewers, assignment, discipline
    REVIEWS_READ = "reviews.read"
    RULES_PUBLISH = "rules.publish"  # rules with a date (RulebookService)
    SERVICE_READ = "service.read"  # the inside of the running service: status, and who is connected
    CONTRACTS_READ = "contracts.read"  # how they stand, without titles and names
    STORAGE_READ = "storage.read"  # which store has what
    STORAGE_REPAIR = "storage.repair"  # look over stores, mend copies, take up a store
    SIGNERS_READ = "signers.read"  # certificates of signers
    SIGNERS_REVOKE = "signers.revoke"
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
        Role.WINDOW_STAFF: _EVIDENCE
        | {
            _P.ACCOUNTS_READ,
            _P.BANK_READ,
            _P.BUSINESS_READ,
            _P.ESCALATIONS_OPEN,
            _P.ESCALATIONS_READ,
            _P.IDENTITY_READ,
            _P.IDENTITY_VERIFY,
        },
        Role.REVIEWER: _EVIDENCE
        | {
            _P.BUSINESS_DECIDE,
            _P.BUSINESS_READ,
            _P.DEVICES_READ,
            _P.MEDIA_READ,
            _P.ORGANISATIONS_READ,
            _P.REVIEWS_DECIDE,
            _P.REVIEWS_READ,
        },
        Role.INFORMATION_CENTRE: _LOOK
        | {
            _P.ACCOUNTS_IMPORT,
            _P.ACCOUNTS_MANAGE,
            _P.ACCOUNTS_READ,
            _P.DEVICES_DIRECT,
            _P.ESCALATIONS_READ,
            _P.ESCALATIONS_RESOLVE,
            _P.IDENTITY_READ,
            _P.MESSAGES_READ,
            _P.MESSAGES_RETRY,
        },
        Role.SEAL_REVIEWER: _EVIDENCE | {_P.ORGANISATIONS_READ, _P.REVIEWS_DECIDE, _P.REVIEWS_READ},
        Role.ORGANISATION_ADMIN: _LOOK
        | {
            _P.BANK_MANAGE,
            _P.BANK_READ,
            _P.BUSINESS_READ,
            _P.CERTIFICATIONS_SANCTION,
            _P.CONTRACTS_READ,
            _P.DEVICES_ADMIT,
            _P.DEVICES_DIRECT,
            _P.DEVICES_REVOKE,
            _P.FEEDBACK_READ,
            _P.MESSAGES_READ,
            _P.MESSAGES_RETRY,
            _P.ORGANISATIONS_READ,
            _P.REVIEWS_MANAGE,
            _P.REVIEWS_READ,
            _P.RULES_PUBLISH,
            _P.SIGNERS_READ,
            _P.SIGNERS_REVOKE,
            _P.TRANSFERS_IMPORT,
            _P.USERS_MANAGE,
            _P.USERS_READ,
        },
        # Sees who did what and changes nothing; a signed head pins down what was seen. Pictures of persons
        # and the inside of the service are no part of that.
        Role.AUDITOR: _LOOK
        | {
            _P.ACCOUNTS_READ,
            _P.ARCHIVE_READ,
            _P.AUDIT_READ,
            _P.AUDIT_SIGN,
            _P.BANK_READ,
            _P.BUSINESS_READ,
            _P.CONTRACTS_READ,
            _P.ESCALATIONS_READ,
            _P.FEEDBACK_READ,
            _P.IDENTITY_READ,
            _P.MESSAGES_READ,
            _P.ORGANISATIONS_READ,
            _P.REVIEWS_READ,
            _P.SIGNERS_READ,
            _P.STORAGE_READ,
            _P.USERS_READ,
        },
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
