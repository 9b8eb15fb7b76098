"""Accounts of a running service for tests: made in its database, active and signed in, in some milliseconds.

signed_in = registered(cloud)
with as_account(cloud, signed_in) as stub:
    stub(AccountServiceStub).GetProfile(account_service_pb2.GetProfileRequest())
"""

from __future__ import annotations

import io
import itertools
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache
from typing import Any, TypeVar

import grpc
from argon2 import PasswordHasher
from PIL import Image
from sqlalchemy import Connection

from cloud.access.call import Call
from cloud.accounts.creation import Wanted, create
from cloud.accounts.desk import Accounts
from cloud.accounts.passwords import normal_password
from cloud.accounts.personal import Personal, to_validity_message
from cloud.accounts.sessions import Sessions
from cloud.accounts.states import State
from cloud.elements import FourElements, Validity
from cloud.persons import Persons
from cloud.privacy.ring import KeyRing
from cloud.sources import Sources, to_us
from cloud.store import account_sessions
from cloud.store.database import Store, StoreOptions
from tests.support.cloud import RunningCloud
from tests.support.people import bearer
from verifield.v1 import account_service_pb2 as pb

T = TypeVar("T")
TIMEOUT_S = 20.0
PASSWORD = "sieben-Kamele-7"
_CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
_NUMBERS = itertools.count(1)
_CARD = Validity(date(2020, 1, 2), date(2040, 1, 2))
_FAMILY, _GIVEN = "王李张刘陈杨赵黄周吴", "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超霞平"


@dataclass(frozen=True)
class Citizen:
    """A synthetic person; no two of a test process are equal."""

    name: str
    id_number: str
    phone: str
    validity: Validity = _CARD
    email: str = ""
    login_name: str = ""
    organisation_name: str = ""
    organisation_code: str = ""

    @property
    def elements(self) -> FourElements:
        return FourElements(self.name, self.id_number, self.validity)


def new_citizen(**changes: Any) -> Citizen:
    """Somebody new, who does not exist: the order code and the number count up.

    No telephone is one of ``tests.support.authorities.somebody``, which have a 0 where these have a 1.
    """
    number = next(_NUMBERS)
    made = Citizen(
        name=_FAMILY[number % 10] + _GIVEN[number % 19] + _GIVEN[number // 19 % 19],
        id_number=new_id_number(number),
        phone=f"+861381{number:07d}",
    )
    return replace(made, **changes)


def new_id_number(number: int) -> str:
    """A number with a good check digit, of the region 110101."""
    day = date.fromordinal(date(1970, 1, 1).toordinal() + number // 999 % 12000)
    first = f"110101{day:%Y%m%d}{number % 999 + 1:03d}"
    total = sum(int(digit) * (1 << (17 - place)) for place, digit in enumerate(first))
    return first + "10X98765432"[total % 11]


@dataclass(frozen=True)
class SignedIn:
    account_id: str
    token: str = field(repr=False)
    person: Citizen

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return bearer(self.token)


def registered(
    cloud: RunningCloud,
    person: Citizen | None = None,
    *,
    state: State = State.ACTIVE,
    password: str = PASSWORD,
    **wanted: Any,
) -> SignedIn:
    """An account with a session; ``wanted``: fields of cloud.accounts.creation.Wanted."""
    person = person or new_citizen()
    account_id, token = in_database(
        cloud, lambda connection, room: room.add(connection, person, state, password, wanted)
    )
    return SignedIn(account_id, token, person)


def register_request(person: Citizen, **changes: Any) -> pb.RegisterRequest:
    """What somebody sends who registers."""
    request = pb.RegisterRequest(
        name=person.name,
        id_number=person.id_number,
        validity=to_validity_message(person.validity),
        phone=person.phone,
        facial_image=face_picture(),
        password=PASSWORD,
        login_name=person.login_name,
        email=person.email,
        organisation_name=person.organisation_name,
        organisation_code=person.organisation_code,
    )
    for name, value in changes.items():
        setattr(request, name, value)
    return request


@cache
def face_picture() -> bytes:
    """A small JPEG; nobody looks at it here."""
    content = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 170, 150)).save(content, "JPEG")
    return content.getvalue()


def sign_in(cloud: RunningCloud, signed_in: SignedIn) -> SignedIn:
    """Another session of an account."""
    token = in_database(
        cloud, lambda connection, room: room.sessions.begin(connection, signed_in.account_id, _call()).token
    )
    return replace(signed_in, token=token)


def in_database(cloud: RunningCloud, work: Callable[[Connection, Room], T]) -> T:
    """Do something in one transaction beside the service, with the room's own functions."""
    store = Store.open(cloud.database_url, StoreOptions(require_durable=False))
    try:
        room = open_room(store, cloud)
        return store.run(lambda connection: work(connection, room))
    finally:
        store.close()


@dataclass(frozen=True)
class Room:
    """What the room is made of, over the service's keys."""

    persons: Persons
    sources: Sources
    accounts: Accounts
    sessions: Sessions

    def add(
        self, connection: Connection, person: Citizen, state: State, password: str, wanted: dict[str, Any]
    ) -> tuple[str, str]:
        account_id = self.sources.uuid7()
        names = Personal.__dataclass_fields__
        personal = Personal(**{name: getattr(person, name) for name in names})
        create(connection, self.accounts, self.sources, Wanted(account_id, personal, state, **wanted))
        if state is not State.SYNCED_INACTIVE:
            now_us = to_us(self.sources.now())
            hashed = _CHEAP.hash(normal_password(password))
            account_sessions.put_credential(
                connection, account_sessions.CredentialRow(account_id, hashed, now_us)
            )
        return account_id, self.sessions.begin(connection, account_id, _call()).token


def open_room(store: Store, cloud: RunningCloud) -> Room:
    sources = Sources(now=cloud.clock.now, random_bytes=secrets.token_bytes)
    ring = KeyRing.open(cloud.data / "keys", now_us=to_us(sources.now()), random_bytes=sources.random_bytes)
    persons = Persons(ring, sources)
    return Room(persons, sources, Accounts(persons, sources), Sessions(store, persons, sources))


@contextmanager
def as_account(cloud: RunningCloud, signed_in: SignedIn | None) -> Iterator[Callable[[Any], Any]]:
    """Makes stubs whose calls carry the session's token; None: nobody's. On the public port."""
    with cloud.public_channel() as channel:
        held = _with_metadata(channel, signed_in.metadata) if signed_in else channel
        yield lambda stub: stub(held)


def _with_metadata(channel: grpc.Channel, metadata: Sequence[tuple[str, str]]) -> grpc.Channel:
    return grpc.intercept_channel(channel, _Adds(tuple(metadata)))


class _Adds(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Adds metadata to every call, and a time-out where there is none."""

    def __init__(self, metadata: tuple[tuple[str, str], ...]) -> None:
        self._metadata = metadata

    def _go_on(self, continuation: Any, details: Any, request: Any) -> Any:
        timeout = details.timeout if details.timeout is not None else TIMEOUT_S
        changed = details._replace(metadata=(*(details.metadata or ()), *self._metadata), timeout=timeout)
        return continuation(changed, request)

    intercept_unary_unary = _go_on
    intercept_unary_stream = _go_on
    intercept_stream_unary = _go_on
    intercept_stream_stream = _go_on


def _call() -> Call:
    return Call(method="/verifield.v1.AccountService/Login", peer="ipv4:127.0.0.1:1")


__all__ = [
    "PASSWORD",
    "Citizen",
    "Room",
    "SignedIn",
    "as_account",
    "face_picture",
    "in_database",
    "new_citizen",
    "open_room",
    "pb",
    "register_request",
    "registered",
    "sign_in",
]
