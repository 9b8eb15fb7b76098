"""Contracts and the stores that keep them: what is not kept is not signed, and no store is the only one."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from cloud.objects import files, stores
from cloud.objects.guard import Limits
from tests.integration.test_signing_methods import register
from tests.integration.test_signing_stamps import until
from tests.integration.test_storage_service import objects_in, run, settled, status_of
from tests.support.accounts import SignedIn
from tests.support.authenticator import Authenticator
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.signing import (
    Sent,
    Started,
    contract_of,
    download,
    judged,
    look,
    open_invitation,
    read_all,
    sent_contract,
    sign_request,
    sign_with_code,
    signer_of,
    signing,
    start,
)
from verifield.documents.verdict import Kind, Outcome
from verifield.v1 import contract_service_pb2 as contract_pb
from verifield.v1 import signing_service_pb2 as pb

COMPLETED = contract_pb.CONTRACT_STATE_COMPLETED
SECOND = "second"
PARTIES = 3

Write = Callable[[Path, bytes], None]


class Disk:
    """What is between the service and its folders. ``fault``: what becomes of a file that was written."""

    def __init__(self, write: Write) -> None:
        self.fault: Callable[[Path], None] | None = None
        self.lies = 0
        self._write = write

    def write(self, path: Path, data: bytes) -> None:
        self._write(path, data)
        if self.fault is not None and len(path.name) == 64:
            self.lies += 1
            self.fault(path)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    found = Disk(files.write_private)
    monkeypatch.setattr(files, "write_private", found.write)
    return found


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def is_complete(cloud: RunningCloud, who: SignedIn, contract_id: str) -> bool:
    return bool(contract_of(cloud, who, contract_id).contract.state == COMPLETED)


def tries_of(cloud: RunningCloud, signing_id: str) -> int:
    """How often it was put off."""
    engine = create_engine(cloud.database_url)
    with engine.connect() as connection:
        query = text("SELECT tries FROM signings WHERE signing_id = :one")
        found = connection.execute(query, {"one": signing_id}).scalar_one()
    engine.dispose()
    return int(found)


def ready(cloud: RunningCloud, who: SignedIn, pad: Authenticator, sent: Sent) -> pb.SignRequest:
    """Read, previewed, and shown with a passkey: all but to send it."""
    read_all(cloud, who, sent)
    begun = start(cloud, who, sent)
    started = Started(begun, look(cloud, who, begun.signing_id)[0], {})
    answer = pb.PasskeyAssertion(response_json=pad.get(begun.passkey_options_json))
    return sign_request(started, passkey=answer)


def ready_to_sign(cloud: RunningCloud, parties: int) -> tuple[Sent, list[SignedIn], list[pb.SignRequest]]:
    """A contract, those who sign it, and what each of them sends at last."""
    people = [signer_of(cloud) for _ in range(parties)]
    sent = sent_contract(cloud, people[0], people[1:])
    requests = []
    for who in people:
        pad = Authenticator()
        register(cloud, who, pad)
        if who is not people[0]:
            open_invitation(cloud, who)
        requests.append(ready(cloud, who, pad, sent))
    return sent, people, requests


@pytest.mark.req("R140")
def test_a_contract_is_complete_once_its_file_is_kept_and_was_read_again(tmp_path: Path, disk: Disk) -> None:
    """The disk says that it has the file, and does not."""
    with running_cloud(tmp_path) as cloud:
        sender, pad, waiting = signer_of(cloud), Authenticator(), []
        register(cloud, sender, pad)
        for fault in (cut, damage, Path.unlink):
            sent = sent_contract(cloud, sender, [])
            request = ready(cloud, sender, pad, sent)
            document = download(cloud, sender, sent.contract_id)
            disk.lies, disk.fault = 0, fault
            told = signing(cloud, sender, "Sign", request).signing
            assert disk.lies
            assert told.state == pb.SIGNING_STATE_AUTHENTICATED
            found = contract_of(cloud, sender, sent.contract_id).contract
            assert (found.state, found.revision_no) == (contract_pb.CONTRACT_STATE_SENT, 0)
            assert not found.HasField("complete_time")
            assert download(cloud, sender, sent.contract_id) == document
            listed = pb.ListSignaturesRequest(contract_id=sent.contract_id)
            assert not signing(cloud, sender, "ListSignatures", listed).signatures
            assert tries_of(cloud, told.signing_id) == 1  # and the next ones come ever more seldom
            disk.fault = None
            waiting.append((sent.contract_id, document))

        cloud.clock.offset += timedelta(minutes=1)  # nobody asks the person again
        for contract_id, document in waiting:
            until(partial(is_complete, cloud, sender, contract_id))
            content = download(cloud, sender, contract_id)
            found = contract_of(cloud, sender, contract_id).contract
            assert sha256(content).digest() == found.revision_sha256
            assert content.startswith(document)
            assert judged(cloud, content).outcome is Outcome.VALID
        kept = objects_in(cloud.data / "objects")
        assert all(sha256(sealed).hexdigest() == name for name, sealed in kept.items())


@pytest.mark.req("R141")
def test_a_store_that_is_lost_while_many_sign_takes_nothing_with_it(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "Limits", partial(Limits, aside_s=0.2))
    second, away = tmp_path / "second", tmp_path / "away"
    with running_cloud(tmp_path / "data", object_mirrors={SECOND: second}) as cloud:
        main = cloud.data / "objects"
        sent, people, requests = ready_to_sign(cloud, PARTIES)
        settled(cloud, stores=2)
        written = iter(range(1000))
        lost = threading.Event()

        def tear_out(path: Path) -> None:
            """With the first signature's file, its second copy and all of its disk."""
            if second in path.parents and next(written) == 0:
                second.rename(away)
                lost.set()

        disk.fault = tear_out
        with ThreadPoolExecutor(PARTIES) as threads:
            calls = [
                threads.submit(signing, cloud, who, "Sign", request)
                for who, request in zip(people, requests, strict=True)
            ]
            done = [call.result().signing.state for call in calls]
        disk.fault = None
        assert lost.is_set()
        assert done == [pb.SIGNING_STATE_SIGNED] * PARTIES
        content = download(cloud, people[0], sent.contract_id)
        verdict = judged(cloud, content)
        assert verdict.outcome is Outcome.VALID
        made_by = Counter(one.signer for one in verdict.signatures if one.kind is Kind.PERSONAL)
        assert made_by == {one.person.name: 2 for one in people}
        assert status_of(cloud)["health"] == "degraded"

        away.rename(second)  # it is back, and gets what it has missed
        settled(cloud, stores=2)
        assert objects_in(second) == objects_in(main)

        main.rename(away)  # and now the other one is lost, with all that it has
        assert download(cloud, people[-1], sent.contract_id) == content
        alone = sent_contract(cloud, people[0], [])
        assert sign_with_code(cloud, people[0], alone).state == pb.SIGNING_STATE_SIGNED
        run("storage", "add", "main", "--renew", "--yes", "--data", cloud.data)
        settled(cloud, stores=2)
        assert objects_in(main) == objects_in(second)
        assert judged(cloud, download(cloud, people[0], alone.contract_id)).outcome is Outcome.VALID
