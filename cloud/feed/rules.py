"""Hands dated rules down to all devices: what is in effect, and what is to come.

Each call is part of its caller's transaction, so that devices are told if and only if the rules changed.
Devices forget rules that expire: the newest set is issued anew before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from cloud.authority import Authority
from cloud.signing import sign_for_devices
from cloud.sources import Sources
from cloud.store import feed
from verifield.errors import Malformed
from verifield.rule_sets import MAX_EDITIONS, RULES_TYPE, encode_rule_set, name_of, open_rule_set
from verifield.v1.rule_set_pb2 import RuleSet
from verifield.v1.rulebook_pb2 import RuleEdition, RuleKind
from verifield.v1.sync_service_pb2 import DOWN_ITEM_KIND_RULES

LIFETIME = timedelta(days=90)
"""A device that was away for longer asks the service, or goes by nothing."""

RENEWED_AFTER = timedelta(days=7)

_TICK = timedelta(microseconds=1)


def publish_rules(
    connection: Connection,
    authority: Authority,
    sources: Sources,
    kind: RuleKind.ValueType,
    read: Callable[[], Sequence[RuleEdition]],
) -> None:
    """Tell devices the rules of a kind, in place of those before.

    ``read``: the edition in effect and those to come, in order of time; called behind the feed's lock, so
    that of two servers the one that publishes last has read last.
    """
    feed.lock_scope(connection, feed.SCOPE_ALL)
    now = sources.now()
    former = _issued(connection, kind)
    if former is not None:  # another server's clock, or ours before it was set: devices take newer ones alone
        now = max(now, former + _TICK)
    envelope = _sign(authority, kind, list(read())[:MAX_EDITIONS], now)
    feed.publish(
        connection, feed.SCOPE_ALL, kind=DOWN_ITEM_KIND_RULES, item_id=name_of(kind), content=envelope
    )


def is_due(connection: Connection, sources: Sources, kind: RuleKind.ValueType) -> bool:
    """Whether devices were told the rules of a kind so long ago that they are to be told anew.

    Where nothing was ever published there is nothing to tell: the service decides as it came.
    """
    issued = _issued(connection, kind)
    return issued is not None and sources.now() >= issued + RENEWED_AFTER


def _issued(connection: Connection, kind: RuleKind.ValueType) -> datetime | None:
    """When devices were told last; None where they never were."""
    row = feed.get_item(connection, feed.SCOPE_ALL, kind=DOWN_ITEM_KIND_RULES, item_id=name_of(kind))
    if row is None or row.removed:
        return None
    return open_rule_set(bytes(row.content)).issue_time.ToDatetime(UTC)


def _sign(
    authority: Authority, kind: RuleKind.ValueType, editions: Sequence[RuleEdition], now: datetime
) -> bytes:
    """As much as fits into an envelope: texts for people go first, then what is farthest in the future."""
    fault: Malformed | None = None
    for some in _smaller(editions):
        rules = RuleSet(kind=kind, editions=some)
        rules.issue_time.FromDatetime(now)
        rules.expire_time.FromDatetime(now + LIFETIME)
        try:
            return sign_for_devices(authority, payload_type=RULES_TYPE, payload=encode_rule_set(rules))
        except Malformed as error:
            fault = error
    raise fault or Malformed("RULES", "There are no rules.")


def _smaller(editions: Sequence[RuleEdition]) -> Iterator[Sequence[RuleEdition]]:
    yield editions
    bare = []
    for edition in editions:
        one = RuleEdition()
        one.CopyFrom(edition)
        for segment in one.rules.number_segments.segments if one.rules.HasField("number_segments") else ():
            segment.note = ""
        bare.append(one)
    for count in range(len(bare), 0, -1):
        yield bare[:count]
