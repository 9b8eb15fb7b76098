"""What this room serves."""

from __future__ import annotations

from cloud.config import Config
from cloud.serving import Base, Served, served
from cloud.signers.checks import Checks, Trust
from cloud.signers.room import Signers
from cloud.signers.service import DocumentService
from verifield.documents import Limits
from verifield.v1 import document_service_pb2, document_service_pb2_grpc


def services(base: Base, config: Config, signers: Signers) -> list[Served]:
    """Checks of documents for everybody, and certificates for whoever keeps them."""
    checks = Checks(
        Trust(signers.root, signers.stamp_roots),
        base.sources,
        at_once=config.document_checks,
        limits=Limits(config.document_check_s, config.document_check_mib * 1024 * 1024),
    )
    return [
        served(
            document_service_pb2,
            document_service_pb2_grpc.add_DocumentServiceServicer_to_server,
            DocumentService(base.store, base.mutations, signers, checks),
        )
    ]
