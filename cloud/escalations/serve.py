"""The room of tickets, as it is wired."""

from __future__ import annotations

from cloud.escalations.desk import Escalations
from cloud.escalations.port import TicketHandlers
from cloud.escalations.service import EscalationService
from cloud.serving import Base, Served, served
from verifield.v1 import escalation_service_pb2, escalation_service_pb2_grpc


def make_desk(base: Base, handlers: TicketHandlers) -> Escalations:
    """``handlers`` is read at each use: it may be filled after this, by rooms that need the desk."""
    return Escalations(base.persons, base.sources, handlers)


def services(base: Base, escalations: Escalations) -> list[Served]:
    """EscalationService."""
    return [
        served(
            escalation_service_pb2,
            escalation_service_pb2_grpc.add_EscalationServiceServicer_to_server,
            EscalationService(base, escalations),
        )
    ]
