"""Takes a file that a device wrote where it had no network, through the same rules as its streams.

    1  the first frame is a manifest, and a frame has the device's certificates
    2  the manifest is signed by the key of those, which lead to our root
    3  the frames behind it are as many as it says, and have its digest
    4  the device may deliver
    5  each batch is delivered, and its answer written into the answer file
    6  each chunk of a file is taken, where a record names the file; one that is complete is told
    7  what is new for the device since its cursor is written behind the answers, less what tells of people
    8  the answer is sealed: who carries it to the device can change nothing in it

Steps 1 to 4 come before anything is taken. The answer begins with the manifest of the file that it
answers. A file that is imported again brings the same answers, with newer receipts.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import BinaryIO

from cloud.api.rules import check_rules
from cloud.attestations.deliverer import Deliverer
from cloud.attestations.intake import known_device
from cloud.authority import Authority
from cloud.errors import Reason, ServiceError
from cloud.feed.pull import Feed
from cloud.media.intake import MediaIntake
from cloud.signing import sign_for_devices
from cloud.sources import Sources
from cloud.store.database import Store
from verifield.errors import VerifieldError
from verifield.transfer import (
    ANSWER_TYPE,
    MAGIC,
    check_manifest,
    encode_answer_manifest,
    frames_digest,
    read_frames,
    write_frame,
)
from verifield.v1 import sync_service_pb2 as sync_pb
from verifield.v1.transfer_pb2 import AnswerManifest, AnswerSeal, TransferFrame, TransferManifest
from verifield.v1.transfer_service_pb2 import ImportSummary

MAX_DOWN_PAGES = 64
"""Of what comes down, in one answer file: more can be pulled later."""

_SKIPPED_MEDIA = {
    Reason.MEDIA_UNKNOWN,
    Reason.MEDIA_CHUNK_INVALID,
    Reason.MEDIA_DIGEST,
    Reason.MEDIA_NO_ROOM,
}
"""What keeps one file out but does not end an import: its chunks stay with the device."""

_OF_A_DEVICE = ("deliver", "media")


@dataclass(frozen=True, slots=True)
class Importer:
    """Reads one file and writes its answer; both are seekable."""

    store: Store
    deliverer: Deliverer
    feed: Feed
    media: MediaIntake
    authority: Authority
    sources: Sources

    async def take(self, file: BinaryIO, answer: BinaryIO) -> ImportSummary:
        """Import ``file`` into the store, and write the answer file.

        Raises:
            ServiceError: TRANSFER_INVALID with the check that failed, or a refusal of a batch.
        """
        manifest, chain = await asyncio.to_thread(self._check, file)  # steps 1 to 4
        counts: Counter[int] = Counter()
        answer.write(MAGIC)
        file.seek(0)
        frames = read_frames(file)
        write_frame(answer, next(frames))  # the manifest: the device knows by it which file is answered
        while (frame := await asyncio.to_thread(next, frames, None)) is not None:
            if frame.HasField("deliver"):  # step 5
                check_rules(frame.deliver)  # as for a message of a stream
                response = await self.deliverer.deliver(
                    frame.deliver, device_id=manifest.device_id, certificates=chain
                )
                counts.update(one.status for one in response.results)
                await asyncio.to_thread(write_frame, answer, TransferFrame(answer=response))
            elif await asyncio.to_thread(self._take_media, manifest.device_id, frame.media):  # step 6
                write_frame(answer, TransferFrame(media_complete=frame.media.sha256))
        await asyncio.to_thread(self._write_down, manifest, answer)  # step 7
        await asyncio.to_thread(self._seal, manifest, answer)  # step 8
        return _summary(manifest, counts)

    def _check(self, file: BinaryIO) -> tuple[TransferManifest, tuple[bytes, ...]]:
        try:
            file.seek(0)
            frames = read_frames(file)
            first = next(frames, None)
            if first is None or not first.HasField("manifest"):
                raise _invalid("The file does not begin with a manifest.", "MANIFEST")
            behind = file.tell()
            chain: tuple[bytes, ...] = ()
            for frame in frames:
                if frame.WhichOneof("content") not in _OF_A_DEVICE:
                    raise _invalid("The file is an answer of the service.", "ANSWER")
                chain = chain or tuple(frame.deliver.certificates)
            if not chain:
                raise _invalid("The file has no certificates of its device.", "CERTIFICATES")
            manifest = check_manifest(
                first.manifest, certificates=chain, roots=[self.authority.root], at=self.sources.now()
            )
            file.seek(behind)
            found = frames_digest(file)
        except VerifieldError as error:
            raise _invalid(error.message, error.code) from error
        if (found.frames, found.sha256) != (manifest.frames, manifest.frames_sha256):
            raise _invalid("The frames of the file are not those that its manifest names.", "FRAMES")
        with self.store.reading() as connection:
            known_device(connection, manifest.device_id)
        return manifest, chain

    def _take_media(self, device_id: str, chunk: sync_pb.PutMediaChunkRequest) -> bool:
        """Whether the file is complete now."""
        try:
            return self.media.put(device_id, chunk)
        except ServiceError as error:
            if error.reason not in _SKIPPED_MEDIA:
                raise
        return False

    def _write_down(self, manifest: TransferManifest, answer: BinaryIO) -> None:
        cursor = manifest.pull_cursor
        for _ in range(MAX_DOWN_PAGES):
            with self.store.reading() as connection:
                device = known_device(connection, manifest.device_id)
                page = self.feed.pull(connection, device, cursor=cursor, page_size=0, tasks=False)
            write_frame(answer, TransferFrame(down=page))
            cursor = page.next_cursor
            if not page.more:
                return

    def _seal(self, manifest: TransferManifest, answer: BinaryIO) -> None:
        answer.seek(len(MAGIC))
        found = frames_digest(answer)
        written = AnswerManifest(
            device_id=manifest.device_id,
            transfer_id=manifest.transfer_id,
            frames=found.frames,
            frames_sha256=found.sha256,
        )
        written.server_time.FromDatetime(self.sources.now())
        envelope = sign_for_devices(
            self.authority, payload_type=ANSWER_TYPE, payload=encode_answer_manifest(written)
        )
        chain = self.authority.chain_of(self.authority.policy.certificate)
        write_frame(answer, TransferFrame(seal=AnswerSeal(envelope=envelope, certificates=chain)))


def _summary(manifest: TransferManifest, counts: Counter[int]) -> ImportSummary:
    return ImportSummary(
        device_id=manifest.device_id,
        records=counts.total(),
        accepted=counts[sync_pb.DELIVER_STATUS_ACCEPTED],
        already_here=counts[sync_pb.DELIVER_STATUS_ALREADY_HAVE],
        staged=counts[sync_pb.DELIVER_STATUS_STAGED],
        refused=counts[sync_pb.DELIVER_STATUS_INVALID],
        forked=counts[sync_pb.DELIVER_STATUS_FORK],
    )


def _invalid(sentence: str, check: str) -> ServiceError:
    return ServiceError(Reason.TRANSFER_INVALID, sentence, {"check": check})
