"""Rows of contracts, parties, places of marks, internal reviews, the timeline and revisions."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from cloud.store.schema import contract_events as events
from cloud.store.schema import contract_parties as parties
from cloud.store.schema import contract_reviews as reviews
from cloud.store.schema import contract_revisions as revisions
from cloud.store.schema import contract_widgets as widgets
from cloud.store.schema import contract_words as words
from cloud.store.schema import contracts
from cloud.store.values import insert_many, to_values


@dataclass(frozen=True, slots=True)
class ContractRow:
    """``details`` is sealed. ``allowed_methods``: a bit for each SigningMethod.

    ``upload_*``: as it came; ``document_*``: frozen at send; ``revision_*``: as it is now.
    """

    contract_id: str
    sender_account_id: str
    sender_organisation_id: str | None
    state: int
    flow: int
    details: bytes | None
    category: str
    allowed_methods: int
    deadline_us: int | None
    deadline_by_default: bool
    time_zone: str
    upload_id: str
    upload_sha256: bytes
    pages: bytes
    page_count: int
    document_id: str | None
    document_sha256: bytes | None
    revision_id: str | None
    revision_no: int
    revision_sha256: bytes | None
    stamp_waits_us: int | None
    review_required: bool
    copied_from: str | None
    sent_us: int | None
    completed_us: int | None
    ended_us: int | None
    retention_until_us: int | None
    created_us: int
    updated_us: int
    version: int


@dataclass(frozen=True, slots=True)
class PartyRow:
    """``name``, ``address``, ``asked`` and ``decline_reason`` are sealed. ``turn_us``: while it may act.

    ``asked``: the account or organisation that the sender named, until it is certain who it is.
    """

    party_id: str
    contract_id: str
    number: int
    kind: int
    role: int
    group_no: int
    state: int
    is_sender: bool
    account_id: str | None
    organisation_id: str | None
    name: bytes | None
    address: bytes | None
    asked: bytes | None
    decline_reason: bytes | None
    link_digest: bytes | None
    link_tries: int
    pages_seen: bytes
    turn_us: int | None
    notified_us: int | None
    opened_us: int | None
    read_us: int | None
    read_sha256: bytes | None
    authenticated_us: int | None
    acted_us: int | None
    acted_by: str | None
    reminders: int
    reminded_us: int | None


@dataclass(frozen=True, slots=True)
class WidgetRow:
    """``x`` to ``height``: thousandths of a point, from the top left corner of the page."""

    widget_id: str
    contract_id: str
    party_id: str
    number: int
    kind: int
    state: int
    field_name: str
    page: int
    x: int
    y: int
    width: int
    height: int
    by_default: bool


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """Of one approver; ``reason`` is sealed."""

    review_id: str
    contract_id: str
    account_id: str
    state: int
    reason: bytes | None
    decided_us: int | None


@dataclass(frozen=True, slots=True)
class EventRow:
    """``number`` counts the events of a contract."""

    contract_id: str
    number: int
    event: int
    state: int
    at_us: int
    party_id: str | None


@dataclass(frozen=True, slots=True)
class RevisionRow:
    """The file after a signature; number 0 is the one that was frozen at send."""

    revision_id: str
    contract_id: str
    revision_no: int
    object_id: str
    sha256: bytes
    party_id: str | None
    at_us: int


_FIXED = ("contract_id", "sender_account_id", "created_us")


def add_contract(connection: Connection, row: ContractRow) -> None:
    """Insert one."""
    connection.execute(insert(contracts).values(**to_values(row)))


def get_contract(connection: Connection, contract_id: str, *, lock: bool = False) -> ContractRow | None:
    """Read one; with ``lock`` no other transaction may change it meanwhile."""
    query = select(*contracts.c).where(contracts.c.contract_id == contract_id)
    found = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return ContractRow(**found._mapping) if found else None


def change_contract(connection: Connection, row: ContractRow) -> None:
    """Write all of a row that was read with a lock."""
    values = to_values(row)
    for name in _FIXED:
        del values[name]
    connection.execute(update(contracts).where(contracts.c.contract_id == row.contract_id).values(**values))


def count_drafts(connection: Connection, account_id: str, states: Collection[int]) -> int:
    """How many an account has in these states as their sender."""
    query = select(func.count()).where(
        contracts.c.sender_account_id == account_id, contracts.c.state.in_(states)
    )
    return int(connection.execute(query).scalar_one())


def count_sent(connection: Connection, account_id: str, *, since_us: int) -> int:
    """How many an account has sent since then, whatever became of them."""
    query = select(func.count()).where(
        contracts.c.sender_account_id == account_id, contracts.c.sent_us > since_us
    )
    return int(connection.execute(query).scalar_one())


def contracts_sent_by(connection: Connection, account_id: str, states: Collection[int]) -> list[ContractRow]:
    """Those that an account began, in one of these states, the oldest first; locked."""
    query = (
        select(*contracts.c)
        .where(contracts.c.sender_account_id == account_id, contracts.c.state.in_(states))
        .order_by(contracts.c.contract_id)
        .with_for_update()
    )
    return [ContractRow(**row._mapping) for row in connection.execute(query)]


def add_party(connection: Connection, row: PartyRow) -> None:
    """Insert one."""
    connection.execute(insert(parties).values(**to_values(row)))


def get_party(connection: Connection, party_id: str) -> PartyRow | None:
    """Read one."""
    return _party(connection.execute(select(*parties.c).where(parties.c.party_id == party_id)).one_or_none())


def find_link(connection: Connection, digest: bytes) -> PartyRow | None:
    """The party whose link has a token with this digest."""
    return _party(connection.execute(select(*parties.c).where(parties.c.link_digest == digest)).one_or_none())


def change_party(connection: Connection, row: PartyRow) -> None:
    """Write all of a row whose contract is locked."""
    values = to_values(row)
    for name in ("party_id", "contract_id"):
        del values[name]
    connection.execute(update(parties).where(parties.c.party_id == row.party_id).values(**values))


def parties_of(connection: Connection, contract_id: str) -> list[PartyRow]:
    """In the order in which the sender listed them."""
    query = select(*parties.c).where(parties.c.contract_id == contract_id).order_by(parties.c.number)
    return [PartyRow(**row._mapping) for row in connection.execute(query)]


def parties_of_all(connection: Connection, contract_ids: Collection[str]) -> dict[str, list[PartyRow]]:
    """As :func:`parties_of`, of several contracts."""
    query = select(*parties.c).where(parties.c.contract_id.in_(contract_ids)).order_by(parties.c.number)
    found: dict[str, list[PartyRow]] = {one: [] for one in contract_ids}
    for row in connection.execute(query):
        found[row.contract_id].append(PartyRow(**row._mapping))
    return found


def drop_parties(connection: Connection, contract_id: str) -> None:
    """Delete those of a draft, with their places of marks."""
    connection.execute(delete(widgets).where(widgets.c.contract_id == contract_id))
    connection.execute(delete(parties).where(parties.c.contract_id == contract_id))


def put_widgets(connection: Connection, contract_id: str, found: Iterable[WidgetRow]) -> None:
    """Replace the places of marks of a draft."""
    connection.execute(delete(widgets).where(widgets.c.contract_id == contract_id))
    insert_many(connection, widgets, [to_values(row) for row in found])


def widgets_of(connection: Connection, contract_id: str, *, party_id: str = "") -> list[WidgetRow]:
    """Of a contract, or of one party, in the order in which they were placed."""
    query = select(*widgets.c).where(widgets.c.contract_id == contract_id)
    if party_id:
        query = query.where(widgets.c.party_id == party_id)
    return [WidgetRow(**row._mapping) for row in connection.execute(query.order_by(widgets.c.number))]


def set_widget_state(
    connection: Connection, contract_id: str, state: int, *, field_names: Collection[str] | None = None
) -> int:
    """Give all marks of a contract a state, or those with these field names; return how many there were."""
    change = update(widgets).where(widgets.c.contract_id == contract_id).values(state=state)
    if field_names is not None:
        change = change.where(widgets.c.field_name.in_(field_names))
    return connection.execute(change).rowcount


def put_reviews(connection: Connection, contract_id: str, found: Iterable[ReviewRow]) -> None:
    """Replace who has to approve."""
    connection.execute(delete(reviews).where(reviews.c.contract_id == contract_id))
    insert_many(connection, reviews, [to_values(row) for row in found])


def change_review(connection: Connection, row: ReviewRow) -> None:
    """Write what an approver decided."""
    change = update(reviews).where(reviews.c.review_id == row.review_id)
    connection.execute(change.values(state=row.state, reason=row.reason, decided_us=row.decided_us))


def reviews_of(connection: Connection, contract_id: str) -> list[ReviewRow]:
    """In the order in which the sender named them."""
    query = select(*reviews.c).where(reviews.c.contract_id == contract_id).order_by(reviews.c.review_id)
    return [ReviewRow(**row._mapping) for row in connection.execute(query)]


def add_event(
    connection: Connection, contract_id: str, *, event: int, state: int, at_us: int, party_id: str | None
) -> None:
    """Append one to a contract that is locked."""
    count = select(func.count()).where(events.c.contract_id == contract_id)
    row = EventRow(contract_id, connection.execute(count).scalar_one() + 1, event, state, at_us, party_id)
    connection.execute(insert(events).values(**to_values(row)))


def events_of(connection: Connection, contract_id: str) -> list[EventRow]:
    """Oldest first."""
    query = select(*events.c).where(events.c.contract_id == contract_id).order_by(events.c.number)
    return [EventRow(**row._mapping) for row in connection.execute(query)]


def add_revision(connection: Connection, row: RevisionRow) -> None:
    """Append one."""
    connection.execute(insert(revisions).values(**to_values(row)))


def revisions_of(connection: Connection, contract_id: str) -> list[RevisionRow]:
    """Oldest first."""
    query = (
        select(*revisions.c).where(revisions.c.contract_id == contract_id).order_by(revisions.c.revision_no)
    )
    return [RevisionRow(**row._mapping) for row in connection.execute(query)]


def put_words(connection: Connection, contract_id: str, digests: Collection[bytes]) -> None:
    """Replace what a contract is found by."""
    connection.execute(delete(words).where(words.c.contract_id == contract_id))
    rows: list[dict[str, Any]] = [
        {"contract_id": contract_id, "digest": digest} for digest in sorted(digests)
    ]
    insert_many(connection, words, rows)


def _party(found: Any) -> PartyRow | None:
    return PartyRow(**found._mapping) if found else None
