"""The outbox: a message is a row in the transaction of whatever it tells of, sent once that is durable.

What it says and where it goes is sealed under the person's own key. What it says is emptied as soon as it was
taken by the other side, or is of no more use.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from cloud.errors import Reason, ServiceError
from cloud.messages.ports import Fault, Outgoing
from cloud.messages.templates import Template
from cloud.messages.values import MACHINE, Channel, Contact, Event, State, choose
from cloud.persons import Persons
from cloud.privacy.normal import normal_email
from cloud.privacy.sealing import Place, SealBrokenError
from cloud.serving import Base
from cloud.sources import Sources, to_us
from cloud.store import messages as rows
from cloud.store.schema import messages as table
from cloud.store.sealed import SealedTable

SEALED = SealedTable(table, key="message_id", person="person_id", sealed=("address", "content"))
"""For erasing a person. ``content`` is JSON in UTF-8."""

MAX_ADDRESS_CHARS = 254
"""Of an e-mail address (RFC 5321, 4.5.3.1)."""

_MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class _Content:
    subject: str = field(repr=False)
    body: str = field(repr=False)
    values: Mapping[str, str] = field(repr=False)

    def encode(self) -> str:
        return json.dumps([self.subject, self.body, dict(self.values)], ensure_ascii=False)

    @classmethod
    def parse(cls, text: str) -> _Content:
        subject, body, values = json.loads(text)
        return cls(subject, body, values)


class Messages:
    """Posts messages, in the caller's transaction. Any thread may use it."""

    def __init__(self, persons: Persons, sources: Sources) -> None:
        self._persons = persons
        self._sources = sources

    @classmethod
    def of(cls, base: Base) -> Messages:
        """From what every room is given."""
        return cls(base.persons, base.sources)

    def post(
        self,
        connection: Connection,
        *,
        template: Template,
        person_id: str,
        channel: Channel,
        to: str,
        values: Mapping[str, str],
        language: str,
    ) -> str:
        """Leave a message to be delivered once the transaction is durable; return its id.

        ``to``: a number in E.164, or an e-mail address. ``values``: one for each place of the template.

        Raises:
            ServiceError: PERSON_ERASED.
            ValueError: the values are not those of the template, or the address is none.
        """
        if not 0 < len(to) <= MAX_ADDRESS_CHARS or not to.isprintable() or " " in to:
            raise ValueError("a message needs an address")
        rendered = template.render(language, values)
        message_id, now_us = self._sources.uuid7(), to_us(self._sources.now())
        key = self._persons.key_of(connection, person_id)
        content = _Content(rendered.subject, rendered.body, rendered.values).encode()
        lives = int(template.lives.total_seconds() * _MICRO) if template.lives else None
        rows.add_message(
            connection,
            rows.MessageRow(
                message_id=message_id,
                person_id=person_id,
                channel=channel,
                template=template.name,
                language=language,
                state=State.QUEUED,
                address=self._persons.seal_text(
                    key, _place("address", message_id), normal_email(to) if channel is Channel.EMAIL else to
                ),
                content=self._persons.seal_text(key, _place("content", message_id), content),
                attempts=0,
                fault="",
                due_us=now_us,
                lease=None,
                expires_us=now_us + lives if lives is not None else None,
                created_us=now_us,
                updated_us=now_us,
            ),
        )
        return message_id

    def notify(
        self,
        connection: Connection,
        *,
        template: Template,
        person_id: str,
        contact: Contact,
        values: Mapping[str, str],
    ) -> str | None:
        """As :meth:`post`, the way that the person prefers; None where the person has no address at all."""
        chosen = choose(contact)
        if chosen is None:
            return None
        channel, to = chosen
        return self.post(
            connection,
            template=template,
            person_id=person_id,
            channel=channel,
            to=to,
            values=values,
            language=contact.language,
        )

    def count_of_a_day(self, connection: Connection, *, template: Template, person_id: str) -> int:
        """How many of a template were left for a person within the last day."""
        since_us = to_us(self._sources.now() - timedelta(days=1))
        return rows.count_since(connection, person_id, template.name, since_us=since_us)

    def withdraw(self, connection: Connection, message_id: str) -> bool:
        """Give up a message, for example of a code that counts no more; False where it is over already.

        One that is under way may still arrive: then it has, else it is not tried again.
        """
        row = rows.get_message(connection, message_id, lock=True)
        if row is None or row.state not in {State.QUEUED, State.SENDING}:
            return False
        if row.state == State.QUEUED:
            changed = self.given_up(row, Fault.EXPIRED)
        else:
            now_us = to_us(self._sources.now())
            changed = replace(row, expires_us=now_us, updated_us=now_us)
        return rows.change_message(connection, changed, lease=row.lease)

    def take_up(self, connection: Connection, message_id: str) -> rows.MessageRow:
        """Send a message again that was given up; its attempts count from the beginning.

        Raises:
            ServiceError: MESSAGE_NOT_FOUND, MESSAGE_STATE, MESSAGE_EXPIRED.
        """
        row = rows.get_message(connection, message_id, lock=True)
        if row is None:
            raise ServiceError(Reason.MESSAGE_NOT_FOUND, "There is no such message.")
        state = MACHINE.after(State(row.state), Event.TAKE_UP)
        now_us = to_us(self._sources.now())
        if row.content is None or (row.expires_us is not None and row.expires_us <= now_us):
            raise ServiceError(Reason.MESSAGE_EXPIRED, "What this message said is no longer of use.")
        changed = replace(row, state=state, attempts=0, fault="", due_us=now_us, updated_us=now_us)
        rows.change_message(connection, changed, lease=row.lease)
        return changed

    def given_up(self, row: rows.MessageRow, fault: Fault) -> rows.MessageRow:
        """The row of a message that is not sent any more. What can still be taken up keeps its content."""
        keeps = row.expires_us is None and fault not in {Fault.ERASED, Fault.DAMAGED, Fault.EXPIRED}
        return replace(
            row,
            state=MACHINE.after(State(row.state), Event.GIVE_UP),
            content=row.content if keeps else None,
            fault=fault.value,
            lease=None,
            updated_us=to_us(self._sources.now()),
        )

    def open(self, connection: Connection, found: list[rows.MessageRow]) -> list[Outgoing | Fault]:
        """What these messages say and where they go, in the same order; or why that is not to be had."""
        keys = self._persons.keys_of(connection, {row.person_id for row in found})
        return [self._open(row, keys.get(row.person_id)) for row in found]

    def addresses(self, connection: Connection, found: list[rows.MessageRow]) -> dict[str, str]:
        """Where these messages go, by their ids; empty where the person was erased."""
        keys = self._persons.keys_of(connection, {row.person_id for row in found})
        return {
            row.message_id: self._persons.open_text(
                keys.get(row.person_id), _place("address", row.message_id), row.address
            )
            for row in found
        }

    def address(self, connection: Connection, message_id: str) -> str:
        """Where a message goes; empty where that was forgotten."""
        row = rows.get_message(connection, message_id)
        return self.addresses(connection, [row])[message_id] if row else ""

    def _open(self, row: rows.MessageRow, key: Any) -> Outgoing | Fault:
        if key is None or row.address is None:
            return Fault.ERASED
        try:
            address = self._persons.open_text(key, _place("address", row.message_id), row.address)
            text = self._persons.open_text(key, _place("content", row.message_id), row.content)
            content = _Content.parse(text)
        except (SealBrokenError, ValueError, TypeError):
            return Fault.DAMAGED
        return Outgoing(
            row.message_id,
            Channel(row.channel),
            row.template,
            row.language,
            address=address,
            subject=content.subject,
            body=content.body,
            values=content.values,
            expires_us=row.expires_us,
        )


def _place(column: str, message_id: str) -> Place:
    return Place(table.name, column, message_id)
