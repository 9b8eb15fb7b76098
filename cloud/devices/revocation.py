"""The end of a device: its certificates are revoked, and everybody can learn of it.

Devices and verifiers take a newer list for an older one, never the other way round. So the times of
revocations ascend, and no list is dated before the newest of them, whatever this machine's clock does.
"""

from __future__ import annotations

from types import MappingProxyType

from cryptography import x509
from sqlalchemy import Connection

from cloud.authority import REVOCATION_LIST_LIFETIME, Authority, Revoked
from cloud.sources import Sources, from_us, to_us
from cloud.store import devices, feed, issued
from verifield.v1.device_service_pb2 import (
    DEVICE_STATE_REVOKED,
    REVOCATION_REASON_CESSATION_OF_OPERATION,
    REVOCATION_REASON_KEY_COMPROMISE,
    REVOCATION_REASON_SUPERSEDED,
    RevocationReason,
)
from verifield.v1.sync_service_pb2 import DOWN_ITEM_KIND_REVOCATIONS

_FEED_ITEM = "revocations"

_REASONS = MappingProxyType(
    {
        REVOCATION_REASON_KEY_COMPROMISE: x509.ReasonFlags.key_compromise,
        REVOCATION_REASON_SUPERSEDED: x509.ReasonFlags.superseded,
        REVOCATION_REASON_CESSATION_OF_OPERATION: x509.ReasonFlags.cessation_of_operation,
    }
)


def revoke(
    connection: Connection,
    authority: Authority,
    sources: Sources,
    *,
    device_id: str,
    reason: RevocationReason.ValueType,
) -> None:
    """Revoke a device and hand the new list down; a device that is revoked already stays as it is.

    The device's row is locked by the caller: no certificate is issued to it meanwhile. ``reason`` is one of
    those that the contract knows.
    """
    feed.lock_scope(connection, feed.SCOPE_ALL)  # what another server revokes at this moment is in the list
    revoked_us = max(to_us(sources.now()), issued.newest_revocation(connection) + 1)
    issued.revoke_issued(connection, device_id, revoked_us=revoked_us, reason=reason)
    devices.set_state(connection, device_id, DEVICE_STATE_REVOKED)
    feed.publish(
        connection,
        feed.SCOPE_ALL,
        kind=DOWN_ITEM_KIND_REVOCATIONS,
        item_id=_FEED_ITEM,
        content=current_list(connection, authority, sources),
    )


def current_list(connection: Connection, authority: Authority, sources: Sources) -> bytes:
    """The revocation list as of now (RFC 5280, DER); its number is its time.

    TLS certificates leave it once they have been expired for the life of a list: nobody goes back to them.
    """
    now = max(sources.now(), from_us(issued.newest_revocation(connection)))
    revoked = [
        Revoked(
            int(row.serial, 16), from_us(row.revoked_us), _REASONS[RevocationReason.ValueType(row.reason)]
        )
        for row in issued.list_revoked(connection, tls_until_us=to_us(now - REVOCATION_LIST_LIFETIME))
        if row.revoked_us is not None and row.reason is not None
    ]
    return authority.revocation_list(revoked, number=to_us(now), now=now)
