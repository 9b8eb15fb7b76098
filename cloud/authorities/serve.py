"""What this room serves."""

from __future__ import annotations

from cloud.authorities.bundle import Authorities
from cloud.authorities.service import AuthorityService
from cloud.serving import Served, served
from verifield.v1 import authority_service_pb2, authority_service_pb2_grpc


def services(authorities: Authorities) -> list[Served]:
    """How the lines are; the questions themselves are asked by other rooms."""
    return [
        served(
            authority_service_pb2,
            authority_service_pb2_grpc.add_AuthorityServiceServicer_to_server,
            AuthorityService(authorities),
        )
    ]
