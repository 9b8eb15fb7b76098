"""What this room serves, and what it is for the review engine and for accounts."""

from __future__ import annotations

from cloud.accounts.desk import Accounts
from cloud.messages.outbox import Messages
from cloud.objects.store import Objects
from cloud.organisations.desk import Organisations
from cloud.organisations.handler import OrganisationReviews
from cloud.organisations.registry import Registry
from cloud.organisations.service import MayAct, OrganisationService
from cloud.organisations.watcher import OrganisationWatcher
from cloud.reviews.desk import Reviews
from cloud.serving import Base, Served, served
from cloud.verifications.desk import Verifications
from verifield.v1 import organisation_service_pb2, organisation_service_pb2_grpc


def make_registry(
    base: Base, *, accounts: Accounts, verifications: Verifications, reviews: Reviews, objects: Objects
) -> Registry:
    """Organisations; it keeps nothing, so that it may be made more than once."""
    return Registry(
        organisations=Organisations(base.persons),
        accounts=accounts,
        verifications=verifications,
        reviews=reviews,
        objects=objects,
        sources=base.sources,
        secret=base.authority.renewal_secret,
    )


def handler(base: Base, registry: Registry) -> OrganisationReviews:
    """For the review engine: what happens to an organisation with its review."""
    return OrganisationReviews(registry, Messages.of(base))


def watcher(registry: Registry) -> OrganisationWatcher:
    """For accounts: what becomes of organisations with their administrator."""
    return OrganisationWatcher(registry)


def services(base: Base, registry: Registry, *, may_act: MayAct) -> list[Served]:
    """Organisations. ``may_act``: cloud.seals.desk.Seals.may_act."""
    return [
        served(
            organisation_service_pb2,
            organisation_service_pb2_grpc.add_OrganisationServiceServicer_to_server,
            OrganisationService(base, registry, may_act=may_act),
        )
    ]
