"""What this room serves."""

from __future__ import annotations

from cloud.approvals.desk import Approvals
from cloud.approvals.sealing import Sealer
from cloud.approvals.service import ApprovalService
from cloud.codes.desk import Codes
from cloud.objects.store import Objects
from cloud.pdf.preview import Previews
from cloud.seals.desk import Seals
from cloud.serving import Base, Served, served
from cloud.signers.room import Signers
from verifield.v1 import approval_service_pb2, approval_service_pb2_grpc


def services(
    base: Base, *, seals: Seals, objects: Objects, codes: Codes, signers: Signers, previews: Previews
) -> list[Served]:
    """The one service. ``previews``: those of this server."""
    desk = Approvals(seals, objects, codes, base.sources)
    sealer = Sealer(base.store, base.sources, signers, seals)
    return [
        served(
            approval_service_pb2,
            approval_service_pb2_grpc.add_ApprovalServiceServicer_to_server,
            ApprovalService(base, desk, sealer, previews=previews),
        )
    ]
