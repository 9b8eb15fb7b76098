"""Puts into the audit trail what changes nothing: refused calls, and reads of personal data.

Refusals of calls that anybody may make, and of devices, are not among them. Devices are many, and one that
was revoked may ask for years: their calls stand in the log of calls.
"""

from __future__ import annotations

import re

from google.rpc import code_pb2

from cloud.access.call import Call, Serve
from cloud.access.roles import Permission
from cloud.access.rules import Rules
from cloud.audit.trail import Trail
from cloud.errors import ServiceError

UNKNOWN = "unknown"
"""The caller where nobody was recognised: all of them are one, or they could fill the chain."""

PERSONAL_READS = frozenset(
    {
        Permission.ACCOUNTS_READ,
        Permission.ARCHIVE_READ,
        Permission.BANK_READ,
        Permission.BUSINESS_READ,
        Permission.ESCALATIONS_READ,
        Permission.FEEDBACK_READ,
        Permission.IDENTITY_READ,
        Permission.MESSAGES_READ,
        Permission.ORGANISATIONS_READ,
        Permission.REVIEWS_READ,
        Permission.USERS_READ,
    }
)
"""Who has one of these may read what belongs to persons."""

SUBJECTS = {
    "user_id": "users",
    "account_id": "accounts",
    "application_id": "certifications",
    "result_id": "certification_results",
    "ticket_id": "escalations",
    "verification_id": "verifications",
    "task_id": "reviews",
    "message_id": "messages",
    "customer_id": "customers",
    "record_id": "bank",
    "business_id": "business",
    "approval_id": "approvals",
    "seal_id": "seals",
    "organisation_id": "organisations",
}
"""By the field of a request that names it: whose data is read."""

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_REFUSALS = frozenset({code_pb2.UNAUTHENTICATED, code_pb2.PERMISSION_DENIED})


class AuditLayer:
    """Stands outside of the layer that refuses, and inside of the one that maps errors."""

    def __init__(self, trail: Trail, rules: Rules) -> None:
        self._trail = trail
        self._rules = rules

    async def around(self, call: Call, serve: Serve) -> object:
        try:
            return await serve()
        except ServiceError as error:
            if error.status in _REFUSALS and self._permission(call):
                self._trail.record_refusal(
                    method=call.method if call.caller else UNKNOWN,
                    reason=error.reason.value,
                    caller=caller_of(call),
                    request_id=call.request_id,
                )
            raise

    def check(self, call: Call, request: object) -> None:
        """Note a read of personal data before anything is read.

        Raises:
            ServiceError: STORE_UNAVAILABLE: it could not be noted.
        """
        permission = self._permission(call)
        if permission in PERSONAL_READS:
            self._trail.record_read(
                action=permission.value,
                subject=_subject(request) or call.method.rpartition("/")[2],
                caller=caller_of(call),
                request_id=call.request_id,
            )

    def _permission(self, call: Call) -> Permission | None:
        rule = self._rules.find(call.method)
        return rule.permission if rule else None


def _subject(request: object) -> str:
    """What a request asks about; empty where it names nothing."""
    for field, kind in SUBJECTS.items():
        about = str(getattr(request, field, ""))
        if _ID.fullmatch(about):  # nothing but an id of ours gets into the chain, whatever the caller sent
            return f"{kind}/{about}"
    return ""


def caller_of(call: Call) -> str:
    """KIND/NAME of who calls, as the chain keeps it."""
    return call.caller.path if call.caller else UNKNOWN
