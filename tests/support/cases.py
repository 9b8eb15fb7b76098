"""A good bundle, ready to be changed by a test."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from tests.support.authority import NOW, Authority, Device, device_event, verification
from verifield.report import Report
from verifield.v1 import attestation_pb2 as pb
from verifield.v1.bundle_pb2 import Bundle
from verifield.verify import verify_bundle

KEYID = b"hint-without-effect"
CITED_AT = NOW + timedelta(hours=2)
SIGNED_AT = NOW + timedelta(hours=3)
RECEIVED_AT = NOW + timedelta(hours=4)


@dataclass(frozen=True)
class Case:
    """A deployment, a device, and the good bundle of its second record."""

    authority: Authority
    device: Device
    good: Bundle

    def verify(self, bundle: Bundle | bytes) -> Report:
        data = bundle if isinstance(bundle, bytes) else bundle.SerializeToString()
        return verify_bundle(data, roots=[self.authority.root])

    def changed(self) -> Bundle:
        """Return a copy of the good bundle, to be changed."""
        bundle = Bundle()
        bundle.CopyFrom(self.good)
        return bundle


def build_case(outcome: pb.Outcome.ValueType = pb.OUTCOME_VERIFIED) -> Case:
    authority = Authority.create()
    device = authority.enroll("device-1")
    for number in range(5):  # other devices' records
        authority.tree.append(bytes([number]) * 32)
    first = authority.confirm(device, device.sign(device_event(device)), at=CITED_AT)
    statement = verification(device, outcome=outcome, at=SIGNED_AT, cites=first.receipt)
    good = authority.confirm(device, device.sign(statement), at=RECEIVED_AT, cited=first.receipt)
    assert device.head is not None
    good.receipt = authority.receipt(device.device_id, device.head, at=RECEIVED_AT, keyid=KEYID.decode())
    return Case(authority, device, good)


def statuses(report: Report) -> dict[str, str]:
    """Return the status of each check by its name."""
    return {check.name: check.status for check in report.checks}
