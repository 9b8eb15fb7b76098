"""A good bundle, ready to be changed by a test."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from tests.support.authority import (
    NOW,
    SALT,
    Authority,
    Device,
    device_event,
    new_key,
    verification,
)
from tests.support.events import add_session
from tests.support.policies import sample_policy, sign_policy
from verifield.certificates import Purpose
from verifield.commitments import Disclosure
from verifield.dsse import parse_envelope
from verifield.policy import policy_sha256
from verifield.report import Report
from verifield.v1 import attestation_pb2 as pb
from verifield.v1.bundle_pb2 import Bundle
from verifield.verify import verify_bundle

KEYID = b"hint-without-effect"
CITED_AT = NOW + timedelta(hours=2)
SINCE_RECEIPT = timedelta(minutes=50)
SIGNED_AT = NOW + timedelta(hours=3)
RECEIVED_AT = NOW + timedelta(hours=4)
LISTED_AT = NOW + timedelta(hours=5)


@dataclass(frozen=True)
class Case:
    """A deployment, a device, and the good bundle of its second record.

    The bundle has everything: a cited receipt by an older key, one witness, a revocation list. Beside
    it lie the policy that the record names and two disclosures.
    """

    authority: Authority
    device: Device
    witness: Device
    good: Bundle
    policy: bytes
    disclosures: list[Disclosure] = field(
        default_factory=lambda: [
            Disclosure("document.name", "测试".encode(), SALT),
            Disclosure("customer.phone", b"13800000000", SALT),
        ]
    )

    def verify(self, bundle: Bundle | bytes) -> Report:
        data = bundle if isinstance(bundle, bytes) else bundle.SerializeToString()
        return verify_bundle(data, roots=[self.authority.root])

    def verify_with_all(self, bundle: Bundle | bytes) -> Report:
        """Verify with the policy and the disclosures beside the bundle."""
        return verify_bundle(
            bundle if isinstance(bundle, bytes) else bundle.SerializeToString(),
            roots=[self.authority.root],
            disclosures=self.disclosures,
            policy=self.policy,
            policy_certificates=self.authority.policy_chain,
        )

    def changed(self) -> Bundle:
        """Return a copy of the good bundle, to be changed."""
        bundle = Bundle()
        bundle.CopyFrom(self.good)
        return bundle


def build_case(outcome: pb.Outcome.ValueType = pb.OUTCOME_VERIFIED) -> Case:
    authority = Authority.create()
    device = authority.enroll("device-1")
    witness = authority.enroll("device-2")
    policy = sign_policy(authority, sample_policy())
    for number in range(5):  # other devices' records
        authority.tree.append(bytes([number]) * 32)
    first = authority.confirm(device, device.sign(device_event(device)), at=CITED_AT)
    change_receipt_key(authority)
    statement = verification(device, outcome=outcome, at=SIGNED_AT, cites=first.receipt)
    statement.clock.monotonic_ns = 2 * int(SINCE_RECEIPT.total_seconds()) * 10**9
    statement.clock.since_receipt_ns = statement.clock.monotonic_ns // 2
    statement.configuration.policy_sha256 = policy_sha256(parse_envelope(policy).payload)
    add_session(statement)
    good = authority.confirm(device, device.sign(statement), at=RECEIVED_AT, cited=first.receipt)
    good.cited_receipt_certificates.extend(first.receipt_certificates)
    assert device.head is not None
    good.receipt = authority.receipt(device.device_id, device.head, at=RECEIVED_AT, keyid=KEYID.decode())
    for number in range(5, 9):
        authority.tree.append(bytes([number]) * 32)
    seen = verification(witness, at=LISTED_AT)
    good.witnesses.append(authority.witness(witness, seen, size=authority.tree.size, entry=good.log_entry))
    good.revocation_list = authority.revocation_list(
        authority.enroll("device-3").certificate, issued=LISTED_AT
    )
    return Case(authority, device, witness, good, policy)


def change_receipt_key(authority: Authority) -> None:
    """Let the service go on with a new receipt key."""
    authority.receipt_key = new_key()
    authority.receipt_chain = authority.issue(
        authority.receipt_key.public_key(), name="Test receipts", purpose=Purpose.RECEIPT
    )


def statuses(report: Report) -> dict[str, str]:
    """Return the status of each check by its name."""
    return {check.name: check.status for check in report.checks}


def answer(report: Report) -> tuple[str, str | None, str | None]:
    """Return verdict, code, and the check that failed."""
    failed = [name for name, status in statuses(report).items() if status == "failed"]
    return report.verdict, report.error and report.error.code, failed[0] if failed else None
