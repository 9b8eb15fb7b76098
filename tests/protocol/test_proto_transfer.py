"""Transfer files: frames one after the other, a signed manifest, and nothing that passes a limit."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.authority import LEAF_LIFETIME, NOW, Authority, Device, sign_envelope
from verifield import transfer
from verifield.dsse import parse_envelope
from verifield.errors import Forged, Malformed, Unknown, Untrusted
from verifield.transfer import (
    ANSWER_TYPE,
    MAGIC,
    MAX_FRAME_BYTES,
    TRANSFER_TYPE,
    FramesDigest,
    check_manifest,
    check_seal,
    encode_answer_manifest,
    encode_manifest,
    frames_digest,
    read_frames,
    read_seal,
    write_frame,
)
from verifield.v1.sync_service_pb2 import DeliverRequest, PutMediaChunkRequest
from verifield.v1.transfer_pb2 import AnswerManifest, AnswerSeal, TransferFrame, TransferManifest

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


class TestSeal:
    """What a service writes at the end of its answer."""

    FOUND = FramesDigest(2, bytes(range(32)))
    ANSWERED = TransferManifest(device_id="device-1", transfer_id="019ca5a0-0000-7000-8000-000000000001")

    def seal(self, authority: Authority, **changes: object) -> AnswerSeal:
        fields = {
            "device_id": self.ANSWERED.device_id,
            "transfer_id": self.ANSWERED.transfer_id,
            "server_time": NOW,
            "frames": self.FOUND.frames,
            "frames_sha256": self.FOUND.sha256,
        }
        manifest = AnswerManifest(**(fields | changes))  # type: ignore[arg-type]
        envelope = sign_envelope(
            encode_answer_manifest(manifest), payload_type=ANSWER_TYPE, key=authority.policy_key
        )
        return AnswerSeal(envelope=envelope, certificates=authority.policy_chain)

    def check(self, authority: Authority, seal: AnswerSeal) -> datetime:
        return check_seal(seal, roots=[authority.root], found=self.FOUND, answered=self.ANSWERED)

    def test_it_is_checked_and_tells_when_it_was_written(self, authority: Authority) -> None:
        assert self.check(authority, self.seal(authority)) == NOW

    @pytest.mark.parametrize(
        "changes",
        [
            {"device_id": "device-2"},
            {"transfer_id": "019ca5a0-0000-7000-8000-000000000002"},
            {"frames": 3},
            {"frames_sha256": bytes(32)},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_of_other_frames_or_another_file_it_is_forged(
        self, authority: Authority, changes: dict[str, object]
    ) -> None:
        with pytest.raises(Forged):
            self.check(authority, self.seal(authority, **changes))

    @pytest.mark.parametrize(
        "changes", [{"server_time": None}, {"frames": transfer.MAX_FRAMES + 1}, {"frames_sha256": b""}]
    )
    def test_what_breaks_its_rules_is_not_even_written(
        self, authority: Authority, changes: dict[str, object]
    ) -> None:
        with pytest.raises(Malformed):
            self.seal(authority, **changes)
        self.seal(authority, frames=transfer.MAX_FRAMES)

    def test_only_the_key_for_policies_of_our_authority_seals(self, authority: Authority) -> None:
        seal, device = self.seal(authority), authority.enroll("device-1")
        other = Authority.create()
        with pytest.raises(Forged):
            self.check(authority, AnswerSeal(envelope=seal.envelope, certificates=device.chain))
        with pytest.raises(Untrusted):
            self.check(other, seal)
        payload = parse_envelope(seal.envelope).payload
        own = sign_envelope(payload, payload_type=ANSWER_TYPE, key=device.key)
        with pytest.raises(Untrusted):
            self.check(authority, AnswerSeal(envelope=own, certificates=device.chain))
        with pytest.raises(Malformed):
            self.check(authority, AnswerSeal(envelope=seal.envelope))

    def test_it_stands_last_and_measures_all_before_it(self, authority: Authority) -> None:
        seal = self.seal(authority)
        file = written([*FRAMES, TransferFrame(seal=seal)])
        before = written(FRAMES, magic=b"").getvalue()
        assert read_seal(file) == (FramesDigest(len(FRAMES), hashlib.sha256(before).digest()), seal)
        for frames in ([], FRAMES, [TransferFrame(seal=seal), *FRAMES]):
            with pytest.raises(Malformed):
                read_seal(written(frames))
        with pytest.raises(Malformed):
            read_seal(io.BytesIO(b"x" + file.getvalue()))
