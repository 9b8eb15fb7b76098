"""Dated rules that came down: what is in effect now, as far as this device knows."""

from __future__ import annotations

from datetime import datetime

from edge.state.records import ItemKind
from edge.state.store import StateStore
from verifield.errors import VerifieldError
from verifield.rule_sets import edition_at, name_of, open_rule_set
from verifield.v1.rulebook_pb2 import RuleEdition, RuleKind


def rules_at(state: StateStore, kind: RuleKind.ValueType, at: datetime) -> RuleEdition | None:
    """The edition of a kind of rules in effect at a moment.

    None where none came down, where the newest have expired, and where the disk has changed them (they are
    asked for again): the cloud decides then.
    """
    item = state.item(ItemKind.RULES, name_of(kind))
    if item is None:
        return None
    try:
        rules = open_rule_set(item.content)
    except VerifieldError:
        state.pull_anew()
        return None
    return edition_at(rules, at)
