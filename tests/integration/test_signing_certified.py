"""Who was certified and has changed since signs nothing until that is certified again."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from cloud.errors import Reason
from tests.support.accounts import as_account
from tests.support.certifications import certifying
from tests.support.cloud import running_cloud
from tests.support.signing import marks_for, read_all, refused_of, self_party, send, sign_with_code
from verifield.v1 import account_service_pb2, identity_pb2
from verifield.v1 import certification_service_pb2 as certification_pb
from verifield.v1 import signing_service_pb2 as pb
from verifield.v1.account_service_pb2_grpc import AccountServiceStub


@pytest.mark.req("R105")
def test_signing_is_blocked_from_a_change_of_the_identity_until_it_is_certified_again(tmp_path: Path) -> None:
    with running_cloud(tmp_path) as cloud, certifying(cloud) as office:
        applicant = office.applicant()
        who = applicant.signed_in
        first = applicant.submitted()
        office.decide(first)
        sign_with_code(cloud, who, send(cloud, who, [self_party()], marks_for(1)))

        waiting = send(cloud, who, [self_party()], marks_for(1))
        with as_account(cloud, who) as stubs:
            validity = identity_pb2.Validity(valid_from="2025-01-01", valid_to="2045-01-01")
            stubs(AccountServiceStub).UpdateIdentity(
                account_service_pb2.UpdateIdentityRequest(validity=validity)
            )
        status = applicant.status(first).application
        assert status.state == certification_pb.APPLICATION_STATE_RECERT_REQUIRED
        office.verify(who.account_id)  # the identity is verified again, what was certified is not
        read_all(cloud, who, waiting)
        code, refused = refused_of(
            cloud, who, "StartSigning", pb.StartSigningRequest(contract_id=waiting.contract_id)
        )
        assert (code, refused.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            Reason.CERTIFICATION_REQUIRED.value,
        )

        again = applicant.stub.Reapply(
            certification_pb.ReapplyRequest(application_id=first)
        ).application.application_id
        applicant.complete(again)
        applicant.submit(again)
        office.decide(again)
        cloud.clock.offset += timedelta(minutes=5)  # for another code
        assert sign_with_code(cloud, who, waiting).state == pb.SIGNING_STATE_SIGNED
