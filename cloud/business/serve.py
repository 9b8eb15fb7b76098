"""What this room serves, and what it is for the review engine."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from cloud.accounts.desk import Accounts
from cloud.business.catalog_service import CatalogService
from cloud.business.delegations import DelegationDesk
from cloud.business.desk import BusinessDesk
from cloud.business.guard import Guard
from cloud.business.handler import BusinessReviews
from cloud.business.personal import BusinessVault
from cloud.business.service import BusinessService
from cloud.business.watcher import BusinessWatcher
from cloud.messages.outbox import Messages
from cloud.objects.store import Objects
from cloud.reviews.desk import Reviews
from cloud.reviews.marks import Marker
from cloud.reviews.port import Applicant
from cloud.serving import Base, Served, served
from cloud.verifications.desk import Verifications
from verifield.v1 import (
    business_service_pb2,
    business_service_pb2_grpc,
    catalog_service_pb2,
    catalog_service_pb2_grpc,
)


def make_desk(
    base: Base, *, accounts: Accounts, verifications: Verifications, reviews: Reviews, objects: Objects
) -> BusinessDesk:
    """Requests; it keeps nothing, so that it may be made more than once."""
    return BusinessDesk(
        guard=Guard(accounts, verifications, base.sources),
        vault=BusinessVault(base.persons),
        reviews=reviews,
        objects=objects,
        sources=base.sources,
        applicant_of=applicants(accounts, Marker(base.authority.renewal_secret)),
    )


def handler(base: Base, desk: BusinessDesk) -> BusinessReviews:
    """For the review engine: what happens to a request with its review."""
    return BusinessReviews(desk, desk.guard.accounts, Messages.of(base))


def watcher(base: Base, desk: BusinessDesk) -> BusinessWatcher:
    """For accounts: what becomes of requests and delegations when one ends."""
    return BusinessWatcher(desk, DelegationDesk(desk.guard.accounts, base.sources))


def services(base: Base, desk: BusinessDesk) -> list[Served]:
    """Requests, delegations, and the catalogue of both."""
    return [
        served(
            business_service_pb2,
            business_service_pb2_grpc.add_BusinessServiceServicer_to_server,
            BusinessService(base, desk, DelegationDesk(desk.guard.accounts, base.sources)),
        ),
        served(
            catalog_service_pb2,
            catalog_service_pb2_grpc.add_CatalogServiceServicer_to_server,
            CatalogService(),
        ),
    ]


def applicants(accounts: Accounts, marker: Marker) -> Callable[[Connection, str], Applicant]:
    """What a reviewer could share with the holder of an account, as marks."""

    def applicant_of(connection: Connection, account_id: str) -> Applicant:
        personal = accounts.personal(connection, account_id)
        marks = (
            marker.id_number(personal.id_number) if personal.id_number else b"",
            marker.phone(personal.phone) if personal.phone else b"",
            marker.company(personal.organisation_name) if personal.organisation_name else b"",
            marker.company(personal.organisation_code) if personal.organisation_code else b"",
        )
        return Applicant(account_id, tuple(filter(None, marks)))

    return applicant_of
