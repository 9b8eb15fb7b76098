"""The room of reviews, as it is wired."""

from __future__ import annotations

from collections.abc import Collection

from cloud.reviews.core import Core
from cloud.reviews.port import Handlers
from cloud.reviews.service import ReviewService
from cloud.reviews.upkeep import Count, Upkeep
from cloud.serving import Base, Served, served
from cloud.upkeep import Job
from verifield.v1 import review_service_pb2, review_service_pb2_grpc


def make_core(base: Base, handlers: Handlers) -> Core:
    """``handlers`` is read at each use: it may be filled after this, by rooms that need the core."""
    return Core(base.persons, base.sources, handlers, base.authority.renewal_secret)


def services(base: Base, core: Core, *, blind: Collection[str]) -> list[Served]:
    """``blind``: names of fields of the material that nobody sees but as a mask."""
    return [
        served(
            review_service_pb2,
            review_service_pb2_grpc.add_ReviewServiceServicer_to_server,
            ReviewService(base, core, blind=blind),
        )
    ]


def jobs(base: Base, core: Core, *, overdue: Count) -> list[Job]:
    """``overdue``: counts tasks whose time limit passed, by the name of their kind."""
    return Upkeep(core, base.store, overdue).jobs()
