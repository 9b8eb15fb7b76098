"""What a signing's state does not allow is refused and changes nothing; what was signed is never changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from sqlalchemy import Connection, delete, select, text, update
from sqlalchemy.exc import DBAPIError

from cloud.signatures.sealed import SEALED
from cloud.signatures.states import MACHINE, Event, State
from cloud.store import schema
from cloud.store.sealed import forget_person
from tests.integration.test_signing_methods import register
from tests.support.accounts import Room, in_database
from tests.support.authenticator import Authenticator
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.final import signing_cloud
from tests.support.signing import (
    ask_code,
    begin,
    download,
    judged,
    refused_of,
    sent_contract,
    sign_request,
    sign_with_code,
    signer_of,
    signing,
    strokes,
)
from verifield.documents.verdict import Outcome
from verifield.v1 import signing_service_pb2 as pb

LATER_US = 4_000_000_000_000_000
TABLES = (
    schema.signings,
    schema.signature_records,
    schema.contracts,
    schema.contract_parties,
    schema.contract_events,
    schema.contract_revisions,
    schema.messages,
    schema.code_challenges,
)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with signing_cloud(tmp_path_factory.mktemp("states")) as running:
        yield running


def dump(connection: Connection, _: Room) -> list[list[Any]]:
    return [sorted(map(repr, connection.execute(select(table)))) for table in TABLES]


def test_what_a_state_does_not_allow_changes_nothing(cloud: RunningCloud) -> None:
    who = signer_of(cloud)
    started = begin(cloud, who, sent_contract(cloud, who, []))
    signing_id = started.signing.signing_id
    code = pb.SmsCode(challenge_id=signing_id, code="123456")
    calls: dict[Event, tuple[str, Message]] = {
        Event.CHOOSE: ("PreviewSigned", pb.PreviewSignedRequest(signing_id=signing_id)),
        Event.ASK_CODE: ("RequestSignCode", pb.RequestSignCodeRequest(signing_id=signing_id)),
        Event.AUTHENTICATE: ("Sign", sign_request(started, sms_code=code)),
        Event.HAND_OUT: (
            "StartOfflineSigning",
            pb.StartOfflineSigningRequest(
                signing_id=signing_id, preview_hash=started.preview_hash, site_id="here"
            ),
        ),
        Event.CANCEL: ("CancelOfflineSigning", pb.CancelOfflineSigningRequest(signing_id=signing_id)),
    }
    refused = 0
    for state in State:
        _put_state(cloud, signing_id, state)
        before = in_database(cloud, dump)
        for event, call in calls.items():
            if MACHINE.allows(state, event):
                continue
            status, info = refused_of(cloud, who, *call)
            assert (status.name, info.reason) == ("FAILED_PRECONDITION", "SIGNING_STATE"), (state, event)
            assert info.metadata["state"] == state.name
            refused += 1
        assert in_database(cloud, dump) == before, state
    assert refused == len(State) * len(calls) - 5


def test_a_party_that_has_authenticated_cannot_begin_again(cloud: RunningCloud) -> None:
    who = signer_of(cloud)
    sent = sent_contract(cloud, who, [])
    started = begin(cloud, who, sent)
    _put_state(cloud, started.signing.signing_id, State.TIMESTAMP_PENDING)
    before = in_database(cloud, dump)
    status, info = refused_of(
        cloud, who, "StartSigning", pb.StartSigningRequest(contract_id=sent.contract_id)
    )
    assert (status.name, info.reason) == ("FAILED_PRECONDITION", "SIGNING_UNDER_WAY")
    assert in_database(cloud, dump) == before


def test_signings_of_others_are_nobodys_business(cloud: RunningCloud) -> None:
    who, stranger = signer_of(cloud), signer_of(cloud)
    started = begin(cloud, who, sent_contract(cloud, who, []))
    for method, request in (
        ("GetSigning", pb.GetSigningRequest(signing_id=started.signing.signing_id)),
        ("PreviewSigned", pb.PreviewSignedRequest(signing_id=started.signing.signing_id)),
        ("RequestSignCode", pb.RequestSignCodeRequest(signing_id=started.signing.signing_id)),
        ("Sign", sign_request(started, sms_code=ask_code(cloud, who, started.signing.signing_id))),
        ("CancelOfflineSigning", pb.CancelOfflineSigningRequest(signing_id=started.signing.signing_id)),
    ):
        assert refused_of(cloud, stranger, method, request)[1].reason == "SIGNING_NOT_FOUND"


def test_signatures_are_never_changed(tmp_path: Path, database_url: str) -> None:
    with running_cloud(tmp_path / "data", database=database_url) as cloud:
        who = signer_of(cloud)
        signing(cloud, who, "DrawSignature", pb.DrawSignatureRequest(strokes=strokes()))
        register(cloud, who, Authenticator())
        sent = sent_contract(cloud, who, [])
        sign_with_code(cloud, who, sent)
        for statement in (
            update(schema.signature_records).values(method=2),
            delete(schema.signature_records),
            text("DELETE FROM signature_records"),
        ):
            with pytest.raises(DBAPIError):
                in_database(cloud, lambda connection, _, what=statement: connection.execute(what))

        def erase(connection: Connection, _: Room) -> None:
            forget_person(connection, SEALED, who.account_id, now_us=1)

        content = download(cloud, who, sent.contract_id)
        in_database(cloud, erase)
        assert in_database(cloud, _sealed) == [(None, None)] * 2 + [(None,)]
        assert judged(cloud, content).outcome is Outcome.VALID  # what was signed stays signed


def _sealed(connection: Connection, _: Room) -> list[tuple[Any, ...]]:
    queries = (
        select(schema.signature_assets.c.strokes, schema.signature_assets.c.image),
        select(schema.passkeys.c.credential, schema.passkeys.c.name),
        select(schema.signings.c.source),
    )
    return [tuple(row) for query in queries for row in connection.execute(query)]


def _put_state(cloud: RunningCloud, signing_id: str, state: State) -> None:
    change = (
        update(schema.signings)
        .where(schema.signings.c.signing_id == signing_id)
        .values(state=int(state), due_us=LATER_US)
    )
    in_database(cloud, lambda connection, _: connection.execute(change))
