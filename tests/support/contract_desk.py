"""The room of contracts over a database, without a server: its own functions, and a clock to turn."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, select

from cloud.accounts.creation import Wanted, create
from cloud.accounts.desk import Accounts
from cloud.accounts.personal import Personal
from cloud.accounts.states import State as AccountState
from cloud.authority import Authority
from cloud.contracts.acts import Acts
from cloud.contracts.core import Core
from cloud.contracts.desk import Contracts
from cloud.contracts.drafts import Drafts
from cloud.contracts.sending import Sending
from cloud.contracts.serve import make_core
from cloud.contracts.shelf import Shelf
from cloud.mutations import Mutations
from cloud.objects.files import ObjectFolder
from cloud.objects.store import Objects
from cloud.pdf.fields import Place
from cloud.pdf.intake import check_document
from cloud.persons import Persons
from cloud.privacy.ring import KeyRing
from cloud.serving import Base
from cloud.sources import Sources, to_us
from cloud.store import schema
from cloud.store import verifications as identity_rows
from cloud.store.contracts import ContractRow
from cloud.store.database import Store, StoreOptions
from cloud.store.verifications import IdentityRow
from cloud.verifications.desk import Verifications
from tests.support import pdf_samples
from tests.support.accounts import Citizen, new_citizen
from tests.support.contracts import NoOrganisations, mark, myself
from verifield.v1 import contract_service_pb2 as pb

T = TypeVar("T")
START = datetime(2026, 11, 2, 8, tzinfo=UTC)
TABLES = [
    one for one in schema.metadata.sorted_tables if one.name.startswith(("contract", "objects", "messages"))
]
CONTENT = pdf_samples.plain()
DOCUMENT = check_document(CONTENT)


class Stands:
    """In the place of the platform's certificate: what is frozen only has another digest."""

    def freeze(self, content: bytes, places: Sequence[Place]) -> bytes:
        return content + b"%%frozen with %d fields" % len(places)


@dataclass
class Bench:
    """``clock``: what time it is, at "at"."""

    store: Store
    base: Base
    core: Core
    sending: Sending
    clock: dict[str, datetime]

    def __post_init__(self) -> None:
        self.drafts, self.acts, self.shelf = Drafts(self.core), Acts(self.core), Shelf(self.core)
        self.desk = Contracts(self.core)

    def run(self, work: Callable[[Connection], T]) -> T:
        return self.store.run(work)

    def account(self) -> tuple[str, Citizen]:
        """An active, verified account of somebody new."""
        account_id, person = self.base.sources.uuid7(), new_citizen()
        personal = Personal(
            name=person.name,
            id_number=person.id_number,
            phone=person.phone,
            validity=type(person.validity)(date(2020, 1, 2), date(2040, 1, 2)),
        )
        now_us = to_us(self.clock["at"])

        def work(connection: Connection) -> None:
            wanted = Wanted(account_id, personal, AccountState.ACTIVE)
            create(connection, self.core.accounts, self.base.sources, wanted)
            row = IdentityRow(
                account_id, elements_us=now_us, verification_id="v", method=2, verified_us=now_us
            )
            identity_rows.put_identity(connection, row)

        self.run(work)
        return account_id, person

    def begin(self, account_id: str, other: Citizen) -> str:
        """A draft of two who sign, with a mark for each."""
        contract_id = self.base.sources.uuid7()
        staged = self.core.objects.stage(CONTENT, person_id=contract_id, media_type="application/pdf")
        person = pb.PartyPerson(name=other.name, phone=other.phone)
        header = pb.ContractHeader(
            flow=pb.CONTRACT_FLOW_STANDARD,
            details=pb.ContractDetails(title="A lease"),
            parties=[myself(), pb.NewParty(person=person, role=pb.CONTRACT_PARTY_ROLE_SIGNER)],
        )

        def work(connection: Connection) -> None:
            self.drafts.create(connection, account_id, contract_id, header, document=DOCUMENT, staged=staged)
            self.drafts.place_marks(connection, account_id, contract_id, [mark(1), mark(2)], etag="")

        self.run(work)
        return contract_id

    def send(self, account_id: str, contract_id: str) -> None:
        """Both steps of it."""
        with self.store.reading() as connection:
            prepared = self.sending.prepare(connection, account_id, contract_id)
        content = self.sending.freezer.freeze(prepared.content, prepared.places)
        staged = self.core.objects.stage(content, person_id=contract_id, media_type="application/pdf")
        self.run(lambda connection: self.sending.commit(connection, account_id, prepared, staged))

    def read(self, connection: Connection, account_id: str, contract_id: str) -> None:
        row = self.core.find(connection, contract_id, lock=True)
        party = self.core.party_of(connection, row, account_id)
        if party is not None and row.state in (pb.CONTRACT_STATE_SENT, pb.CONTRACT_STATE_PARTIALLY_SIGNED):
            self.acts.seen(connection, row, party, 1)
        self.acts.mark_read(connection, account_id, contract_id, row.document_sha256 or b"")

    def sign(self, connection: Connection, account_id: str, contract_id: str, revision: Any) -> None:
        row = self.desk.hold(connection, contract_id)
        party = self.desk.party_of(connection, row, account_id)
        party = self.desk.authenticated(connection, row, party, account_id=account_id)
        row = self.desk.hold(connection, contract_id)
        self.desk.signed(
            connection,
            row,
            party,
            account_id=account_id,
            before_sha256=row.revision_sha256 or b"",
            revision=revision,
            field_names=[one.field_name for one in self.desk.marks(connection, row, party)],
            final=self.desk.is_last(connection, row, party),
        )

    def row(self, contract_id: str) -> ContractRow:
        with self.store.reading() as connection:
            return self.core.find(connection, contract_id)

    def dump(self) -> dict[str, list[Any]]:
        """Every row of the room."""
        with self.store.reading() as connection:
            return {
                table.name: sorted(map(repr, connection.execute(select(table)).all())) for table in TABLES
            }


@contextmanager
def open_bench(url: str, folder: Path) -> Iterator[Bench]:
    """Over a migrated database; keys and files in ``folder``."""
    clock = {"at": START}
    sources = Sources(now=lambda: clock["at"], random_bytes=os.urandom)
    authority = Authority.open(folder, server_names=(), now=START)
    store = Store.open(url, StoreOptions(require_durable=False))
    try:
        ring = KeyRing.open(folder / "keys", now_us=to_us(START), random_bytes=os.urandom)
        persons = Persons(ring, sources)
        mutations = Mutations(store, sources, secret=authority.renewal_secret)
        base = Base(store, sources, authority, persons, mutations)
        accounts = Accounts(persons, sources)
        core = make_core(
            base,
            accounts=accounts,
            identities=Verifications(accounts, sources),
            organisations=NoOrganisations(),
            objects=Objects(ObjectFolder(folder / "objects"), persons, sources),
            links="verifield://contracts/",
            zone="Asia/Shanghai",
        )
        yield Bench(store, base, core, Sending(core, Stands(), store, mutations), clock)
    finally:
        store.close()
