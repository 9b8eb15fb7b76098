"""What a person leaves at sites, in answers and in contracts, once they are erased or their account ends."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from cloud.cli import app as commands
from cloud.commands.keys import sealed_tables
from cloud.signatures.states import State
from cloud.store import schema
from cloud.store.sealed import forget_person
from tests.integration.test_accounts_registration import centre
from tests.integration.test_approvals_run import member, person
from tests.integration.test_signing_offline import handed_out, submit_refused, taken, tasks
from tests.support.accounts import SignedIn, in_database
from tests.support.cloud import CloudDevice, FakeClock, RunningCloud
from tests.support.final import signing_cloud
from tests.support.identity import running_identity
from tests.support.offices import Offices
from tests.support.organisations import approved_seal, grant_seal, verified_organisation
from tests.support.samples import pdf
from tests.support.signing import begin, contracts, open_invitation, sent_contract, signer_of, signing
from verifield.v1 import account_service_pb2, approval_service_pb2, seal_service_pb2
from verifield.v1 import contract_service_pb2 as contract_pb
from verifield.v1 import signing_service_pb2 as pb


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with signing_cloud(tmp_path_factory.mktemp("erased")) as running:
        yield running


@pytest.fixture(scope="module")
def device(cloud: RunningCloud) -> CloudDevice:
    return cloud.enroll()


def erase(cloud: RunningCloud, account_id: str) -> dict[str, Any]:
    arguments = ["persons", "erase", account_id, "--yes", "--data", str(cloud.data), "--json"]
    done = CliRunner().invoke(commands, arguments)
    assert done.exit_code == 0, done.output
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def deregister(cloud: RunningCloud, account_id: str) -> None:
    reason = account_service_pb2.DEREGISTRATION_REASON_HOLDER_ASKED
    centre(cloud).Deregister(account_service_pb2.DeregisterRequest(account_id=account_id, reason=reason))


def forget(cloud: RunningCloud, account_id: str) -> None:
    """As an erasure does it, but that the session goes on: to ask once more what was asked before."""
    in_database(cloud, lambda connection, _: forget_person(connection, sealed_tables(), account_id, now_us=1))


def state_of(cloud: RunningCloud, signing_id: str) -> int:
    own = schema.signings.c.signing_id == signing_id
    with cloud.database() as connection:
        return int(connection.execute(select(schema.signings.c.state).where(own)).scalar_one())


@pytest.mark.parametrize("end", [erase, deregister])
def test_who_is_awaited_at_a_site_is_so_no_more_at_once(
    cloud: RunningCloud, device: CloudDevice, end: Callable[[RunningCloud, str], object]
) -> None:
    """Salt and digest of a number stand in a task: with both anybody finds the number."""
    gone, _, _, task = handed_out(cloud, device)
    _, _, _, other = handed_out(cloud, device)
    late = taken(device, gone, task)
    assert {task.task_id, other.task_id} <= tasks(cloud, device).keys()
    end(cloud, gone.account_id)
    assert task.task_id not in tasks(cloud, device)
    assert other.task_id in tasks(cloud, device)
    assert state_of(cloud, task.signing_id) == State.FAILED
    info = submit_refused(cloud, device, task.task_id, late)
    assert (info.reason, info.metadata["why"]) == ("SIGN_TASK_OVER", "ACCOUNT_NOT_ACTIVE")
    assert state_of(cloud, other.signing_id) == State.AT_SITE


def test_a_signing_that_was_only_started_ends_with_the_account(cloud: RunningCloud) -> None:
    who = signer_of(cloud)
    started = begin(cloud, who, sent_contract(cloud, who, []))
    erase(cloud, who.account_id)
    assert state_of(cloud, started.signing.signing_id) == State.FAILED


def test_who_is_awaited_at_an_office_is_so_no_more_at_once(tmp_path: Path) -> None:
    clock = FakeClock()
    with running_identity(tmp_path, clock=clock) as room:
        offices = Offices(room, clock)
        holder, other = offices.holder(), offices.holder()
        offices.request(holder, "north")
        kept = offices.request(other, "north")
        erase(room.cloud, holder.account_id)
        assert [task.task_id for task in offices.tasks(offices.north)] == [kept.task_id]


def test_the_answer_about_a_code_to_sign_names_no_number_of_who_is_erased(cloud: RunningCloud) -> None:
    who = signer_of(cloud)
    started = begin(cloud, who, sent_contract(cloud, who, []))
    request = pb.RequestSignCodeRequest(request_id=str(uuid.uuid4()), signing_id=started.signing.signing_id)
    answer = signing(cloud, who, "RequestSignCode", request)
    assert answer.masked_phone.endswith(who.person.phone[-4:])
    assert signing(cloud, who, "RequestSignCode", request) == answer
    forget(cloud, who.account_id)
    again = signing(cloud, who, "RequestSignCode", request)
    assert (again.challenge_id, again.masked_phone) == (answer.challenge_id, "")


def test_the_answer_about_a_code_to_seal_names_no_number_of_who_is_erased(cloud: RunningCloud) -> None:
    admin, clerk = person(cloud), person(cloud)
    organisation_id = verified_organisation(cloud, admin)
    seal_id = approved_seal(cloud, admin, organisation_id)
    grant_seal(cloud, admin, seal_id, clerk, scopes=(seal_service_pb2.SEAL_SCOPE_APPROVALS,))
    with member(cloud, clerk) as found:
        approval = found.upload(organisation_id, pdf("批复"))
        request = approval_service_pb2.RequestSealCodeRequest(
            request_id=str(uuid.uuid4()), approval_id=approval.approval_id, seal_id=seal_id
        )
        answer = found.stub.RequestSealCode(request)
        assert answer.phone.endswith(clerk.person.phone[-4:])
        assert found.stub.RequestSealCode(request) == answer
        forget(cloud, clerk.account_id)
        again = found.stub.RequestSealCode(request)
        assert (again.challenge_id, again.phone) == (answer.challenge_id, "")


def parts_of(cloud: RunningCloud, who: SignedIn, contract_id: str) -> list[str]:
    request = contract_pb.GetContractRequest(contract_id=contract_id)
    return [one.name for one in contracts(cloud, who, "GetContract", request).parties]


def test_an_erasure_tells_which_contracts_still_name_the_person(cloud: RunningCloud) -> None:
    gone, stays = signer_of(cloud), signer_of(cloud)
    as_sender = sent_contract(cloud, gone, [stays]).contract_id
    open_invitation(cloud, stays)
    cloud.clock.offset += timedelta(minutes=2)
    as_party = sent_contract(cloud, stays, [gone]).contract_id
    open_invitation(cloud, gone)
    others = sent_contract(cloud, stays, []).contract_id
    told = erase(cloud, gone.account_id)
    assert told["contracts"] == sorted([as_sender, as_party])
    assert others not in told["contracts"]
    assert gone.person.name in parts_of(cloud, stays, as_party)
