"""Transfer files as a device writes them, and the answers that it reads."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import uuid_utils

from tests.support.authority import Device, sign_envelope
from verifield.transfer import (
    MAGIC,
    TRANSFER_TYPE,
    encode_manifest,
    frames_digest,
    read_frames,
    write_frame,
)
from verifield.v1 import sync_service_pb2 as pb
from verifield.v1.transfer_pb2 import TransferFrame, TransferManifest


def write_transfer(
    device: Device,
    batches: Sequence[Sequence[bytes]],
    *,
    media: Sequence[pb.PutMediaChunkRequest] = (),
    cursor: str = "",
    signer: Device | None = None,
    change: TransferManifest | None = None,
) -> bytes:
    """The file of ``device``; its manifest signed by ``signer``, with the fields of ``change`` put in."""
    body = io.BytesIO()
    for number, batch in enumerate(batches):
        request = pb.DeliverRequest(envelopes=batch, certificates=() if number else device.chain)
        write_frame(body, TransferFrame(deliver=request))
    for chunk in media:
        write_frame(body, TransferFrame(media=chunk))
    body.seek(0)
    found = frames_digest(body)
    manifest = TransferManifest(
        device_id=device.device_id,
        transfer_id=str(uuid_utils.uuid7()),
        frames=found.frames,
        frames_sha256=found.sha256,
        records=sum(map(len, batches)),
        pull_cursor=cursor,
    )
    manifest.wall_time.FromDatetime(datetime.now(UTC))
    if change is not None:
        manifest.MergeFrom(change)
    envelope = sign_envelope(
        encode_manifest(manifest), payload_type=TRANSFER_TYPE, key=(signer or device).key
    )
    return with_manifest(envelope, body.getvalue())


def with_manifest(envelope: bytes, frames: bytes) -> bytes:
    """A file with this manifest in front of these frames."""
    file = io.BytesIO()
    file.write(MAGIC)
    write_frame(file, TransferFrame(manifest=envelope))
    file.write(frames)
    return file.getvalue()


@dataclass(frozen=True)
class Answer:
    """What the service wrote back: for each batch, for each complete file, and what is new."""

    manifest: bytes
    batches: list[pb.DeliverResponse]
    complete: list[bytes]
    down: list[pb.PullResponse]


def read_answer(content: bytes) -> Answer:
    first, *frames = read_frames(io.BytesIO(content))
    answer = Answer(
        first.manifest,
        [frame.answer for frame in frames if frame.HasField("answer")],
        [frame.media_complete for frame in frames if frame.HasField("media_complete")],
        [frame.down for frame in frames if frame.HasField("down")],
    )
    assert len(answer.batches) + len(answer.complete) + len(answer.down) + 1 == len(frames)
    assert frames[-1].HasField("seal")
    return answer
