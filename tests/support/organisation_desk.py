"""The rooms of organisations and seals on a database, without a server: their own functions, and a clock.

room = OrganisationDesk(store, tmp_path)
organisation_id = room.verified(room.account())
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, select

from cloud.messages.outbox import Messages
from cloud.organisations.desk import Organisations
from cloud.organisations.handler import OrganisationReviews
from cloud.organisations.handover import Handover
from cloud.organisations.registry import Registry
from cloud.reviews.desk import Reviews
from cloud.reviews.port import Decision, Outcome, ReasonText, ReviewKind, Supplement, Task
from cloud.seals.desk import Seals
from cloud.seals.grants import Grants
from cloud.seals.handler import SealReviews
from cloud.seals.policy import Checked
from cloud.seals.workshop import Picture, Wanted, Workshop
from cloud.sources import to_us
from cloud.store import schema
from cloud.store import seals as seal_rows
from cloud.store.database import Store
from cloud.verifications.desk import Verifications
from tests.support.business import BusinessRoom, ToldReviews
from tests.support.organisations import new_uscc, ring
from tests.support.samples import jpeg
from verifield.v1 import organisation_service_pb2 as pb
from verifield.v1 import seal_service_pb2 as seal_pb

TABLES = (
    schema.organisations,
    schema.organisation_documents,
    schema.organisation_events,
    schema.seals,
    schema.seal_versions,
    schema.seal_grants,
    schema.seal_uses,
    schema.objects,
    schema.messages,
)
NO = Decision(Outcome.NOT_PASSED, (ReasonText("UNCLEAR", "unclear"),))
YES = Decision(Outcome.PASSED)


@dataclass
class Told(ToldReviews):
    """In the place of the review engine."""

    subjects: list[str] = field(default_factory=list)

    def open_task(self, connection: Connection, *, kind: ReviewKind, subject: str, **more: Any) -> str:
        self.subjects.append(subject)
        return super().open_task(connection, kind=kind, subject=subject, **more)

    def resubmitted(self, connection: Connection, subject: str, **_: Any) -> None:
        super().resubmitted(connection, subject)


class OrganisationDesk(BusinessRoom):
    """Accounts, files and the clock are those of the other rooms' bench."""

    def __init__(self, store: Store, folder: Path) -> None:
        super().__init__(store, folder)
        self.told = Told()
        self.registry = Registry(
            organisations=Organisations(self.persons),
            accounts=self.accounts,
            verifications=Verifications(self.accounts, self.sources),
            reviews=cast("Reviews", self.told),
            objects=self.objects,
            sources=self.sources,
            secret=bytes(32),
        )
        messages = Messages(self.persons, self.sources)
        self.handover = Handover(self.registry, messages)
        self.workshop = Workshop(self.registry)
        self.grants = Grants(self.workshop, messages)
        self.organisation_reviews = OrganisationReviews(self.registry, messages)
        self.seal_reviews = SealReviews(self.workshop, messages)
        self.seals = Seals(
            self.registry.organisations,
            self.registry.verifications,
            self.objects,
            self.persons,
            self.sources,
        )

    def registered(self, admin: str) -> str:
        """With its licence, and not handed in."""
        row = self.run(self.registry.register, caller=admin, name="示例有限公司")
        self.add_document(row.organisation_id, admin)
        return row.organisation_id

    def add_document(
        self,
        organisation_id: str,
        admin: str,
        kind: pb.OrganisationDocumentKind.ValueType = pb.ORGANISATION_DOCUMENT_KIND_LICENCE,
    ) -> Any:
        staged = self.objects.take(jpeg(), person_id=organisation_id)
        return self.run(self.registry.add_document, organisation_id, staged, caller=admin, kind=kind)

    def submit(self, organisation_id: str, admin: str, uscc: str = "") -> Any:
        elements = self.read(self.accounts.elements, admin)
        given = pb.OrganisationRealName(
            name="示例有限公司",
            uscc=uscc or new_uscc(),
            is_legal_representative=True,
            legal_representative=pb.LegalRepresentative(name=elements.name, id_number=elements.id_number),
        )
        return self.run(self.registry.submit, organisation_id, given, caller=admin)

    def verified(self, admin: str) -> str:
        """Through its review."""
        organisation_id = self.registered(admin)
        self.submit(organisation_id, admin)
        self.run(self.organisation_reviews.decided, self.organisation_task(organisation_id), YES)
        return organisation_id

    def organisation_task(self, organisation_id: str) -> Task:
        subject = f"organisations/{organisation_id}"
        return Task("task", ReviewKind.ORGANISATION_REAL_NAME, subject, organisation_id, 7)

    def seal_task(self, version_id: str) -> Task:
        return Task("task", ReviewKind.SEAL, f"seal_versions/{version_id}", "", 7)

    def new_seal(self, organisation_id: str, admin: str, seal_id: str = "") -> str:
        """Hand a picture in; the seal's id."""
        wanted = Wanted(organisation_id, seal_id, seal_pb.SEAL_KIND_OFFICIAL, "公章")
        picture = Picture(Checked(400, 400, seal_pb.SEAL_COLOUR_RED), 300, 300, seal_pb.SEAL_SOURCE_UPLOADED)
        staged = self.objects.take(ring(), person_id=organisation_id)
        row = self.run(self.workshop.submit, wanted, picture, staged, caller=admin)
        return row.seal_id  # type: ignore[no-any-return]

    def approved(self, organisation_id: str, admin: str) -> str:
        seal_id = self.new_seal(organisation_id, admin)
        self.run(self.seal_reviews.decided, self.seal_task(self.newest(seal_id)), YES)
        return seal_id

    def newest(self, seal_id: str) -> str:
        """The id of a seal's newest version."""
        return self.read(seal_rows.list_versions, seal_id)[-1].version_id

    def supplement(self, days: int = 3) -> Supplement:
        return Supplement(ReasonText("MORE", "more"), ("page two",), to_us(self.now) + days * 86_400_000_000)

    def dump(self) -> str:
        """A digest of all rows that these rooms may write."""
        with self.store.reading() as connection:
            rows = [sorted(map(repr, connection.execute(select(table)).all())) for table in TABLES]
        return hashlib.sha256(repr(rows).encode()).hexdigest()
