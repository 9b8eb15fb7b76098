"""A new account: of somebody who registers, or of an earlier system."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import Connection

from cloud.accounts.desk import Accounts, taken
from cloud.accounts.identifiers import parse_login_name
from cloud.accounts.personal import Personal
from cloud.accounts.states import State
from cloud.api.rules import refuse_field
from cloud.codes.phones import parse_phone
from cloud.elements import Validity, parse_id_number, parse_name
from cloud.errors import FieldViolation, Reason, ServiceError
from cloud.privacy.normal import normal_email, normal_id_number
from cloud.sources import Sources, to_us
from cloud.store import accounts as rows
from cloud.store.accounts import AccountRow
from verifield.v1 import account_service_pb2 as pb

DEFAULT_LANGUAGE = "zh"

_CODE_CHARS = 18
_EMAIL = re.compile(r"[^@\s]{1,64}@[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+")
_CODE_DIGITS = "0123456789ABCDEFGHJKLMNPQRTUWXY"


@dataclass(frozen=True, slots=True, repr=False)
class Wanted:
    """``personal`` in the one form of each value."""

    account_id: str
    personal: Personal
    state: State
    subject_type: int = pb.SUBJECT_TYPE_PERSON
    source: int = pb.ACCOUNT_SOURCE_NEW
    language: str = DEFAULT_LANGUAGE
    prefers: int = pb.CONTACT_CHANNEL_SMS


def parse_personal(
    request: pb.RegisterRequest | pb.SyncedAccount, validity: Validity | None, *, email: str = ""
) -> Personal:
    """What belongs to the person, each value in its one form.

    Raises:
        ServiceError: NAME_INVALID, ID_NUMBER_INVALID, PHONE_INVALID, LOGIN_NAME_INVALID,
            ORGANISATION_CODE_INVALID.
    """
    return Personal(
        name=parse_name(request.name),
        id_number=parse_id_number(request.id_number),
        phone=parse_phone(request.phone),
        email=parse_email(email),
        login_name=parse_login_name(request.login_name) if request.login_name else "",
        organisation_name=" ".join(request.organisation_name.split()),
        organisation_code=parse_organisation_code(request.organisation_code),
        validity=validity,
    )


def parse_email(text: str, *, path: str = "email") -> str:
    """An address in its one form; empty for nothing. Whether mail arrives there, only mail can tell.

    Raises:
        ServiceError: REQUEST_INVALID.
    """
    address = normal_email(text)
    if address and not _EMAIL.fullmatch(address):
        refuse_field(path, rule="email", why="is no address for mail")
    return address


def parse_organisation_code(text: str) -> str:
    """A unified social credit code (GB 32100) in its one form; empty for nothing.

    Raises:
        ServiceError: ORGANISATION_CODE_INVALID.
    """
    code = normal_id_number(text)
    if code and not _is_credit_code(code):
        told = "This is no unified social credit code."
        violation = FieldViolation("organisation_code", "CREDIT_CODE", told)
        raise ServiceError(Reason.ORGANISATION_CODE_INVALID, told, violations=(violation,))
    return code


def _is_credit_code(code: str) -> bool:
    """Whether the last character fits the others (GB 32100, MOD 31 with weights 3**n)."""
    if len(code) != _CODE_CHARS or any(char not in _CODE_DIGITS for char in code):
        return False
    total = sum(_CODE_DIGITS.index(char) * pow(3, place, 31) for place, char in enumerate(code[:-1]))
    return _CODE_DIGITS[-total % 31] == code[-1]


def create(connection: Connection, accounts: Accounts, sources: Sources, wanted: Wanted) -> AccountRow:
    """Add an account, and what it is found by.

    Raises:
        ServiceError: ACCOUNT_EXISTS, ACCOUNT_PHONE_TAKEN, LOGIN_NAME_TAKEN, PERSON_ERASED.
    """
    personal, account_id, now_us = wanted.personal, wanted.account_id, to_us(sources.now())
    accounts.claim(connection, [value for _, value in identifiers_of(personal)])
    if accounts.find_live(connection, personal.id_number) is not None:
        raise taken(pb.IDENTIFIER_KIND_ID_NUMBER)
    key = accounts.vault.key_of(connection, account_id)
    sealed = accounts.vault.seal(key, account_id, personal)
    row = AccountRow(
        account_id=account_id,
        state=wanted.state,
        subject_type=wanted.subject_type or pb.SUBJECT_TYPE_PERSON,
        source=wanted.source,
        **sealed,
        id_mark=accounts.vault.id_mark(personal.id_number),
        language=wanted.language or DEFAULT_LANGUAGE,
        prefers=wanted.prefers or pb.CONTACT_CHANNEL_SMS,
        facial_image_id=None,
        filing_allowed=False,
        filing_from_us=None,
        filing_until_us=None,
        end_reason=0,
        created_us=now_us,
        updated_us=now_us,
        state_us=now_us,
        version=1,
    )
    if not rows.add_account(connection, row):  # another transaction was faster
        raise taken(pb.IDENTIFIER_KIND_ID_NUMBER)
    for kind, value in identifiers_of(personal):
        accounts.put_identifier(connection, key, account_id, kind, value)
    return row


def identifiers_of(personal: Personal) -> list[tuple[pb.IdentifierKind.ValueType, str]]:
    """What an account is found by."""
    kinds = (
        (pb.IDENTIFIER_KIND_ID_NUMBER, personal.id_number),
        (pb.IDENTIFIER_KIND_PHONE, personal.phone),
        (pb.IDENTIFIER_KIND_LOGIN_NAME, personal.login_name),
    )
    return [(kind, value) for kind, value in kinds if value]
