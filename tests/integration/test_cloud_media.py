"""Files from devices: chunk by chunk, resumable, durable, and only those that a record names."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from cloud.media import intake
from cloud.media.files import MediaFolder
from cloud.sources import Sources
from tests.support.chains import Chain
from tests.support.cloud import TIMEOUT_S, CloudDevice, RunningCloud, refusal, running_cloud
from tests.support.intake import open_desk
from verifield.media import CHUNK_BYTES
from verifield.v1 import sync_service_pb2 as pb
from verifield.v1.attestation_pb2 import MediaReference


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, module_database_url: str) -> Iterator[RunningCloud]:
    data = tmp_path_factory.mktemp("cloud") / "data"
    with running_cloud(data, database=module_database_url) as running:
        yield running


def reference(content: bytes, *, name: str = "best_shot") -> MediaReference:
    return MediaReference(
        name=name,
        sha256=hashlib.sha256(content).digest(),
        size_bytes=len(content),
        content_commitment=bytes(32),
    )


def named(cloud: RunningCloud, size: int, *, count: int = 1) -> tuple[CloudDevice, list[bytes]]:
    """A device, and files of this size that a record of it names."""
    device = cloud.enroll()
    contents = [secrets.token_bytes(size) for _ in range(count)]
    references = tuple(reference(one, name=f"file_{number}") for number, one in enumerate(contents))
    cloud.deliver(device, [Chain(device).add(media=references)])
    return device, contents


def chunks(content: bytes) -> list[pb.PutMediaChunkRequest]:
    return [
        pb.PutMediaChunkRequest(
            sha256=hashlib.sha256(content).digest(),
            size_bytes=len(content),
            index=index,
            content=content[start : start + CHUNK_BYTES],
        )
        for index, start in enumerate(range(0, len(content), CHUNK_BYTES))
    ]


def put(cloud: RunningCloud, device: CloudDevice, *requests: pb.PutMediaChunkRequest) -> list[bool]:
    with cloud.sync(device) as stub:
        return [stub.PutMediaChunk(request, timeout=TIMEOUT_S).complete for request in requests]


def find(cloud: RunningCloud, device: CloudDevice, content: bytes) -> pb.GetMediaResponse:
    request = pb.GetMediaRequest(sha256=hashlib.sha256(content).digest())
    with cloud.sync(device) as stub:
        return stub.GetMedia(request, timeout=TIMEOUT_S)


def kept(cloud: RunningCloud, device: CloudDevice, content: bytes) -> Path:
    return MediaFolder(cloud.data / "media").path(device.device_id, hashlib.sha256(content).digest())


@pytest.mark.parametrize("size", [1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES - 7])
def test_a_file_is_complete_with_its_last_chunk(cloud: RunningCloud, size: int) -> None:
    device, [content] = named(cloud, size)
    requests = chunks(content)
    assert list(find(cloud, device, content).chunks) == []
    assert put(cloud, device, *requests) == [False] * (len(requests) - 1) + [True]
    assert find(cloud, device, content).complete
    assert kept(cloud, device, content).read_bytes() == content
    assert kept(cloud, device, content).stat().st_mode & 0o077 == 0
    assert put(cloud, device, requests[0]) == [True], "again changes nothing"


def test_chunks_come_in_any_order_and_again(cloud: RunningCloud) -> None:
    device, [content] = named(cloud, 3 * CHUNK_BYTES)
    first, second, third = chunks(content)
    assert put(cloud, device, third, third, first) == [False] * 3
    assert list(find(cloud, device, content).chunks) == [0, 2]
    assert put(cloud, device, second) == [True]
    assert kept(cloud, device, content).read_bytes() == content
    assert not (kept(cloud, device, content).parent / "parts" / hashlib.sha256(content).hexdigest()).exists()


def test_the_record_may_still_wait_for_its_turn(cloud: RunningCloud) -> None:
    device, content = cloud.enroll(), b"picture"
    chain = Chain(device)
    chain.add()
    [answer] = cloud.deliver(device, [chain.add(media=(reference(content),))])
    assert answer.results[0].status == pb.DELIVER_STATUS_STAGED
    assert put(cloud, device, *chunks(content)) == [True]


def test_what_no_record_of_the_device_names_is_refused(cloud: RunningCloud) -> None:
    device, [content] = named(cloud, 10)
    other = cloud.enroll()
    for who, what in ((device, b"something else"), (other, content)):
        for call in (lambda: put(cloud, who, *chunks(what)), lambda: find(cloud, who, what)):  # noqa: B023
            with pytest.raises(grpc.RpcError) as caught:
                call()
            code, info, _ = refusal(caught.value)
            assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "MEDIA_UNKNOWN")


def test_a_chunk_that_is_none_of_the_file_is_refused(cloud: RunningCloud) -> None:
    device, [content] = named(cloud, CHUNK_BYTES + 100)
    first, last = chunks(content)

    def changed(request: pb.PutMediaChunkRequest, **fields: object) -> pb.PutMediaChunkRequest:
        copy = pb.PutMediaChunkRequest()
        copy.CopyFrom(request)
        for name, value in fields.items():
            setattr(copy, name, value)
        return copy

    wrong = [
        changed(first, size_bytes=len(content) + 1),
        changed(first, index=2),
        changed(first, content=first.content[:-1]),
        changed(last, content=last.content + b"x"),
        changed(last, content=b""),
        changed(first, index=1),
    ]
    for request in wrong:
        with pytest.raises(grpc.RpcError) as caught:
            put(cloud, device, request)
        assert refusal(caught.value)[1].reason == "MEDIA_CHUNK_INVALID"
    assert list(find(cloud, device, content).chunks) == []


def test_a_file_with_another_digest_begins_anew(cloud: RunningCloud) -> None:
    device, [content] = named(cloud, CHUNK_BYTES + 100)
    first, last = chunks(content)
    bad = pb.PutMediaChunkRequest()
    bad.CopyFrom(first)
    bad.content = bytes(CHUNK_BYTES)
    put(cloud, device, bad)
    with pytest.raises(grpc.RpcError) as caught:
        put(cloud, device, last)
    assert refusal(caught.value)[1].reason == "MEDIA_DIGEST"
    assert list(find(cloud, device, content).chunks) == []
    assert not kept(cloud, device, content).exists()
    assert put(cloud, device, first, last) == [False, True]


def test_of_too_many_files_on_their_way_the_one_that_stood_still_begins_anew(
    cloud: RunningCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MAX_PARTIAL_FILES", 2)
    device, contents = named(cloud, CHUNK_BYTES + 1, count=3)
    firsts = [chunks(content)[0] for content in contents]
    put(cloud, device, firsts[0], firsts[1])
    assert [list(find(cloud, device, one).chunks) for one in contents] == [[0], [0], []]
    put(cloud, device, firsts[2])
    assert [list(find(cloud, device, one).chunks) for one in contents] == [[], [0], [0]]


def test_a_device_has_a_quota_and_the_disk_a_reserve(
    cloud: RunningCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, [one, two] = named(cloud, 1000, count=2)
    monkeypatch.setattr(intake, "MAX_DEVICE_BYTES", 1999)
    assert put(cloud, device, *chunks(one)) == [True]
    with pytest.raises(grpc.RpcError) as caught:
        put(cloud, device, *chunks(two))
    code, info, _ = refusal(caught.value)
    assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "MEDIA_NO_ROOM")
    monkeypatch.setattr(intake, "MAX_DEVICE_BYTES", 2000)
    monkeypatch.setattr(intake, "MIN_FREE_BYTES", 2**62)
    with pytest.raises(grpc.RpcError) as caught:
        put(cloud, device, *chunks(two))
    assert refusal(caught.value)[1].reason == "MEDIA_NO_ROOM"
    monkeypatch.setattr(intake, "MIN_FREE_BYTES", 0)
    assert put(cloud, device, *chunks(two)) == [True]


def test_a_chunk_that_waited_while_the_file_was_completed_leaves_nothing(tmp_path: Path) -> None:
    content = secrets.token_bytes(CHUNK_BYTES + 1)
    digest, folder = hashlib.sha256(content).digest(), MediaFolder(tmp_path / "media")
    first, last = chunks(content)
    with open_desk(tmp_path) as desk, ThreadPoolExecutor(1) as pool:
        device = desk.enroll()
        desk.take(device, [Chain(device).add(media=(reference(content),))])
        files = intake.MediaIntake(desk.store, folder, Sources.system())
        assert not files.put(device.device_id, first)
        with files._writing:  # as another stream that brings the last chunk has it
            late = pool.submit(files.put, device.device_id, first)
            with pytest.raises(TimeoutError):
                late.result(0.2)
            folder.put_chunk(device.device_id, digest, 1, last.content)
            assert folder.assemble(device.device_id, digest, chunks=2)
        assert late.result(30)
        assert folder.chunks(device.device_id, digest) == []


def test_what_a_killed_service_had_half_written_is_cleared_away(cloud: RunningCloud) -> None:
    device, [content, other] = named(cloud, 10, count=2)
    put(cloud, device, *chunks(content))
    file = kept(cloud, device, content)
    left = file.with_name(".half")
    left.write_bytes(b"ha")
    assert put(cloud, device, *chunks(other)) == [True]
    assert not left.exists()
    assert file.read_bytes() == content


def test_a_service_that_ended_goes_on_where_it_was(tmp_path: Path) -> None:
    with running_cloud(tmp_path / "data") as cloud:
        device, [content] = named(cloud, 2 * CHUNK_BYTES)
        put(cloud, device, chunks(content)[1])
    with running_cloud(tmp_path / "data") as cloud:
        assert list(find(cloud, device, content).chunks) == [1]
        assert put(cloud, device, chunks(content)[0]) == [True]


def test_a_file_that_is_on_disk_counts_also_where_its_row_was_not_written(tmp_path: Path) -> None:
    with running_cloud(tmp_path / "data") as cloud:
        device, [content] = named(cloud, 10)
        put(cloud, device, *chunks(content))
        with cloud.database() as connection:
            connection.exec_driver_sql("UPDATE media SET complete_us = NULL")
        assert find(cloud, device, content).complete
        with cloud.database() as connection:
            assert connection.exec_driver_sql("SELECT count(complete_us) FROM media").scalar() == 1


def test_a_file_may_become_complete_while_its_chunks_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of its chunks goes then, also right behind a look whether it is there."""
    monkeypatch.setattr(Path, "exists", lambda _path: True)
    assert MediaFolder(tmp_path).chunks("device-1", bytes(32)) == []
