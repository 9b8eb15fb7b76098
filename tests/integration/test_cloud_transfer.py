"""Delivery by hand: a device's file through the same rules as its streams, and the answer to carry back."""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from sqlalchemy import text
from typer.testing import CliRunner

from cloud.cli import app as commands
from cloud.errors import ClientError
from cloud.media.files import MediaFolder
from cloud.store import feed
from cloud.transfer import service
from tests.support.authority import Device, new_key
from tests.support.chains import Chain
from tests.support.cloud import CloudDevice, RunningCloud, next_envelopes, refusal, running_cloud
from tests.support.sticks import read_answer, write_transfer
from verifield.receipt import check_receipt
from verifield.transfer import MAGIC, read_frames
from verifield.v1 import sync_service_pb2 as sync_pb
from verifield.v1 import transfer_service_pb2 as pb
from verifield.v1.attestation_pb2 import MediaReference
from verifield.v1.transfer_pb2 import TransferManifest


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, module_database_url: str) -> Iterator[RunningCloud]:
    data = tmp_path_factory.mktemp("cloud") / "data"
    with running_cloud(data, database=module_database_url) as running:
        yield running


def pieces(content: bytes, size: int = service.PIECE_BYTES) -> Iterator[pb.ImportRequest]:
    for start in range(0, len(content), size):
        yield pb.ImportRequest(content=content[start : start + size])


def bring(cloud: RunningCloud, content: bytes) -> tuple[bytes, pb.ImportSummary]:
    """Import a file; return the answer file and what was found."""
    responses = list(cloud.operator.stream(cloud.operator.transfers.Import, pieces(content)))
    assert all(len(one.content) <= service.PIECE_BYTES for one in responses)
    assert not any(one.HasField("summary") for one in responses[:-1])
    return b"".join(one.content for one in responses), responses[-1].summary


def refused(cloud: RunningCloud, content: bytes) -> tuple[str, str]:
    """Reason and failed check of an import."""
    metadata = (("authorization", f"Bearer {(cloud.data / 'operator.token').read_text().strip()}"),)
    with pytest.raises(grpc.RpcError) as caught:
        list(cloud.operator.transfers.Import(pieces(content), metadata=metadata, timeout=20))
    info = refusal(caught.value)[1]
    return info.reason, info.metadata["check"]


def names(answer: sync_pb.DeliverResponse) -> list[str]:
    return [sync_pb.DeliverStatus.Name(one.status).removeprefix("DELIVER_STATUS_") for one in answer.results]


def test_a_file_is_delivered_like_a_stream(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    envelopes = next_envelopes(device, 5)
    file = write_transfer(device, [envelopes[:3], envelopes[3:]])
    content, summary = bring(cloud, file)
    answer = read_answer(content)
    answers, [down] = answer.batches, answer.down
    [manifest] = [one.manifest for one in read_frames(io.BytesIO(file)) if one.HasField("manifest")]
    assert answer.manifest == manifest
    assert [names(answer) for answer in answers] == [["ACCEPTED"] * 3, ["ACCEPTED"] * 2]
    receipt = check_receipt(
        answers[1].receipt,
        certificates=list(answers[1].receipt_certificates),
        roots=x509.load_pem_x509_certificates(cloud.root_pem),
    )
    assert (receipt.device_id, receipt.through_seq) == (device.device_id, 5)
    assert cloud.head(device).seq == 5
    assert summary == pb.ImportSummary(device_id=device.device_id, records=5, accepted=5)
    assert down.next_cursor


def test_a_file_that_is_imported_again_changes_nothing(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    file = write_transfer(device, [next_envelopes(device, 3)])
    bring(cloud, file)
    content, summary = bring(cloud, file)
    [answer] = read_answer(content).batches
    assert names(answer) == ["ALREADY_HAVE"] * 3
    assert answer.receipt
    assert (summary.accepted, summary.already_here) == (0, 3)
    assert cloud.head(device).seq == 3


def test_a_file_and_a_stream_of_the_same_records_meet(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    chain = Chain(device)
    first, lost, third = chain.add(), chain.add(), chain.add()
    cloud.deliver(device, [third])
    content, summary = bring(cloud, write_transfer(device, [[first], [lost]]))
    assert [names(answer) for answer in read_answer(content).batches] == [["ACCEPTED"], ["ACCEPTED"]]
    assert cloud.head(device).seq == 3
    assert summary.staged == 0


def test_everything_that_can_become_of_a_record_is_counted(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    chain = Chain(device)
    first, second = chain.add(), chain.add()
    twin = Chain(Device(device.device_id, device.key, device.chain))
    fork = twin.add()
    chain.add()
    cloud.deliver(device, [first])
    batch = [first, second, fork, b"junk", chain.add()]
    _, summary = bring(cloud, write_transfer(device, [batch]))
    assert summary == pb.ImportSummary(
        device_id=device.device_id, records=5, accepted=1, already_here=1, staged=1, refused=1, forked=1
    )


def test_files_come_with_their_records_and_others_are_left_out(cloud: RunningCloud) -> None:
    device, picture = cloud.enroll(), secrets.token_bytes(1000)
    digest = hashlib.sha256(picture).digest()
    named = MediaReference(name="best_shot", sha256=digest, size_bytes=1000, content_commitment=bytes(32))
    envelope = Chain(device).add(media=(named,))
    chunk = sync_pb.PutMediaChunkRequest(sha256=digest, size_bytes=1000, content=picture)
    stranger = sync_pb.PutMediaChunkRequest(sha256=bytes(32), size_bytes=1, content=b"x")
    cut = sync_pb.PutMediaChunkRequest(sha256=digest, size_bytes=999, content=picture[:999])
    content, _ = bring(cloud, write_transfer(device, [[envelope]], media=[stranger, cut, chunk]))
    assert read_answer(content).complete == [digest]
    assert MediaFolder(cloud.data / "media").path(device.device_id, digest).read_bytes() == picture


def test_what_is_new_for_the_device_comes_back(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    kind, scope = sync_pb.DOWN_ITEM_KIND_DIRECTIVE, feed.device_scope(device.device_id)
    with cloud.database() as connection:
        for number in range(120):
            feed.publish(connection, scope, kind=kind, item_id=str(number), content=b"x")
    content, _ = bring(cloud, write_transfer(device, [[]]))
    down = read_answer(content).down
    found = [item.item_id for page in down for item in page.items if item.kind == kind]
    assert found == [str(number) for number in range(120)]
    assert [page.more for page in down] == [True] * (len(down) - 1) + [False]
    content, _ = bring(cloud, write_transfer(device, [[]], cursor=down[-1].next_cursor))
    [page] = read_answer(content).down
    assert not page.items


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (TransferManifest(frames=7), "FRAMES"),
        (TransferManifest(frames_sha256=bytes(32)), "FRAMES"),
        (TransferManifest(device_id="another"), "DEVICE"),
    ],
)
def test_a_manifest_that_does_not_fit_its_file_is_refused(
    cloud: RunningCloud, change: TransferManifest, check: str
) -> None:
    device = cloud.enroll()
    file = write_transfer(device, [next_envelopes(device, 1)], change=change)
    assert refused(cloud, file) == ("TRANSFER_INVALID", check)
    assert cloud.head(device).seq == 0


def test_a_changed_a_cut_and_a_foreign_file_are_refused(cloud: RunningCloud, tmp_path: Path) -> None:
    device = cloud.enroll()
    file = write_transfer(device, [next_envelopes(device, 2)])
    assert refused(cloud, b"") == ("TRANSFER_INVALID", "NOT_A_TRANSFER")
    assert refused(cloud, b"GIF89a, most likely") == ("TRANSFER_INVALID", "NOT_A_TRANSFER")
    assert refused(cloud, MAGIC) == ("TRANSFER_INVALID", "MANIFEST")
    assert refused(cloud, file[:-1]) == ("TRANSFER_INVALID", "TRANSFER_CUT")
    changed = bytearray(file)
    changed[-200] ^= 1
    assert refused(cloud, bytes(changed))[0] == "TRANSFER_INVALID"
    assert refused(cloud, file + file[len(MAGIC) :])[0] == "TRANSFER_INVALID"
    assert refused(cloud, write_transfer(device, [])) == ("TRANSFER_INVALID", "CERTIFICATES")
    forger = Device(device.device_id, new_key(), device.chain)
    assert refused(cloud, write_transfer(device, [[]], signer=forger)) == ("TRANSFER_INVALID", "SIGNATURE")
    with running_cloud(tmp_path / "other") as elsewhere:
        stranger = elsewhere.enroll()
    assert refused(cloud, write_transfer(stranger, [[]])) == ("TRANSFER_INVALID", "CHAIN")
    answer, _ = bring(cloud, file)
    assert refused(cloud, answer) == ("TRANSFER_INVALID", "ANSWER")
    assert cloud.head(device).seq == 2


def test_a_batch_in_a_file_has_the_limits_of_a_stream(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    assert refused(cloud, write_transfer(device, [[b"x"] * 257]))[0] == "BATCH_TOO_LARGE"


def test_a_revoked_device_brings_nothing(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    with cloud.database() as connection:
        connection.execute(
            text("UPDATE devices SET state = 4 WHERE device_id = :device"), {"device": device.device_id}
        )
    file = write_transfer(device, [next_envelopes(device, 1)])
    assert refused(cloud, file)[0] == "DEVICE_REVOKED"


def test_pieces_and_files_have_a_largest_size(cloud: RunningCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    too_large = pieces(bytes(service.PIECE_BYTES + 1), service.PIECE_BYTES + 1)
    with pytest.raises(ClientError) as caught:
        list(cloud.operator.stream(cloud.operator.transfers.Import, too_large))
    assert caught.value.code == "REQUEST_INVALID"
    device = cloud.enroll()
    file = write_transfer(device, [[]])
    monkeypatch.setattr(service, "MAX_TRANSFER_BYTES", len(file) - 1)
    assert refused(cloud, file) == ("TRANSFER_INVALID", "TOO_LARGE")
    monkeypatch.setattr(service, "MAX_TRANSFER_BYTES", len(file))
    bring(cloud, file)
    monkeypatch.setattr(service, "MIN_FREE_BYTES", 2**62)
    assert refused(cloud, file)[0] == "TRANSFER_NO_ROOM"


def test_one_import_at_a_time_and_none_that_fell_silent(
    cloud: RunningCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = cloud.enroll()
    file = write_transfer(device, [next_envelopes(device, 1)])
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> Iterator[pb.ImportRequest]:
        yield from pieces(file)
        begun.set()
        go_on.wait(30)

    answers: list[pb.ImportResponse] = []
    first = threading.Thread(
        target=lambda: answers.extend(cloud.operator.stream(cloud.operator.transfers.Import, slow()))
    )
    first.start()
    assert begun.wait(30)
    assert refused(cloud, file)[0] == "TRANSFER_BUSY"
    go_on.set()
    first.join(30)
    assert answers[-1].summary.accepted == 1

    def silent() -> Iterator[pb.ImportRequest]:
        yield pb.ImportRequest(content=file[:10])
        ended.wait(30)

    ended = threading.Event()
    monkeypatch.setattr(service, "PIECE_WAIT_S", 0.1)
    with pytest.raises(ClientError) as caught:
        list(cloud.operator.stream(cloud.operator.transfers.Import, silent()))
    ended.set()
    assert caught.value.code == "STREAM_IDLE"
    bring(cloud, file)


def test_an_operators_token_is_needed(cloud: RunningCloud) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        list(cloud.operator.transfers.Import(pieces(b"x"), timeout=20))
    assert refusal(caught.value)[1].reason == "OPERATOR_TOKEN_MISSING"


def run(cloud: RunningCloud, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(commands, ["import", *arguments, "--data", str(cloud.data)])
    return result.exit_code, result.stdout


def write(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def test_the_command_writes_the_answer(cloud: RunningCloud, tmp_path: Path) -> None:
    device: CloudDevice = cloud.enroll()
    file = write(tmp_path / "stick.transfer", write_transfer(device, [next_envelopes(device, 2)]))
    out = tmp_path / "answer.transfer"
    status, stdout = run(cloud, file, "--out", str(out), "--json")
    assert status == 0
    assert json.loads(stdout) == {
        "device_id": device.device_id,
        "records": 2,
        "accepted": 2,
        "already_here": 0,
        "staged": 0,
        "refused": 0,
        "forked": 0,
        "answer": str(out),
    }
    [answer] = read_answer(out.read_bytes()).batches
    assert names(answer) == ["ACCEPTED"] * 2


def test_the_command_says_what_is_wrong_and_leaves_no_answer(cloud: RunningCloud, tmp_path: Path) -> None:
    junk, out = write(tmp_path / "junk", b"junk"), tmp_path / "answer"
    status, stdout = run(cloud, junk, "--out", str(out), "--json")
    assert status == 6
    assert json.loads(stdout)["error"]["code"] == "TRANSFER_INVALID"
    assert list(tmp_path.iterdir()) == [tmp_path / "junk"]
    status, stdout = run(cloud, str(tmp_path / "none"), "--out", str(out), "--json")
    assert (status, json.loads(stdout)["error"]["code"]) == (3, "INPUT_UNREADABLE")
    status, stdout = run(cloud, junk, "--out", str(tmp_path / "no" / "folder"), "--json")
    assert (status, json.loads(stdout)["error"]["code"]) == (3, "OUTPUT_UNWRITABLE")
