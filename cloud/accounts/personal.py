"""What is personal of an account: sealed under its own key, and found by blind indexes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from cloud.elements import FourElements, Validity, parse_validity
from cloud.errors import Reason, ServiceError
from cloud.persons import Persons
from cloud.privacy.sealing import Place, SealKey
from cloud.reviews.marks import Marker
from cloud.store.accounts import AccountRow
from cloud.store.schema import (
    account_identifiers,
    account_rebinds,
    account_sessions,
    account_sign_ins,
    accounts,
)
from cloud.store.sealed import BlindColumn, SealedTable
from verifield.v1 import identity_pb2

TABLE = "accounts"
TEXTS = ("name", "id_number", "phone", "email", "login_name", "organisation_name", "organisation_code")

SEALED = (
    SealedTable(
        accounts,
        key="account_id",
        person="account_id",
        sealed=(*TEXTS, "validity"),
        blinds=(BlindColumn("id_mark", lambda text: text["id_number"]),),
    ),
    SealedTable(
        account_identifiers,
        key="identifier_id",
        person="account_id",
        sealed=("value",),
        blinds=(BlindColumn("key", lambda text: text["value"]),),
    ),
    SealedTable(account_sessions, key="session_id", person="account_id", sealed=("source",)),
    SealedTable(account_sign_ins, key="sign_in_id", person="account_id", sealed=("source",)),
    SealedTable(account_rebinds, key="account_id", person="account_id", sealed=("phone",)),
)
"""For erasing somebody, and for renewing the blind indexes."""


@dataclass(frozen=True, slots=True, repr=False)
class Personal:
    """In plain text; never logged. Empty where it is not known, or its key was destroyed.

    ``phone``: E.164. ``validity``: None where an earlier system did not know it.
    """

    name: str = ""
    id_number: str = ""
    phone: str = ""
    email: str = ""
    login_name: str = ""
    organisation_name: str = ""
    organisation_code: str = ""
    validity: Validity | None = None

    @property
    def elements(self) -> FourElements:
        """Raises ServiceError ELEMENTS_UNKNOWN where not all four are known."""
        if not self.name or not self.id_number or self.validity is None:
            raise ServiceError(Reason.ELEMENTS_UNKNOWN, "Not all four elements of this account are known.")
        return FourElements(self.name, self.id_number, self.validity)


@dataclass(frozen=True, slots=True)
class Marks:
    """Keyed digests that are equal for equal values, also between accounts; empty for nothing.

    ``company``: of the organisation's code; ``company_name``: of its name.
    """

    id_number: bytes = field(repr=False)
    phone: bytes = field(repr=False)
    company: bytes = field(repr=False)
    company_name: bytes = field(repr=False)

    @classmethod
    def of(cls, marker: Marker, personal: Personal) -> Marks:
        """Of what is personal of an account."""

        def mark(make: Callable[[str], bytes], value: str) -> bytes:
            return make(value) if value else b""

        return cls(
            mark(marker.id_number, personal.id_number),
            mark(marker.phone, personal.phone),
            mark(marker.company, personal.organisation_code),
            mark(marker.company, personal.organisation_name),
        )

    def all(self) -> tuple[bytes, ...]:
        """Those that there are."""
        return tuple(mark for mark in (self.id_number, self.phone, self.company, self.company_name) if mark)


class AccountVault:
    """Seals and opens, in the caller's transaction."""

    def __init__(self, persons: Persons) -> None:
        self._persons = persons

    def key_of(self, connection: Connection, account_id: str) -> SealKey:
        """The account's key; made where there is none yet.

        Raises:
            ServiceError: PERSON_ERASED.
        """
        return self._persons.key_of(connection, account_id)

    def seal(self, key: SealKey, account_id: str, personal: Personal) -> dict[str, bytes | None]:
        """The sealed columns of the accounts table."""
        sealed = {name: self.text(key, account_id, name, getattr(personal, name)) for name in TEXTS}
        return sealed | {"validity": self.validity(key, account_id, personal.validity)}

    def text(self, key: SealKey, account_id: str, column: str, text: str) -> bytes | None:
        """One column of the accounts table; None for nothing."""
        return self._persons.seal_text(key, Place(TABLE, column, account_id), text)

    def validity(self, key: SealKey, account_id: str, validity: Validity | None) -> bytes | None:
        """The validity as it is stored; None for nothing."""
        if validity is None:
            return None
        return self._persons.seal_text(key, Place(TABLE, "validity", account_id), encode_validity(validity))

    def open(self, connection: Connection, row: AccountRow) -> Personal:
        """What is personal of one account."""
        return self.open_all(connection, [row])[row.account_id]

    def open_all(self, connection: Connection, rows: Sequence[AccountRow]) -> dict[str, Personal]:
        """What is personal of these accounts, by id.

        Raises:
            SealBrokenError: a row was changed from outside.
        """
        keys = self._persons.keys_of(connection, [row.account_id for row in rows])

        def text(row: AccountRow, column: str) -> str:
            place = Place(TABLE, column, row.account_id)
            return self._persons.open_text(keys.get(row.account_id), place, getattr(row, column))

        return {
            row.account_id: Personal(
                **{name: text(row, name) for name in TEXTS}, validity=parse_sealed(text(row, "validity"))
            )
            for row in rows
        }

    def seal_at(self, key: SealKey, place: Place, text: str) -> bytes | None:
        """A column of another table of accounts."""
        return self._persons.seal_text(key, place, text)

    def open_at(self, connection: Connection, account_id: str, place: Place, sealed: bytes | None) -> str:
        """What :meth:`seal_at` sealed."""
        key = self._persons.keys_of(connection, [account_id]).get(account_id)
        return self._persons.open_text(key, place, sealed)

    def id_mark(self, id_number: str) -> bytes:
        """The blind index of an id number to store."""
        return self._persons.blind(TABLE, "id_mark", id_number)

    def id_marks(self, id_number: str) -> list[bytes]:
        """What may be stored of an id number."""
        return self._persons.candidates(TABLE, "id_mark", id_number)

    def identifier_key(self, identifier: str) -> bytes:
        """The blind index of an identifier, of whichever kind, to store."""
        return self._persons.blind("account_identifiers", "key", identifier)

    def identifier_keys(self, identifier: str) -> list[bytes]:
        """What may be stored of an identifier."""
        return self._persons.candidates("account_identifiers", "key", identifier)


def encode_validity(validity: Validity) -> str:
    """``2020-01-31/2040-01-31``; nothing stands for an end that is long-term."""
    return "/".join(day.isoformat() if day else "" for day in (validity.valid_from, validity.valid_to))


def parse_sealed(text: str) -> Validity | None:
    """What :func:`encode_validity` made; None for nothing."""
    if not text:
        return None
    start, _, end = text.partition("/")
    return parse_validity(start or None, end or None)


def parse_validity_message(message: identity_pb2.Validity, *, path: str = "validity") -> Validity:
    """The validity of a request.

    Raises:
        ServiceError: VALIDITY_INVALID.
    """
    return parse_validity(
        message.valid_from if message.WhichOneof("start") == "valid_from" else None,
        message.valid_to if message.WhichOneof("end") == "valid_to" else None,
        path=path,
    )


def to_validity_message(validity: Validity) -> identity_pb2.Validity:
    """As it travels."""
    message = identity_pb2.Validity()
    if validity.valid_from is None:
        message.from_long_term = True
    else:
        message.valid_from = validity.valid_from.isoformat()
    if validity.valid_to is None:
        message.long_term = True
    else:
        message.valid_to = validity.valid_to.isoformat()
    return message
