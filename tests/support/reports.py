"""Evidence reports over a running service, and what can be done to one."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from typing import Any

from cryptography import x509

from tests.support.accounts import SignedIn, as_account
from tests.support.cloud import RunningCloud
from verifield.certificates import load_roots
from verifield.reports import CheckedReport, check_report
from verifield.v1 import report_service_pb2 as pb
from verifield.v1.report_service_pb2_grpc import ReportServiceStub

TIMEOUT_S = 60.0


def get_report(
    cloud: RunningCloud, who: SignedIn, contract_id: str, **more: Any
) -> tuple[bytes, pb.GetEvidenceReportResponse]:
    """The file, and what came with its first piece."""
    request = pb.GetEvidenceReportRequest(contract_id=contract_id, **more)
    with as_account(cloud, who) as stub:
        parts = list(stub(ReportServiceStub).GetEvidenceReport(request, timeout=TIMEOUT_S))
    return b"".join(part.chunk for part in parts), parts[0]


def roots_of(cloud: RunningCloud) -> Sequence[x509.Certificate]:
    return load_roots(cloud.root_pem)


def checked(report: bytes, roots: Sequence[x509.Certificate], contract: bytes | None = None) -> CheckedReport:
    return check_report(io.BytesIO(report), roots=roots, contract=contract)


def unpacked(report: bytes) -> dict[str, bytes]:
    """The files of a report, by name."""
    with zipfile.ZipFile(io.BytesIO(report)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(files: dict[str, bytes]) -> bytes:
    """A report of these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()
