"""Chains with everything that can happen to them: holes, refusals, resets.

chain = Chain(device)
chain.add()                       a verification
chain.add(site="elsewhere")       one that the service refuses
chain.gap(2, 3); chain.tombstone(4); chain.reset(cloud_head=head)
"""

from __future__ import annotations

from dataclasses import dataclass, field

import uuid_utils

from tests.support.authority import Device, base_statement, verification
from verifield.chain import ChainHead, envelope_sha256
from verifield.v1 import attestation_pb2 as pb

WALL = verification.__kwdefaults__["at"]


@dataclass
class Chain:
    """What a device signed, in order; ``by_place`` gives the envelopes by epoch and seq."""

    device: Device
    envelopes: list[bytes] = field(default_factory=list)
    by_place: dict[tuple[int, int], bytes] = field(default_factory=dict)

    @property
    def head(self) -> ChainHead:
        assert self.device.head is not None
        return self.device.head

    def sign(self, statement: pb.Statement) -> bytes:
        statement.attestation_id = str(uuid_utils.uuid7())
        envelope = self.device.sign(statement)
        self.envelopes.append(envelope)
        self.by_place[statement.chain_epoch, statement.seq] = envelope
        return envelope

    def add(self, *, site: str = "site-1", media: tuple[pb.MediaReference, ...] = ()) -> bytes:
        """A verification; one of another site is refused."""
        statement = verification(self.device)
        statement.site.site_id = site
        statement.media.extend(media)
        return self.sign(statement)

    def gap(self, first: int, last: int, *, reason: str = "LOST") -> bytes:
        """Give up places of this epoch."""
        statement = self._event(pb.DEVICE_EVENT_TYPE_GAP)
        digest = envelope_sha256(self.by_place[self.head.epoch, last])
        statement.device_event.gap.CopyFrom(
            pb.Gap(first_seq=first, last_seq=last, last_sha256=digest, reason=reason)
        )
        return self.sign(statement)

    def tombstone(self, seq: int, *, reason: str = "OTHER_SITE") -> bytes:
        """Give up a place whose record was refused."""
        statement = self._event(pb.DEVICE_EVENT_TYPE_TOMBSTONE)
        digest = envelope_sha256(self.by_place[self.head.epoch, seq])
        statement.device_event.tombstone.CopyFrom(
            pb.Tombstone(seq=seq, envelope_sha256=digest, reason=reason)
        )
        return self.sign(statement)

    def peripheral(self, *, previous: str = "usb-1") -> bytes:
        """Another camera; the first one where there was none before."""
        statement = self._event(pb.DEVICE_EVENT_TYPE_PERIPHERAL)
        statement.device_event.peripheral.CopyFrom(
            pb.Peripheral(kind=pb.PERIPHERAL_KIND_CAMERA, previous_id=previous, current_id="usb-2")
        )
        return self.sign(statement)

    def reset(
        self,
        *,
        cloud_head: ChainHead | None,
        device_head: ChainHead | None = None,
        epoch: int | None = None,
        reason: str = "FORK",
    ) -> bytes:
        """Begin a new epoch, by default the next one."""
        statement = self._event(pb.DEVICE_EVENT_TYPE_RESET)
        statement.chain_epoch = epoch or statement.chain_epoch + 1
        statement.seq = 1
        statement.previous_envelope_sha256 = b""
        reset = statement.device_event.reset
        reset.reason = reason
        for field_name, head in (("cloud_head", cloud_head), ("device_head", device_head)):
            if head is not None:
                getattr(reset, field_name).CopyFrom(
                    pb.ChainPosition(chain_epoch=head.epoch, seq=head.seq, envelope_sha256=head.sha256)
                )
        return self.sign(statement)

    def _event(self, kind: pb.DeviceEventType.ValueType) -> pb.Statement:
        statement = base_statement(self.device, at=WALL, cites=b"")
        statement.kind = pb.RECORD_KIND_DEVICE_EVENT
        statement.device_event.type = kind
        return statement
