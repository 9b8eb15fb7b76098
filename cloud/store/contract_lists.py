"""Lists of contracts: what somebody has, what is due, and all of them for operators."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    and_,
    false,
    func,
    or_,
    select,
    text,
    true,
    union,
)

from cloud.store.contracts import ContractRow
from cloud.store.schema import contract_parties as parties
from cloud.store.schema import contract_words as words
from cloud.store.schema import contracts, seal_grants

# Said as the partial indexes say it: with a parameter in it, SQLite would not use them.
_OPEN = text("contracts.state IN (3, 4)")
_DRAFTS = text("contracts.state IN (1, 2)")
_ENDED = text("contracts.state IN (7, 8, 9)")
_DELETED = 10


@dataclass(frozen=True, slots=True)
class Own:
    """Whose contracts: an account's, and those of the organisations that it acts for."""

    account_id: str
    organisation_ids: Sequence[str]

    def sends(self, row: ContractRow) -> bool:
        """Whether a contract is one that they send."""
        if row.sender_organisation_id is not None:
            return row.sender_organisation_id in self.organisation_ids
        return row.sender_account_id == self.account_id


@dataclass(frozen=True, slots=True)
class Filters:
    """Empty ones do not filter. ``told``: digests of words (cloud.contracts.words), all of which are wanted;
    ``text`` too, where of each pair the second is what only the sender's side finds a contract by, and so is
    all of ``filed``."""

    states: Collection[int] = ()
    category: str = ""
    text: Collection[tuple[bytes, bytes]] = ()
    told: Collection[bytes] = ()
    filed: Collection[bytes] = ()
    from_us: int | None = None
    until_us: int | None = None
    awaiting_us: int | None = None
    """Those alone that wait for whoever asks, and whose deadline is after this time."""


def naming(connection: Connection, account_id: str) -> list[str]:
    """The contracts that an account sent, is a party of, or acted in, and whose content is kept."""
    part = or_(parties.c.account_id == account_id, parties.c.acted_by == account_id)
    has_part = contracts.c.contract_id.in_(select(parties.c.contract_id).where(part))
    query = select(contracts.c.contract_id).where(
        contracts.c.details.is_not(None), has_part | (contracts.c.sender_account_id == account_id)
    )
    return list(connection.execute(query.order_by(contracts.c.contract_id)).scalars())


def page_of_own(
    connection: Connection, own: Own, filters: Filters, *, before: str, limit: int
) -> list[ContractRow]:
    """Contracts of somebody, newest first; ``before``: the last one of the page before."""
    query = select(*contracts.c).where(contracts.c.state != _DELETED)
    if filters.awaiting_us is not None:
        waiting = select(parties.c.contract_id).where(parties.c.turn_us.is_not(None), _is_party(own))
        query = query.where(contracts.c.contract_id.in_(waiting), _OPEN)
        query = query.where(or_(_is_sender(own) & _has_filed(filters), _has_told(filters)))
        query = query.where(
            or_(contracts.c.deadline_us.is_(None), contracts.c.deadline_us > filters.awaiting_us)
        )
    else:
        query = query.where(contracts.c.contract_id.in_(_ids_of(own, filters)))
    if before:
        query = query.where(contracts.c.contract_id < before)
    if filters.states:
        query = query.where(contracts.c.state.in_(filters.states))
    if filters.category:
        query = query.where(contracts.c.category == filters.category)
    if filters.from_us is not None:
        query = query.where(contracts.c.created_us >= filters.from_us)
    if filters.until_us is not None:
        query = query.where(contracts.c.created_us < filters.until_us)
    query = query.order_by(contracts.c.contract_id.desc()).limit(limit)
    return [ContractRow(**row._mapping) for row in connection.execute(query)]


def page_of_all(connection: Connection, *, state: int, before: str, limit: int) -> list[ContractRow]:
    """Of everybody, newest first; a state of 0 does not filter."""
    query = select(*contracts.c)
    if state:
        query = query.where(contracts.c.state == state)
    if before:
        query = query.where(contracts.c.contract_id < before)
    query = query.order_by(contracts.c.contract_id.desc()).limit(limit)
    return [ContractRow(**row._mapping) for row in connection.execute(query)]


def late(connection: Connection, *, now_us: int, limit: int) -> list[str]:
    """Contracts that are out and whose deadline has passed, where no signature waits for a time-stamp."""
    query = (
        select(contracts.c.contract_id)
        .where(contracts.c.deadline_us <= now_us, _OPEN, contracts.c.stamp_waits_us.is_(None))
        .order_by(contracts.c.deadline_us)
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def to_remind(connection: Connection, *, before_us: int, most: int, now_us: int, limit: int) -> list[str]:
    """Contracts that wait for somebody who was told before then, and was not reminded too often."""
    told = func.coalesce(parties.c.reminded_us, parties.c.notified_us)
    query = (
        select(parties.c.contract_id)
        .join(contracts, contracts.c.contract_id == parties.c.contract_id)
        .where(
            text("turn_us IS NOT NULL"),
            parties.c.is_sender.is_(False),
            told <= before_us,
            parties.c.reminders < most,
            _OPEN,
            contracts.c.deadline_us > now_us,
        )
        .distinct()
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def to_forget(connection: Connection, *, drafts_us: int, now_us: int, limit: int) -> list[str]:
    """Drafts that were not touched since ``drafts_us``, and what came to nothing and is kept no longer."""
    drafts = select(contracts.c.contract_id).where(contracts.c.updated_us <= drafts_us, _DRAFTS)
    ended = select(contracts.c.contract_id).where(contracts.c.retention_until_us <= now_us, _ENDED)
    found = [*connection.execute(drafts.limit(limit)).scalars()]
    return [*found, *connection.execute(ended.limit(limit)).scalars()][:limit]


def granted_by(connection: Connection, account_id: str) -> list[str]:
    """The organisations of which an account holds, or held, the grant of a seal."""
    query = select(seal_grants.c.organisation_id).where(seal_grants.c.account_id == account_id).distinct()
    return list(connection.execute(query).scalars())


def _is_party(own: Own) -> ColumnElement[bool]:
    person = parties.c.organisation_id.is_(None) & (parties.c.account_id == own.account_id)
    return or_(person, parties.c.organisation_id.in_(own.organisation_ids))


def _is_sender(own: Own) -> ColumnElement[bool]:
    person = contracts.c.sender_organisation_id.is_(None) & (contracts.c.sender_account_id == own.account_id)
    return or_(person, contracts.c.sender_organisation_id.in_(own.organisation_ids))


def _ids_of(own: Own, filters: Filters) -> CompoundSelect[Any]:
    """Sent by them, or told to them as parties."""
    sent, told = (
        select(contracts.c.contract_id),
        select(contracts.c.contract_id).join(parties, parties.c.contract_id == contracts.c.contract_id),
    )
    filed = _has_filed(filters)
    return union(
        sent.where(
            contracts.c.sender_account_id == own.account_id,
            contracts.c.sender_organisation_id.is_(None),
            filed,
        ),
        sent.where(contracts.c.sender_organisation_id.in_(own.organisation_ids), filed),
        told.where(parties.c.notified_us.is_not(None), _is_party(own), _has_told(filters)),
    )


def _has_filed(filters: Filters) -> ColumnElement[bool]:
    """For the sender's side: each word is one of those that all are told, or of where it was filed."""
    return and_(
        true(),
        *(_has(pair) for pair in filters.text),
        *(_has([digest]) for digest in {*filters.told, *filters.filed}),
    )


def _has_told(filters: Filters) -> ColumnElement[bool]:
    """For parties."""
    if filters.filed:
        return false()
    wanted = {*(pair[0] for pair in filters.text), *filters.told}
    return and_(true(), *(_has([digest]) for digest in wanted))


def _has(digests: Collection[bytes]) -> ColumnElement[bool]:
    having = select(words.c.contract_id).where(words.c.digest.in_(digests))
    return contracts.c.contract_id.in_(having)
