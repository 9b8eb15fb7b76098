"""What this room serves."""

from __future__ import annotations

from cloud.attestations.bundles import Bundles
from cloud.contracts.desk import Contracts
from cloud.log.sequencer import Sequencer
from cloud.papers.fonts import Fonts
from cloud.reports.gather import Gatherer
from cloud.reports.make import Press
from cloud.reports.service import ReportService
from cloud.reports.tasks import TaskService
from cloud.serving import Base, Served, served
from cloud.signers.room import Signers
from cloud.verifications.desk import Verifications
from verifield.v1 import (
    report_service_pb2,
    report_service_pb2_grpc,
    task_service_pb2,
    task_service_pb2_grpc,
)


def services(
    base: Base,
    contracts: Contracts,
    verifications: Verifications,
    signers: Signers,
    *,
    bundles: Bundles,
    sequencer: Sequencer,
    fonts: Fonts | None,
) -> list[Served]:
    """Reports for parties, and documents for devices."""
    return [
        served(
            report_service_pb2,
            report_service_pb2_grpc.add_ReportServiceServicer_to_server,
            ReportService(
                base,
                Gatherer(contracts, verifications.accounts, verifications),
                Press(base.authority, signers.stamper, fonts),
                signers=signers.authority,
                bundles=bundles,
                sequencer=sequencer,
            ),
        ),
        served(
            task_service_pb2,
            task_service_pb2_grpc.add_TaskServiceServicer_to_server,
            TaskService(base.store, contracts),
        ),
    ]
