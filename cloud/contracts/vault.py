"""What is personal of a contract: sealed under a key of its own, so that it outlives each of its parties.

The key belongs to the contract's id, as a person's key belongs to theirs. Who is erased leaves the contracts
of others whole; a contract that is deleted takes all of this with it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from sqlalchemy import Connection

from cloud.persons import Persons
from cloud.privacy.sealing import Place, SealKey
from cloud.store import schema
from cloud.store.contracts import ContractRow, PartyRow, ReviewRow
from cloud.store.sealed import SealedTable

CONTRACTS = schema.contracts.name
PARTIES = schema.contract_parties.name
REVIEWS = schema.contract_reviews.name

SEALED = (
    SealedTable(schema.contracts, key="contract_id", person="contract_id", sealed=("details",)),
    SealedTable(
        schema.contract_parties,
        key="party_id",
        person="contract_id",
        sealed=("name", "address", "asked", "decline_reason"),
    ),
    SealedTable(schema.contract_reviews, key="review_id", person="contract_id", sealed=("reason",)),
)
"""For erasing what belongs to a contract."""


@dataclass(frozen=True, slots=True, repr=False)
class Details:
    """What the sender tells about a contract, but for its category. ``amount``: in ``currency``, as text.

    ``sender``: the verified name of who sends it, as it was at send.
    """

    title: str = ""
    number: str = ""
    amount: str = ""
    currency: str = ""
    folder: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""
    sender: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom the sender named by id; empty where by an address alone."""

    account_id: str = field(default="", repr=False)
    organisation_id: str = field(default="", repr=False)


class Vault:
    """Seals and opens, in the caller's transaction. What was deleted is empty."""

    def __init__(self, persons: Persons) -> None:
        self._persons = persons

    def key_of(self, connection: Connection, contract_id: str) -> SealKey:
        """The contract's key; made where there is none yet."""
        return self._persons.key_of(connection, contract_id)

    def text(self, key: SealKey, table: str, column: str, row: str, text: str) -> bytes | None:
        """One column; None for nothing."""
        return self._persons.seal_text(key, Place(table, column, row), text)

    def details(self, connection: Connection, contract_id: str, details: Details) -> bytes | None:
        """The column ``details``."""
        key = self.key_of(connection, contract_id)
        content = json.dumps(asdict(details), ensure_ascii=False)
        return self.text(key, CONTRACTS, "details", contract_id, content)

    def open_details(self, connection: Connection, row: ContractRow) -> Details:
        """What :meth:`details` sealed."""
        return self.open_all_details(connection, [row])[row.contract_id]

    def open_all_details(self, connection: Connection, rows: list[ContractRow]) -> dict[str, Details]:
        """By the ids of the contracts."""
        keys = self._persons.keys_of(connection, [row.contract_id for row in rows])
        found = {}
        for row in rows:
            place = Place(CONTRACTS, "details", row.contract_id)
            text = self._persons.open_text(keys.get(row.contract_id), place, row.details)
            values = json.loads(text) if text else {}
            if values:
                values["tags"] = tuple(values["tags"])
            found[row.contract_id] = Details(**values)
        return found

    def asked(self, key: SealKey, party_id: str, asked: Asked) -> bytes | None:
        """The column ``asked`` of a party."""
        content = json.dumps([asked.account_id, asked.organisation_id])
        return self.text(key, PARTIES, "asked", party_id, content)

    def open_asked(self, connection: Connection, row: PartyRow) -> Asked:
        """What :meth:`asked` sealed."""
        text = self.open_party(connection, row, "asked")
        return Asked(*json.loads(text)) if text else Asked()

    def open_party(self, connection: Connection, row: PartyRow, column: str) -> str:
        """A sealed text of a party."""
        return self.open_parties(connection, [row], column)[row.party_id]

    def open_parties(self, connection: Connection, rows: list[PartyRow], column: str) -> dict[str, str]:
        """As :meth:`open_party`, by the ids of the parties."""
        keys = self._persons.keys_of(connection, {row.contract_id for row in rows})
        return {
            row.party_id: self._persons.open_text(
                keys.get(row.contract_id), Place(PARTIES, column, row.party_id), getattr(row, column)
            )
            for row in rows
        }

    def open_reason(self, connection: Connection, row: ReviewRow) -> str:
        """Why an approver refused."""
        key = self._persons.keys_of(connection, [row.contract_id]).get(row.contract_id)
        return self._persons.open_text(key, Place(REVIEWS, "reason", row.review_id), row.reason)
