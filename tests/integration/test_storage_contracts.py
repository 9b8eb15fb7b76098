"""Contracts and the stores that keep them: nothing is called signed that is not kept, and no store is the only one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from cloud.objects import files, stores
from cloud.objects.guard import Limits
from tests.integration.test_signing_methods import register
from tests.integration.test_signing_stamps import until
from tests.integration.test_storage_service import objects_in, run, settled, status_of
from tests.support.authenticator import Authenticator
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.signing import (
    Sent,
    Started,
    ask_code,
    begin,
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
from verifield.documents.verdict import Outcome
from verifield.v1 import contract_service_pb2 as contract_pb
from verifield.v1 import signing_service_pb2 as pb

COMPLETED = contract_pb.CONTRACT_STATE_COMPLETED
SECOND = "second"
PARTIES = 4

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


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("kept")) as running:
        yield running


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.req("R140")
@pytest.mark.parametrize("fault", [cut, damage, Path.unlink])
def test_a_contract_is_complete_once_its_file_is_kept_and_was_read_again(
    cloud: RunningCloud, disk: Disk, fault: Callable[[Path], None]
) -> None:
    """The disk says that it has the file, and does not."""
    sender = signer_of(cloud)
    sent = sent_contract(cloud, sender, [])
    document = download(cloud, sender, sent.contract_id)
    started = begin(cloud, sender, sent)
    request = sign_request(started, sms_code=ask_code(cloud, sender, started.signing.signing_id))
    disk.fault = fault
    told = signing(cloud, sender, "Sign", request).signing
    assert disk.lies
    assert told.state == pb.SIGNING_STATE_AUTHENTICATED
    found = contract_of(cloud, sender, sent.contract_id)
    assert (found.contract.state, found.contract.revision_no) == (contract_pb.CONTRACT_STATE_SENT, 0)
    assert not found.contract.HasField("complete_time")
    assert download(cloud, sender, sent.contract_id) == document
    listed = pb.ListSignaturesRequest(contract_id=sent.contract_id)
    assert not signing(cloud, sender, "ListSignatures", listed).signatures

    disk.fault = None
    cloud.clock.offset += timedelta(minutes=1)  # nobody asks the person again
    until(lambda: contract_of(cloud, sender, sent.contract_id).contract.state == COMPLETED)
    content = download(cloud, sender, sent.contract_id)
    assert sha256(content).digest() == contract_of(cloud, sender, sent.contract_id).contract.revision_sha256
    assert judged(cloud, content).outcome is Outcome.VALID
    kept = objects_in(cloud.data / "objects")
    assert all(sha256(sealed).hexdigest() == name for name, sealed in kept.items())


def ready_to_sign(cloud: RunningCloud, parties: int) -> tuple[Sent, list[Any], list[pb.SignRequest]]:
    """A contract, those who sign it, and what each of them sends at last."""
    people = [signer_of(cloud) for _ in range(parties)]
    sent = sent_contract(cloud, people[0], people[1:])
    requests = []
    for who in people:
        pad = Authenticator()
        register(cloud, who, pad)
        if who is not people[0]:
            open_invitation(cloud, who)
        read_all(cloud, who, sent)
        begun = start(cloud, who, sent)
        started = Started(begun, look(cloud, who, begun.signing_id)[0], {})
        answer = pb.PasskeyAssertion(response_json=pad.get(begun.passkey_options_json))
        requests.append(sign_request(started, passkey=answer))
    return sent, people, requests


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
        assert (verdict.outcome, len(verdict.signatures)) == (Outcome.VALID, 2 * PARTIES)
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
