"""Many parties sign at the same moment: no signature is lost, and none is made twice."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.test_signing_methods import register
from tests.support import pdf_samples
from tests.support.accounts import SignedIn, as_account
from tests.support.authenticator import Authenticator
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.pdf_signing import qpdf_check
from tests.support.signing import (
    Started,
    contract_of,
    download,
    judged,
    mark,
    open_invitation,
    person_of,
    read_all,
    self_party,
    send,
    sign_request,
    signer_of,
    signing,
    start,
)
from verifield.documents.verdict import Outcome
from verifield.v1 import contract_service_pb2 as contract_pb
from verifield.v1 import signing_service_pb2 as pb
from verifield.v1.signing_service_pb2_grpc import SigningServiceStub

PARTIES = 20


def confirmed(cloud: RunningCloud, who: SignedIn, signing_id: str) -> bytes:
    """What the header of a preview says, without the pictures behind it."""
    with as_account(cloud, who) as stub:
        call = stub(SigningServiceStub).PreviewSigned(pb.PreviewSignedRequest(signing_id=signing_id))
        preview_hash = next(call).header.preview_hash
        call.cancel()
    return bytes(preview_hash)


def race(
    cloud: RunningCloud, parties: int, folder: Path, *, also: Callable[[], list[RunningCloud]] = list
) -> None:
    """All sign at once, each at one of the servers; the document has each signature once.

    ``also``: starts further servers, once everybody was told: each writes messages to a folder of its own.
    """
    people = [signer_of(cloud) for _ in range(parties)]
    marks = [mark(number, row=number % 20, column=0) for number in range(1, parties + 1)]
    named = [self_party(), *(person_of(one) for one in people[1:])]
    sent = send(cloud, people[0], named, marks, content=pdf_samples.plain())
    requests = []
    for who in people:
        pad = Authenticator()
        register(cloud, who, pad)
        if who is not people[0]:
            open_invitation(cloud, who)
        read_all(cloud, who, sent)
        begun = start(cloud, who, sent)
        started = Started(begun, confirmed(cloud, who, begun.signing_id), {})
        answer = pb.PasskeyAssertion(response_json=pad.get(begun.passkey_options_json))
        requests.append(sign_request(started, passkey=answer))

    clouds = [cloud, *also()]
    with ThreadPoolExecutor(parties) as threads:
        calls = [
            threads.submit(signing, clouds[number % len(clouds)], who, "Sign", request)
            for number, (who, request) in enumerate(zip(people, requests, strict=True))
        ]
        done = [call.result().signing.state for call in calls]
    assert done == [pb.SIGNING_STATE_SIGNED] * parties

    found = contract_of(cloud, people[0], sent.contract_id)
    assert found.contract.state == contract_pb.CONTRACT_STATE_COMPLETED
    assert found.contract.revision_no == parties
    content = download(cloud, people[0], sent.contract_id)
    verdict = judged(cloud, content)
    assert verdict.outcome is Outcome.VALID
    names = [one.signer for one in verdict.signatures]
    assert sorted(names.count(one.person.name) for one in people) == [1] * parties
    qpdf_check(content, folder)
    listed = pb.ListSignaturesRequest(contract_id=sent.contract_id, page_size=100)
    records = signing(cloud, people[0], "ListSignatures", listed).signatures
    assert len({one.field for one in records}) == len(records) == parties


@pytest.mark.req("R179")
def test_twenty_parties_sign_at_once(tmp_path: Path) -> None:
    with running_cloud(tmp_path / "data") as cloud:
        race(cloud, PARTIES, tmp_path)


@pytest.mark.req("R179")
def test_parties_sign_at_once_at_two_servers_of_one_database(tmp_path: Path, postgres_url: str) -> None:
    """Where nothing but the database keeps them apart: each loses races to the other server."""
    with ExitStack() as stack:
        data = tmp_path / "data"
        first = stack.enter_context(running_cloud(data, database=postgres_url))

        def second() -> list[RunningCloud]:
            shared = {"keys": data, "objects": data / "objects"}
            running = running_cloud(tmp_path / "second", database=postgres_url, **shared)
            return [stack.enter_context(running)]

        race(first, 5, tmp_path, also=second)
