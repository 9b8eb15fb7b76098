"""What this room serves."""

from __future__ import annotations

from cloud.rulebook.desk import OnPublished
from cloud.rulebook.service import RulebookService
from cloud.serving import Base, Served, served
from verifield.v1 import rulebook_service_pb2, rulebook_service_pb2_grpc


def services(base: Base, *, on_published: tuple[OnPublished, ...] = ()) -> list[Served]:
    """``on_published``: who is told of each change of the rules, in its transaction."""
    return [
        served(
            rulebook_service_pb2,
            rulebook_service_pb2_grpc.add_RulebookServiceServicer_to_server,
            RulebookService(base, on_published),
        )
    ]
