"""What operators see of organisations, seals and approvals on the command line: metadata alone."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from cloud.cli import app as commands
from tests.support.accounts import SignedIn, as_account, registered
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.identity import verified
from tests.support.organisations import approved_seal, verified_organisation
from tests.support.samples import pdf
from verifield.v1 import approval_service_pb2 as approval_pb
from verifield.v1 import organisation_service_pb2 as org_pb
from verifield.v1.approval_service_pb2_grpc import ApprovalServiceStub
from verifield.v1.organisation_service_pb2_grpc import OrganisationServiceStub


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("cloud") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def admin(cloud: RunningCloud) -> SignedIn:
    signed_in = registered(cloud)
    verified(cloud, signed_in)
    return signed_in


@pytest.fixture(scope="module")
def organisation_id(cloud: RunningCloud, admin: SignedIn) -> str:
    return verified_organisation(cloud, admin)


@pytest.fixture(scope="module")
def seal_id(cloud: RunningCloud, admin: SignedIn, organisation_id: str) -> str:
    return approved_seal(cloud, admin, organisation_id)


def run(cloud: RunningCloud, *words: str) -> str:
    result = CliRunner().invoke(commands, [*words, "--data", str(cloud.data)])
    assert result.exit_code == 0, result.output
    return result.stdout


def told(cloud: RunningCloud, *words: str) -> Any:
    return json.loads(run(cloud, *words, "--json"))


def test_organisations_are_listed_and_shown(
    cloud: RunningCloud, admin: SignedIn, organisation_id: str
) -> None:
    other = registered(cloud)
    with as_account(cloud, other) as stubs:
        request = org_pb.RegisterOrganisationRequest(name="另一家有限公司")
        waiting = stubs(OrganisationServiceStub).RegisterOrganisation(request).organisation.organisation_id
    listed = told(cloud, "organisations", "list", "--state", "verified")["organisations"]
    assert [one["organisation_id"] for one in listed] == [organisation_id]
    own = told(cloud, "organisations", "list", "--account", other.account_id)["organisations"]
    assert [one["organisation_id"] for one in own] == [waiting]
    assert organisation_id in run(cloud, "organisations", "list")
    shown = told(cloud, "organisations", "show", waiting)
    assert [step["event"] for step in shown["timeline"]] == ["REGISTERED"]
    assert "另一家" not in json.dumps(shown, ensure_ascii=False)
    assert "REGISTERED" in run(cloud, "organisations", "show", waiting)


def test_seals_are_listed_and_shown_with_their_pictures(
    cloud: RunningCloud, organisation_id: str, seal_id: str, tmp_path: Path
) -> None:
    listed = told(cloud, "seals", "list", "--state", "approved", "--organisation", organisation_id)["seals"]
    assert [one["seal_id"] for one in listed] == [seal_id]
    [version] = told(cloud, "seals", "show", seal_id)["versions"]
    assert (version["source"], version["size_mm"], version["colour"]) == ("UPLOADED", [30.0, 30.0], "RED")
    assert seal_id in run(cloud, "seals", "list")
    assert "APPROVED" in run(cloud, "seals", "show", seal_id)
    out = tmp_path / "seal.png"
    told(cloud, "seals", "image", seal_id, "1", "--out", str(out))
    assert Image.open(io.BytesIO(out.read_bytes())).size == (400, 400)


def test_approvals_are_listed_and_shown(cloud: RunningCloud, admin: SignedIn, organisation_id: str) -> None:
    content = pdf("批复")
    with as_account(cloud, admin) as stubs:
        header = approval_pb.UploadApprovalHeader(
            organisation_id=organisation_id, title="批复", sha256=hashlib.sha256(content).digest()
        )
        parts = [
            approval_pb.UploadApprovalRequest(header=header),
            approval_pb.UploadApprovalRequest(content=content),
        ]
        made = stubs(ApprovalServiceStub).UploadApproval(iter(parts)).approval
    listed = told(cloud, "approvals", "list", "--state", "open", "--organisation", organisation_id)
    assert [one["approval_id"] for one in listed["approvals"]] == [made.approval_id]
    shown = told(cloud, "approvals", "show", made.approval_id)
    assert (shown["pages"], shown["signatures"]) == (1, [])
    assert "批复" not in json.dumps(shown, ensure_ascii=False)
    assert made.approval_id in run(cloud, "approvals", "list")
    assert "OPEN" in run(cloud, "approvals", "show", made.approval_id)


@pytest.mark.parametrize("words", [("organisations", "list"), ("seals", "list"), ("approvals", "list")])
def test_a_state_that_there_is_not_is_a_wrong_use(cloud: RunningCloud, words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(commands, [*words, "--state", "nonsense", "--data", str(cloud.data)])
    assert result.exit_code == 2
