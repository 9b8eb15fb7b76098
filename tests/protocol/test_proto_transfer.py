"""Transfer files: frames one after the other, a signed manifest, and nothing that passes a limit."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.authority import LEAF_LIFETIME, NOW, Authority, Device, sign_envelope
from verifield import transfer
from verifield.errors import Forged, Malformed, Unknown, Untrusted
from verifield.transfer import (
    MAGIC,
    MAX_FRAME_BYTES,
    TRANSFER_TYPE,
    FramesDigest,
    check_manifest,
    encode_manifest,
    frames_digest,
    read_frames,
    write_frame,
)
from verifield.v1.sync_service_pb2 import DeliverRequest, PutMediaChunkRequest
from verifield.v1.transfer_pb2 import TransferFrame, TransferManifest

FRAMES = [
    TransferFrame(manifest=b"signed"),
    TransferFrame(deliver=DeliverRequest(envelopes=[b"one", b"two"])),
    TransferFrame(media=PutMediaChunkRequest(sha256=bytes(32), content=b"chunk")),
]


def written(frames: Iterable[TransferFrame], *, magic: bytes = MAGIC) -> io.BytesIO:
    file = io.BytesIO()
    file.write(magic)
    for frame in frames:
        write_frame(file, frame)
    file.seek(0)
    return file


def test_what_is_written_is_read_and_measured() -> None:
    file = written(FRAMES)
    assert list(read_frames(file)) == FRAMES
    spool = written(FRAMES[1:], magic=b"")
    measured = frames_digest(spool)
    assert measured == FramesDigest(2, hashlib.sha256(spool.getvalue()).digest())
    file.seek(0)
    frames = read_frames(file)
    assert next(frames) == FRAMES[0]
    behind = file.tell()
    assert frames_digest(file) == measured
    file.seek(behind)
    assert list(frames) == FRAMES[1:]
    assert write_frame(io.BytesIO(), FRAMES[0]) == 4 + len(FRAMES[0].SerializeToString())


def test_a_file_of_no_frames_is_empty_and_no_fault() -> None:
    assert list(read_frames(written([]))) == []


def test_a_file_cut_anywhere_but_between_frames_is_refused() -> None:
    data = written(FRAMES).getvalue()
    ends = {len(MAGIC)}
    for frame in FRAMES:
        ends.add(max(ends) + 4 + len(frame.SerializeToString()))
    for length in range(len(data)):
        part = io.BytesIO(data[:length])
        if length in ends:
            assert len(list(read_frames(part))) < len(FRAMES)
            continue
        with pytest.raises(Malformed) as caught:
            list(read_frames(part))
        assert caught.value.code in {"NOT_A_TRANSFER", "TRANSFER_CUT"}


@given(st.binary(max_size=200))
def test_random_bytes_never_escape_the_error_tree(data: bytes) -> None:
    for content in (data, MAGIC + data):
        try:
            frames = list(read_frames(io.BytesIO(content)))
        except (Malformed, Unknown):
            continue
        assert all(frame.WhichOneof("content") for frame in frames)


@pytest.mark.parametrize(
    ("tail", "error"),
    [
        (b"\0\0\0\0", Malformed),
        (b"\0\0\0\1\xff", Malformed),
        (b"\0\0\0\3\xf8\x7f\1", Unknown),
        (b"\xff\xff\xff\xff", Malformed),
        ((MAX_FRAME_BYTES + 1).to_bytes(4, "big"), Malformed),
    ],
)
def test_frames_that_are_none_are_refused(tail: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        list(read_frames(io.BytesIO(MAGIC + tail)))


def test_a_manifest_comes_first_or_not_at_all() -> None:
    with pytest.raises(Malformed):
        list(read_frames(written([FRAMES[1], FRAMES[0]])))
    with pytest.raises(Malformed):
        list(read_frames(written([FRAMES[0], FRAMES[0]])))


def test_an_empty_frame_is_not_written() -> None:
    with pytest.raises(Malformed):
        write_frame(io.BytesIO(), TransferFrame())


def test_a_frame_has_a_largest_size_on_both_sides() -> None:
    overhead = len(TransferFrame(manifest=bytes(3_000_000)).SerializeToString()) - 3_000_000
    largest = TransferFrame(manifest=bytes(MAX_FRAME_BYTES - overhead))
    assert list(read_frames(written([largest]))) == [largest]
    with pytest.raises(Malformed):
        write_frame(io.BytesIO(), TransferFrame(manifest=bytes(MAX_FRAME_BYTES - overhead + 1)))


def test_a_file_has_a_largest_size_and_number(monkeypatch: pytest.MonkeyPatch) -> None:
    data = written(FRAMES).getvalue()
    monkeypatch.setattr(transfer, "MAX_FRAMES", 2)  # behind the manifest
    assert len(list(read_frames(io.BytesIO(data)))) == 3
    monkeypatch.setattr(transfer, "MAX_FRAMES", 1)
    with pytest.raises(Malformed):
        list(read_frames(io.BytesIO(data)))
    monkeypatch.undo()
    monkeypatch.setattr(transfer, "MAX_TRANSFER_BYTES", len(data) - len(MAGIC))
    assert len(list(read_frames(io.BytesIO(data)))) == 3
    monkeypatch.setattr(transfer, "MAX_TRANSFER_BYTES", len(data) - len(MAGIC) - 1)
    with pytest.raises(Malformed):
        list(read_frames(io.BytesIO(data)))


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture(scope="module")
def device(authority: Authority) -> Device:
    return authority.enroll("device-1")


def manifest() -> TransferManifest:
    made = TransferManifest(
        device_id="device-1",
        transfer_id="019ca5a0-0000-7000-8000-0000000000aa",
        frames=2,
        frames_sha256=bytes(32),
        records=2,
        pull_cursor="c:17",
    )
    made.wall_time.FromDatetime(NOW)
    return made


def test_a_manifest_is_the_devices_own(authority: Authority, device: Device) -> None:
    roots = [authority.root]
    payload = encode_manifest(manifest())
    envelope = sign_envelope(payload, payload_type=TRANSFER_TYPE, key=device.key)
    assert check_manifest(envelope, certificates=device.chain, roots=roots, at=NOW) == manifest()
    other = authority.enroll("device-2")
    with pytest.raises(Forged) as caught:
        check_manifest(
            sign_envelope(payload, payload_type=TRANSFER_TYPE, key=other.key),
            certificates=other.chain,
            roots=roots,
            at=NOW,
        )
    assert caught.value.code == "DEVICE"
    with pytest.raises(Forged):
        check_manifest(envelope, certificates=other.chain, roots=roots, at=NOW)
    with pytest.raises(Untrusted):
        check_manifest(
            envelope, certificates=device.chain, roots=roots, at=NOW + LEAF_LIFETIME + timedelta(seconds=1)
        )
    with pytest.raises(Untrusted):
        check_manifest(envelope, certificates=device.chain, roots=[Authority.create().root], at=NOW)
    receipt = sign_envelope(payload, payload_type=TRANSFER_TYPE, key=authority.receipt_key)
    with pytest.raises(Untrusted):
        check_manifest(receipt, certificates=authority.receipt_chain, roots=roots, at=NOW)
    with pytest.raises(Unknown):
        check_manifest(
            sign_envelope(payload, payload_type="text/plain", key=device.key),
            certificates=device.chain,
            roots=roots,
            at=NOW,
        )


@pytest.mark.parametrize(
    ("field", "value", "sound"),
    [
        ("device_id", "", False),
        ("transfer_id", "7", False),
        ("wall_time", None, False),
        ("frames", transfer.MAX_FRAMES, True),
        ("frames", transfer.MAX_FRAMES + 1, False),
        ("frames_sha256", bytes(31), False),
        ("records", 2**63, False),
        ("pull_cursor", "c" * transfer.MAX_CURSOR_CHARS, True),
        ("pull_cursor", "c" * (transfer.MAX_CURSOR_CHARS + 1), False),
    ],
)
def test_the_shape_of_a_manifest_is_checked(field: str, value: object, sound: bool) -> None:
    made = manifest()
    if value is None:
        made.ClearField(field)  # type: ignore[arg-type]
    else:
        setattr(made, field, value)
    if sound:
        encode_manifest(made)
        return
    with pytest.raises(Malformed):
        encode_manifest(made)
