"""The room of certifications, as it is wired."""

from __future__ import annotations

from dataclasses import dataclass

from cloud.accounts.desk import Accounts
from cloud.certifications.archive import ArchiveService
from cloud.certifications.badges import Badges
from cloud.certifications.catalogue import Catalogue
from cloud.certifications.core import Core, Identities
from cloud.certifications.desk import Desk
from cloud.certifications.handler import CertificationHandler
from cloud.certifications.limiter import Limiter
from cloud.certifications.periodic import PeriodicReview
from cloud.certifications.results import Results
from cloud.certifications.service import CertificationService
from cloud.certifications.standing import CertificationWatcher, Standings
from cloud.certifications.vault import Vault
from cloud.messages.outbox import Messages
from cloud.objects.store import Objects
from cloud.papers.render import Fonts
from cloud.reviews.core import Core as ReviewCore
from cloud.reviews.desk import Reviews
from cloud.reviews.marks import Marker
from cloud.serving import Base, Served, served
from cloud.upkeep import Job
from verifield.v1 import (
    archive_service_pb2,
    archive_service_pb2_grpc,
    certification_service_pb2,
    certification_service_pb2_grpc,
)

LOOK_EVERY_S = 900.0
"""A round of the day that was done costs one look at a row."""


@dataclass(frozen=True, slots=True)
class Room:
    """What others may ask of it: ``standings`` whoever lets somebody sign, ``watcher`` the accounts."""

    desk: Desk
    standings: Standings
    watcher: CertificationWatcher
    periodic: PeriodicReview


def make_core(
    base: Base,
    *,
    accounts: Accounts,
    identities: Identities,
    objects: Objects,
    fonts: Fonts | None = None,
) -> Core:
    """It keeps nothing, so that it may be made more than once. ``fonts``: None for those that are found."""
    vault = Vault(base.persons)
    return Core(
        sources=base.sources,
        accounts=accounts,
        identities=identities,
        objects=objects,
        messages=Messages.of(base),
        catalogue=Catalogue(base.sources),
        badges=Badges(base.authority, vault, base.sources),
        vault=vault,
        fonts=fonts,
    )


def make_handler(core: Core) -> CertificationHandler:
    """For reviews of the kind CERTIFICATION."""
    return CertificationHandler(core, Results(core))


def make_room(base: Base, core: Core, reviews: ReviewCore) -> Room:
    """``reviews``: the one that has the handler of this room."""
    marker = Marker(base.authority.renewal_secret)
    desk = Desk(core, Limiter(base.sources), Reviews(reviews), marker)
    return Room(desk, Standings(core), CertificationWatcher(core, desk), PeriodicReview(core, base.store))


def services(base: Base, room: Room) -> list[Served]:
    """Both services."""
    return [
        served(
            certification_service_pb2,
            certification_service_pb2_grpc.add_CertificationServiceServicer_to_server,
            CertificationService(base.store, room.desk, room.standings, room.periodic, base.mutations),
        ),
        served(
            archive_service_pb2,
            archive_service_pb2_grpc.add_ArchiveServiceServicer_to_server,
            ArchiveService(base.store, room.desk),
        ),
    ]


def jobs(room: Room) -> list[Job]:
    """The periodic review."""
    return [Job("certifications", room.periodic.job, every_s=LOOK_EVERY_S)]
