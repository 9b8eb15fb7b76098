"""From nothing to a badge over gRPC alone: registration, application, review, result."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from cryptography import x509

from tests.integration.test_identity_journeys import open_room, register
from tests.support.accounts import as_account
from tests.support.authorities import somebody
from tests.support.certifications import Applicant, certifying, refused
from tests.support.spool import wait_for
from verifield.badge import check_badge
from verifield.v1 import certification_service_pb2 as pb
from verifield.v1.certification_service_pb2_grpc import CertificationServiceStub


@pytest.mark.req("R082")
def test_the_four_phases(tmp_path: Path, database_url: str) -> None:
    person = somebody(1)
    with open_room(tmp_path, person, database=database_url) as room:
        me = register(room, person)
        with certifying(room.cloud) as office, as_account(room.cloud, me.holder.signed_in) as stubs:
            applicant = Applicant(me.holder.signed_in, stubs(CertificationServiceStub))
            request = pb.CreateApplicationRequest(type_code="PERSONAL")
            code, info = refused(applicant.stub.CreateApplication, request)
            assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ACCOUNT_NOT_ACTIVE")
            assert me.take_code(me.code) == ""
            me.holder.verify_elements()
            me.holder.verify_face()
            application_id = applicant.submitted()
            office.decide(application_id)
            status = applicant.status(application_id)
            assert status.result.outcome == pb.RESULT_OUTCOME_PASSED
            wait_for(room.cloud, 1, to=person.phone, template="certification_passed")
            badge = applicant.stub.GetBadge(pb.GetBadgeRequest(application_id=application_id)).badge
            roots = x509.load_pem_x509_certificates(room.cloud.root_pem)
            assert check_badge(badge, roots=roots, at=datetime.now(UTC)).badge.type_code == "PERSONAL"
