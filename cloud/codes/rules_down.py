"""Which dated rules devices are told: number segments, so that a kiosk says at once what is not served."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from google.protobuf.message import Message
from sqlalchemy import Connection

from cloud.feed.rules import is_due, publish_rules
from cloud.rulebook.editions import Edition, live
from cloud.rulebook.kinds import RuleKind
from cloud.serving import Base
from cloud.sources import to_us
from verifield.v1.rulebook_pb2 import RuleEdition

TOLD: tuple[RuleKind[Message], ...] = (RuleKind.NUMBER_SEGMENTS,)  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class RulesDown:
    """Told of each change by the rulebook, and looks by itself whether devices are to be told anew."""

    base: Base

    def on_published(self, connection: Connection, kind: RuleKind[Message]) -> None:
        """Hand the rules of a kind down, where devices are told them."""
        if any(kind.number == one.number for one in TOLD):
            self._publish(connection, kind)

    def refresh(self) -> int:
        """Issue anew what devices were told long ago; return how many kinds that were."""
        store = self.base.store
        return sum(store.run(partial(self._renew, kind=kind)) for kind in TOLD)

    def _renew(self, connection: Connection, kind: RuleKind[Message]) -> bool:
        if not is_due(connection, self.base.sources, kind.number):
            return False
        self._publish(connection, kind)
        return True

    def _publish(self, connection: Connection, kind: RuleKind[Message]) -> None:
        def read() -> list[RuleEdition]:
            now_us = to_us(self.base.sources.now())
            return [_to_edition(one) for one in live(connection, kind, now_us)]

        publish_rules(connection, self.base.authority, self.base.sources, kind.number, read)


def _to_edition(one: Edition[Message]) -> RuleEdition:
    edition = RuleEdition(kind=one.kind.number, version=one.version, rules=one.kind.wrap(one.rules))
    if one.version:
        edition.effective_time.FromMicroseconds(one.effective_us)
    return edition
