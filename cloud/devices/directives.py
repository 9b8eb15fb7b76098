"""Directives: what the operator tells one device to do, signed and handed down at its next contact.

A device obeys LOCK and UNLOCK in the order of their times of issue. So these ascend for each device
whatever this machine's clock does: an UNLOCK that a clock set back had dated before its LOCK would never
be obeyed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from cloud.authority import Authority
from cloud.errors import Reason, ServiceError
from cloud.signing import sign_for_devices
from cloud.sources import Sources
from cloud.store import feed
from verifield.dsse import parse_envelope
from verifield.errors import VerifieldError
from verifield.policy import DIRECTIVE_TYPE, check_directive, encode_directive
from verifield.v1.policy_pb2 import (
    DIRECTIVE_ACTION_LOCK,
    DIRECTIVE_ACTION_UNLOCK,
    DIRECTIVE_ACTION_WIPE,
    Directive,
    DirectiveAction,
)
from verifield.v1.sync_service_pb2 import DOWN_ITEM_KIND_DIRECTIVE

_ITEM_IDS = {
    DIRECTIVE_ACTION_LOCK: "lock",
    DIRECTIVE_ACTION_UNLOCK: "lock",
    DIRECTIVE_ACTION_WIPE: "wipe",
}
"""A later lock or unlock replaces the one before it; nothing replaces a wipe."""

_STEP = timedelta(microseconds=1)


def send_directive(
    connection: Connection,
    authority: Authority,
    sources: Sources,
    *,
    device_id: str,
    action: DirectiveAction.ValueType,
    reason: str,
) -> str:
    """Sign a directive and put it where the device finds it; return its id. The device's row is locked.

    ``action`` is one of those that the contract knows.

    Raises:
        ServiceError: DIRECTIVE_INVALID, for a text that no device would show.
    """
    scope, item_id = feed.device_scope(device_id), _ITEM_IDS[action]
    directive = Directive(directive_id=sources.uuid7(), device_id=device_id, action=action, reason=reason)
    before = feed.get_item(connection, scope, kind=DOWN_ITEM_KIND_DIRECTIVE, item_id=item_id)
    now = sources.now()
    directive.issue_time.FromDatetime(max(now, _issue_time(before.content) + _STEP) if before else now)
    try:
        content = sign_for_devices(
            authority, payload_type=DIRECTIVE_TYPE, payload=encode_directive(directive)
        )
        # As the device will check it: what it would refuse is not sent.
        check_directive(
            content,
            certificates=authority.chain_of(authority.policy.certificate),
            roots=[authority.root],
            device_id=device_id,
        )
    except VerifieldError as error:
        raise ServiceError(Reason.DIRECTIVE_INVALID, error.message, {"check": error.code}) from error
    feed.publish(connection, scope, kind=DOWN_ITEM_KIND_DIRECTIVE, item_id=item_id, content=content)
    return directive.directive_id


def _issue_time(envelope: bytes) -> datetime:
    return Directive.FromString(parse_envelope(envelope).payload).issue_time.ToDatetime(tzinfo=UTC)
