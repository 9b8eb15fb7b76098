"""What a server leaves that dies between authenticating and signing; and what signing does by itself."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from sqlalchemy import Connection, func, select, update

from cloud.signatures import jobs
from cloud.signatures.maker import Maker
from cloud.signatures.states import State
from cloud.store import schema
from tests.integration.test_signing_offline import handed_out, tasks
from tests.support.accounts import Room, SignedIn, in_database
from tests.support.cloud import CloudDevice, RunningCloud, refusal
from tests.support.final import signing_cloud
from tests.support.identity import Seen, evidence_of
from tests.support.signing import (
    Sent,
    Started,
    ask_code,
    begin,
    contract_of,
    contracts,
    sent_contract,
    sign_request,
    signer_of,
    signing,
    signing_refused,
    strokes,
)
from verifield.v1 import contract_service_pb2 as contract_pb
from verifield.v1 import signing_service_pb2 as pb

WITHIN_S = 60.0
READY = 0
"""``due_us`` of a signature that was left long ago."""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """What signing does by itself, it does at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "MAKE_EVERY_S", 0.2)
        patch.setattr(jobs, "EXPIRE_EVERY_S", 0.2)
        patch.setattr(jobs, "CLEAN_EVERY_S", 0.2)
        with signing_cloud(tmp_path_factory.mktemp("left")) as running:
            yield running


@pytest.fixture(scope="module")
def device(cloud: RunningCloud) -> CloudDevice:
    return cloud.enroll()


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def change(cloud: RunningCloud, signing_id: str, **values: Any) -> None:
    statement = update(schema.signings).where(schema.signings.c.signing_id == signing_id).values(**values)
    in_database(cloud, lambda connection, _: connection.execute(statement))


def shown(cloud: RunningCloud, who: SignedIn, signing_id: str) -> pb.Signing:
    return signing(cloud, who, "GetSigning", pb.GetSigningRequest(signing_id=signing_id)).signing


def before_signing(cloud: RunningCloud) -> tuple[SignedIn, Sent, Started]:
    who = signer_of(cloud)
    sent = sent_contract(cloud, who, [])
    return who, sent, begin(cloud, who, sent)


def made(cloud: RunningCloud, contract_id: str) -> tuple[int, int]:
    """How many revisions behind the frozen document, and how many signatures, there are."""

    def work(connection: Connection, _: Room) -> tuple[int, int]:
        def count(table: Any) -> int:
            query = select(func.count()).select_from(table).where(table.c.contract_id == contract_id)
            return int(connection.execute(query).scalar_one())

        return count(schema.contract_revisions) - 1, count(schema.signature_records)

    return in_database(cloud, work)


@pytest.mark.parametrize("dies_in", ["make", "_commit"])
def test_what_a_server_leaves_that_dies_between_the_two_transactions_is_signed_once(
    cloud: RunningCloud, monkeypatch: pytest.MonkeyPatch, dies_in: str
) -> None:
    """Right behind the first one; and right before the second one, with the signed file stored."""
    who, sent, started = before_signing(cloud)
    request = sign_request(started, sms_code=ask_code(cloud, who, started.signing.signing_id))

    def dies(*_: object, **__: object) -> bool:
        raise SystemError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(Maker, dies_in, dies)
        with pytest.raises(grpc.RpcError) as caught:
            signing(cloud, who, "Sign", request)
        assert refusal(caught.value)[0] is grpc.StatusCode.INTERNAL
        told = shown(cloud, who, started.signing.signing_id)
        assert (told.state, made(cloud, sent.contract_id)) == (pb.SIGNING_STATE_AUTHENTICATED, (0, 0))
        assert contract_of(cloud, who, sent.contract_id).contract.state == contract_pb.CONTRACT_STATE_SENT
    again = pb.StartSigningRequest(contract_id=sent.contract_id)
    assert signing_refused(cloud, who, "StartSigning", again).reason == "SIGNING_UNDER_WAY"
    change(cloud, told.signing_id, due_us=READY)
    until(lambda: shown(cloud, who, told.signing_id).state == pb.SIGNING_STATE_SIGNED)
    assert made(cloud, sent.contract_id) == (1, 2)
    found = contract_of(cloud, who, sent.contract_id).contract
    assert found.state == contract_pb.CONTRACT_STATE_COMPLETED
    assert signing(cloud, who, "Sign", request).signing.state == pb.SIGNING_STATE_SIGNED  # asked once more
    assert made(cloud, sent.contract_id) == (1, 2)


def test_a_signature_that_cannot_be_made_lets_others_go_first(
    cloud: RunningCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    who, sent, started = before_signing(cloud)
    signing_id = started.signing.signing_id
    request = sign_request(started, sms_code=ask_code(cloud, who, signing_id))

    def dies(*_: object, **__: object) -> None:
        raise SystemError("a fault that nobody foresaw")

    with monkeypatch.context() as patch:
        patch.setattr(Maker, "_sign", dies)
        with pytest.raises(grpc.RpcError):
            signing(cloud, who, "Sign", request)
        change(cloud, signing_id, due_us=READY)
        until(lambda: _due(cloud, signing_id) > cloud.clock.now().timestamp() * 1e6)
    change(cloud, signing_id, due_us=READY)
    until(lambda: shown(cloud, who, signing_id).state == pb.SIGNING_STATE_SIGNED)
    assert made(cloud, sent.contract_id) == (1, 2)


def _due(cloud: RunningCloud, signing_id: str) -> int:
    query = select(schema.signings.c.due_us).where(schema.signings.c.signing_id == signing_id)
    return in_database(cloud, lambda connection, _: int(connection.execute(query).scalar_one()))


@pytest.mark.req("R137")
def test_a_face_that_was_used_is_refused_as_such(
    cloud: RunningCloud, device: CloudDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the signing that it was for were open again, as behind an older backup of its row."""
    who, sent, started = before_signing(cloud)
    face = evidence_of(device, Seen(who.person.elements), nonce=started.signing.nonce)
    with monkeypatch.context() as patch:
        patch.setattr(Maker, "make", lambda *_, **__: False)
        done = signing(cloud, who, "Sign", sign_request(started, face=face)).signing
        assert done.state == pb.SIGNING_STATE_AUTHENTICATED
        change(cloud, done.signing_id, state=int(State.STARTED))
    info = signing_refused(cloud, who, "Sign", sign_request(started, face=face))
    assert info.reason == "EVIDENCE_REPLAYED"
    assert made(cloud, sent.contract_id) == (0, 0)


def test_a_contract_that_ends_takes_its_task_off_the_devices(
    cloud: RunningCloud, device: CloudDevice
) -> None:
    who, sent, _, told = handed_out(cloud, device)
    assert told.task_id in tasks(cloud, device)
    contracts(
        cloud, who, "WithdrawContract", contract_pb.WithdrawContractRequest(contract_id=sent.contract_id)
    )
    until(lambda: shown(cloud, who, told.signing_id).state == pb.SIGNING_STATE_FAILED)
    assert shown(cloud, who, told.signing_id).reason == "CONTRACT_STATE"
    assert told.task_id not in tasks(cloud, device)


def test_a_signing_that_nobody_came_for_ends(cloud: RunningCloud, device: CloudDevice) -> None:
    who, sent, started = before_signing(cloud)
    at_site, _, _, told = handed_out(cloud, device)
    for one in (started.signing.signing_id, told.signing_id):
        change(cloud, one, expires_us=READY)
    until(lambda: shown(cloud, who, started.signing.signing_id).state == pb.SIGNING_STATE_EXPIRED)
    until(lambda: shown(cloud, at_site, told.signing_id).state == pb.SIGNING_STATE_EXPIRED)
    assert told.task_id not in tasks(cloud, device)
    assert begin(cloud, who, sent).signing.state == pb.SIGNING_STATE_STARTED


def test_a_drawn_signature_that_is_retired_is_forgotten_once_nothing_needs_it(
    cloud: RunningCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    who, sent, started = before_signing(cloud)
    draw = pb.DrawSignatureRequest(request_id=str(uuid.uuid4()), strokes=strokes())
    kept, needed = (signing(cloud, who, "DrawSignature", one).asset.asset_id for one in (draw, _other(draw)))
    preview = begin(cloud, who, sent, asset_id=needed)
    code = ask_code(cloud, who, preview.signing.signing_id)
    with monkeypatch.context() as patch:
        patch.setattr(Maker, "make", lambda *_, **__: False)
        signing(cloud, who, "Sign", sign_request(preview, sms_code=code))
        for asset_id in (kept, needed):
            signing(cloud, who, "RetireSignature", pb.RetireSignatureRequest(asset_id=asset_id))
        until(lambda: _assets(cloud, who) == {needed})  # a signature is being made with it
    change(cloud, preview.signing.signing_id, due_us=READY)
    until(lambda: shown(cloud, who, preview.signing.signing_id).state == pb.SIGNING_STATE_SIGNED)
    until(lambda: _assets(cloud, who) == set())
    assert started.signing.signing_id != preview.signing.signing_id


def _other(draw: pb.DrawSignatureRequest) -> pb.DrawSignatureRequest:
    return pb.DrawSignatureRequest(request_id=str(uuid.uuid4()), strokes=draw.strokes)


def _assets(cloud: RunningCloud, who: SignedIn) -> set[str]:
    query = select(schema.signature_assets.c.asset_id).where(
        schema.signature_assets.c.account_id == who.account_id
    )
    return in_database(cloud, lambda connection, _: set(connection.execute(query).scalars()))
