"""What this room serves, does by itself, and gives to others."""

from __future__ import annotations

from dataclasses import dataclass

from cloud.accounts.desk import Accounts
from cloud.authorities.bundle import Authorities
from cloud.escalations.port import TicketHandlers, TicketKind
from cloud.feed.vault import TaskVault
from cloud.serving import Base, Served, served
from cloud.upkeep import Job
from cloud.verifications.base import Desks
from cloud.verifications.ctid import CtidDesk
from cloud.verifications.desk import Verifications
from cloud.verifications.evidence import FaceEvidence
from cloud.verifications.holder import HolderMethods
from cloud.verifications.judge import Judge
from cloud.verifications.ledger import Ledger
from cloud.verifications.online import Online
from cloud.verifications.people import Staff
from cloud.verifications.sites import Sites
from cloud.verifications.staff import StaffMethods
from cloud.verifications.tickets import ElementsTickets
from cloud.verifications.upkeep import jobs
from verifield.v1 import identity_service_pb2, identity_service_pb2_grpc


class IdentityService(HolderMethods, StaffMethods):
    """Each method is in the class of those who call it."""

    def __init__(self, desks: Desks) -> None:
        self._desks = desks


@dataclass(frozen=True, slots=True)
class Room:
    """``verifications`` also watches accounts. ``tickets``: what it does about tickets, by kind."""

    verifications: Verifications
    evidence: FaceEvidence
    tickets: TicketHandlers
    services: list[Served]
    jobs: list[Job]


def open_room(
    base: Base, authorities: Authorities, accounts: Accounts, vault: TaskVault, *, simulated: bool = False
) -> Room:
    """``accounts`` need no watchers here. ``simulated``: whether simulated cameras count, for trials."""
    verifications = Verifications(accounts, base.sources)
    evidence = FaceEvidence(base.authority, base.sources, simulated=simulated)
    sites, staff = Sites(base.sources, vault), Staff(base.persons, base.sources)
    desks = Desks(
        base=base,
        authorities=authorities,
        verifications=verifications,
        online=Online(verifications, evidence),
        ctid=CtidDesk(verifications, base.persons),
        ledger=Ledger(verifications, staff),
        staff=staff,
        sites=sites,
    )
    return Room(
        verifications=verifications,
        evidence=evidence,
        tickets={TicketKind.FOUR_ELEMENTS: ElementsTickets(verifications, staff)},
        services=[
            served(
                identity_service_pb2,
                identity_service_pb2_grpc.add_IdentityServiceServicer_to_server,
                IdentityService(desks),
            )
        ],
        jobs=jobs(base.store, verifications, sites, Judge(verifications, simulated=simulated)),
    )
