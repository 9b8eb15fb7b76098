"""Whose turn it is, and who is told: messages are rows of the transaction that they tell of.

A link has a token of 24 random bytes, of which only the digest is kept. Each new message has another token,
and with it the one before counts no more.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Protocol

from sqlalchemy import Connection

from cloud.contracts.core import Core
from cloud.contracts.states import WAITING, Event, PartyState
from cloud.errors import Reason, ServiceError
from cloud.messages.templates import Template
from cloud.messages.templates.contracts import COPY, INVITATION
from cloud.messages.values import Channel
from cloud.sources import from_us
from cloud.store import contracts as rows
from cloud.store.contracts import ContractRow, PartyRow
from verifield.v1 import contract_service_pb2 as pb

ACTING = frozenset({pb.CONTRACT_PARTY_ROLE_SIGNER, pb.CONTRACT_PARTY_ROLE_APPROVER})
"""Roles that a contract waits for."""

MAX_LINK_TRIES = 5
"""By people with another name, before a link counts no more."""

_TOKEN_BYTES = 24
_DAY = "%Y-%m-%d %H:%M UTC"
_SENDER_CHARS = 60


class _Reached(Protocol):
    @property
    def phone(self) -> str: ...
    @property
    def email(self) -> str: ...
    @property
    def language(self) -> str: ...
    @property
    def prefers(self) -> Channel | None: ...


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """How somebody is reached who has no account here, or none that is known to be theirs."""

    phone: str
    email: str
    language: str
    prefers: Channel | None = None


def digest_of(token: str) -> bytes:
    """What is kept of a link's token."""
    return sha256(b"verifield contract link\0" + token.encode()).digest()


def begin_turns(core: Core, connection: Connection, row: ContractRow) -> None:
    """Tell those whose turn has come: the first group that has not acted, each of it once."""
    waiting = [
        one
        for one in rows.parties_of(connection, row.contract_id)
        if one.role in ACTING and PartyState(one.state) in WAITING
    ]
    group = min((one.group_no for one in waiting), default=None)
    for party in waiting:
        if party.group_no == group and party.turn_us is None:
            invite(core, connection, row, party, INVITATION, turn_us=core.now_us)


def tell_copies(core: Core, connection: Connection, row: ContractRow) -> None:
    """Tell those who are to know, and do nothing."""
    for party in rows.parties_of(connection, row.contract_id):
        if party.role not in ACTING and not party.is_sender:
            invite(core, connection, row, party, COPY, turn_us=None)


def invite(
    core: Core,
    connection: Connection,
    row: ContractRow,
    party: PartyRow,
    template: Template,
    *,
    turn_us: int | None,
    event: Event = Event.NOTIFY,
) -> PartyRow:
    """Send a party a link of its own; the sender needs none, being here already."""
    now_us = core.now_us
    token = base64.urlsafe_b64encode(core.sources.random_bytes(_TOKEN_BYTES)).decode()
    changes: dict[str, Any] = {"turn_us": turn_us}
    if event is Event.NOTIFY:
        changes["notified_us"] = now_us
    if not party.is_sender:
        changes |= {"link_digest": digest_of(token), "link_tries": 0}
    party = core.move_party(connection, party, event, **changes)
    rows.add_event(
        connection,
        row.contract_id,
        event=int(event),
        state=row.state,
        at_us=now_us,
        party_id=party.party_id,
    )
    if not party.is_sender:
        values = {
            "sender": core.vault.open_details(connection, row).sender[:_SENDER_CHARS],
            "number": number_of(row),
            "deadline": from_us(row.deadline_us).strftime(_DAY) if row.deadline_us else "",
            "link": core.links + token,
        }
        known = {name: value for name, value in values.items() if name in template.places}
        tell(core, connection, row, party, template, values=known)
    return party


def tell(
    core: Core,
    connection: Connection,
    row: ContractRow,
    party: PartyRow,
    template: Template,
    *,
    values: Mapping[str, str],
) -> None:
    """Leave a message to a party. What no address is known for is not sent, and nobody is told of that."""
    contact, person_id = _reach(core, connection, row, party)
    try:
        core.messages.notify(
            connection, template=template, person_id=person_id, contact=contact, values=values
        )
    except ServiceError as error:
        if error.reason is not Reason.PERSON_ERASED:
            raise


def tell_account(
    core: Core, connection: Connection, row: ContractRow, account_id: str, template: Template
) -> None:
    """Leave a message about a contract to somebody with an account."""
    try:
        contact = core.accounts.contact(connection, account_id)
        core.messages.notify(
            connection,
            template=template,
            person_id=account_id,
            contact=contact,
            values={"number": number_of(row)},
        )
    except ServiceError as error:
        if error.reason not in (Reason.PERSON_ERASED, Reason.ACCOUNT_NOT_FOUND):
            raise


def tell_all(
    core: Core, connection: Connection, row: ContractRow, template: Template, *, besides: str = ""
) -> None:
    """Tell everybody who was told before, and the sender; ``besides``: whoever did it (an account)."""
    told = {besides}
    for party in rows.parties_of(connection, row.contract_id):
        account_id = party.acted_by or party.account_id
        if party.is_sender or party.notified_us is None or account_id in told:
            continue
        told.add(account_id or party.party_id)
        tell(core, connection, row, party, template, values={"number": number_of(row)})
    if row.sender_account_id not in told:
        tell_account(core, connection, row, row.sender_account_id, template)


def end_turns(core: Core, connection: Connection, row: ContractRow, event: Event | None) -> None:
    """Nobody acts any more, and no link counts; with EXPIRE, those who have not acted have missed it.

    ``event``: what ended it; None: it is concluded, and who is only told may still open it.
    """
    for party in rows.parties_of(connection, row.contract_id):
        changes: dict[str, Any] = {"turn_us": None}
        if event is not None or party.role in ACTING:
            changes["link_digest"] = None
        if event is Event.EXPIRE and PartyState(party.state) in WAITING and party.role in ACTING:
            core.move_party(connection, party, event, **changes)
        else:
            rows.change_party(connection, replace(party, **changes))


def number_of(row: ContractRow) -> str:
    """How people name a contract: enough of its id to tell it from others."""
    return row.contract_id[-12:].upper()


def _reach(core: Core, connection: Connection, row: ContractRow, party: PartyRow) -> tuple[_Reached, str]:
    account_id = party.acted_by or party.account_id or core.vault.open_asked(connection, party).account_id
    if account_id:
        try:
            return core.accounts.contact(connection, account_id), account_id
        except ServiceError as error:
            if error.reason is not Reason.ACCOUNT_NOT_FOUND:
                raise
    address = core.vault.open_party(connection, party, "address")
    language = _language(core, connection, row)
    if "@" in address:
        return Address("", address, language), party.party_id
    return Address(address, "", language), party.party_id


def _language(core: Core, connection: Connection, row: ContractRow) -> str:
    """That of the sender, who knows the party."""
    return core.accounts.find(connection, row.sender_account_id).language
