"""What this room serves, and what it is for the review engine and for accounts."""

from __future__ import annotations

from pathlib import Path

from cloud.messages.outbox import Messages
from cloud.organisations.registry import Registry
from cloud.seals.desk import Seals
from cloud.seals.grants import Grants
from cloud.seals.handler import SealReviews
from cloud.seals.service import SealService
from cloud.seals.watcher import GrantWatcher
from cloud.seals.workshop import Workshop
from cloud.serving import Base, Served, served
from verifield.v1 import seal_service_pb2, seal_service_pb2_grpc


def make_seals(base: Base, registry: Registry) -> Seals:
    """For those who sign with seals; it keeps nothing, so that it may be made more than once."""
    return Seals(registry.organisations, registry.verifications, registry.objects, base.persons, base.sources)


def make_grants(base: Base, registry: Registry) -> Grants:
    """Who may use them."""
    return Grants(Workshop(registry), Messages.of(base))


def handler(base: Base, registry: Registry) -> SealReviews:
    """For the review engine: what happens to a seal with its review."""
    return SealReviews(Workshop(registry), Messages.of(base))


def watcher(base: Base, registry: Registry) -> GrantWatcher:
    """For accounts: what becomes of grants when one ends."""
    return GrantWatcher(make_grants(base, registry))


def services(base: Base, registry: Registry, *, font: Path | None) -> list[Served]:
    """Seals. ``font``: of those that are drawn here; None: the system's."""
    grants = make_grants(base, registry)
    return [
        served(
            seal_service_pb2,
            seal_service_pb2_grpc.add_SealServiceServicer_to_server,
            SealService(base, grants.workshop, grants, font=font),
        )
    ]
