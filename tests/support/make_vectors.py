"""Write the bundles of tests/vectors/attestation: ``python -m tests.support.make_vectors``.

Run it when the format gets a new version, and only then. The committed files are the contract: a
later program must give the same answers about the very same bytes, years later. Keys are thrown
away, so a new run makes new files; those of before move to a folder of their own, and stay
(``first``: before device events, witnesses, revocation lists and second signatures).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.authority import NOW, Authority, Device, device_event, verification
from tests.support.cases import LISTED_AT, RECEIVED_AT, Case, build_case
from tests.support.events import DIGEST, gap_event, peripheral_event, reset_event, tombstone_event
from verifield.chain import ChainHead, envelope_sha256
from verifield.commitments import Disclosure, encode_disclosures
from verifield.dsse import encode_envelope, parse_envelope
from verifield.v1 import attestation_pb2 as pb
from verifield.v1.bundle_pb2 import Bundle

FOLDER = Path(__file__).parents[1] / "vectors/attestation"
ALL = (
    *("--policy", "policy.envelope", "--policy-certificates", "policy-chain.pem"),
    *("--disclose", "disclosures.json"),
)


@dataclass(frozen=True)
class Vector:
    """A bundle, the options to check it with, and the answer: ``missing`` names open checks.

    Without ``bundle`` it is the verified one, with other options.
    """

    name: str
    bundle: bytes | None = None
    verdict: str = "verified"
    code: str | None = None
    outcome: str | None = None
    missing: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


UNASKED = ("policy", "disclosures")
BARE = ("not-before", "revocation", "witnesses", *UNASKED)
EVENT = tuple(name for name in BARE if name != "policy")


def main() -> None:
    case = build_case()
    vectors = [*make_verified(case), *make_genuine(case.authority), *make_events(case.authority)]
    vectors += [*make_refused(case), *make_untrusted(case), *make_lies(case)]
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "root.pem").write_bytes(case.authority.root_pem)
    (FOLDER / "policy.envelope").write_bytes(case.policy)
    (FOLDER / "policy-chain.pem").write_bytes(_pem(case.authority.policy_chain))
    (FOLDER / "disclosures.json").write_bytes(encode_disclosures(case.disclosures))
    false = [Disclosure(item.field, item.value + b"!", item.salt) for item in case.disclosures]
    (FOLDER / "disclosures-false.json").write_bytes(encode_disclosures(false))
    revoked = case.authority.revocation_list(case.device.certificate, at=NOW, issued=LISTED_AT)
    (FOLDER / "revoked.crl").write_bytes(revoked)
    expected = []
    for vector in vectors:
        if vector.bundle is not None:
            (FOLDER / f"{vector.name}.bundle").write_bytes(vector.bundle)
        expected.append(
            {
                "name": vector.name,
                "file": f"{'verified' if vector.bundle is None else vector.name}.bundle",
                "options": vector.options,
                "verdict": vector.verdict,
                "code": vector.code,
                "outcome": vector.outcome,
                "missing": vector.missing,
            }
        )
    (FOLDER / "bundles.json").write_text(json.dumps(expected, indent=2) + "\n", encoding="utf-8")


def make_verified(case: Case) -> list[Vector]:
    """Return the good bundle, alone and with all that can be brought beside it."""
    return [
        Vector("verified", _bytes(case.good), outcome="VERIFIED", missing=UNASKED),
        Vector("disclosed", outcome="VERIFIED", options=ALL),
    ]


def make_genuine(authority: Authority) -> list[Vector]:
    """Return genuine records that verify no person."""
    device = authority.enroll("device-4")
    enrolled = authority.bundle(device, device.sign(device_event(device)))
    spoof = verification(device, outcome=pb.OUTCOME_SPOOF, reasons=["SPOOF_PLANAR_MOTION"])
    spoof_bundle = authority.bundle(device, device.sign(spoof), at=RECEIVED_AT)
    aborted = verification(device, outcome=pb.OUTCOME_ABORTED, reasons=["OPERATOR_STOPPED"])
    aborted_bundle = authority.bundle(device, device.sign(aborted), at=NOW + timedelta(hours=5))
    manual = device.sign(verification(device, outcome=pb.OUTCOME_MANUAL))
    manual_bundle = authority.bundle(device, manual, at=NOW + timedelta(hours=6))
    return [
        Vector("device_event", enrolled, missing=EVENT),
        Vector("spoof", spoof_bundle, outcome="SPOOF", missing=BARE),
        Vector("aborted", aborted_bundle, outcome="ABORTED", missing=BARE),
        Vector("manual", manual_bundle, outcome="MANUAL", missing=BARE),
    ]


def make_events(authority: Authority) -> list[Vector]:
    """Return what a device tells of a chain in trouble."""
    device = authority.enroll("device-5")
    device.sign(device_event(device))
    device.sign(verification(device, outcome=pb.OUTCOME_ABORTED))
    bundles = [
        (name, authority.bundle(device, device.sign(make(device)), at=NOW + timedelta(hours=7)))
        for name, make in (
            ("gap", lambda device: gap_event(device, first=1, last=2)),
            ("tombstone", lambda device: tombstone_event(device, seq=3)),
            ("peripheral", peripheral_event),
            ("reset", lambda device: reset_event(device, cloud_head=ChainHead(1, 5, DIGEST), reason="FORK")),
        )
    ]
    return [Vector(name, bundle, missing=EVENT) for name, bundle in bundles]


def make_refused(case: Case) -> list[Vector]:
    """Return changed copies of the good bundle, each for another verdict."""
    data = _bytes(case.good)
    newer, incomplete, foreign = case.changed(), case.changed(), build_case()
    newer.media_type = newer.media_type.replace(".v1+", ".v2+")
    incomplete.ClearField("receipt")
    open_checks = ("receipt", "certificate", "position", "time", "revocation", *UNASKED)
    return [
        Vector("malformed", data[:-100], "malformed", "NOT_PROTOBUF"),
        Vector("forged", data.replace(b"device-1", b"device-9", 1), "forged", "SIGNATURE"),
        Vector("untrusted", _bytes(foreign.good), "untrusted", "CHAIN"),
        Vector("unknown", _bytes(newer), "unknown", "BUNDLE_TYPE"),
        Vector("incomplete", _bytes(incomplete), "unknown", "INCOMPLETE", "VERIFIED", open_checks),
    ]


def make_untrusted(case: Case) -> list[Vector]:
    """Return the good bundle of a device whose certificate had been revoked: in it, and beside it."""
    bundle = case.changed()
    bundle.revocation_list = case.authority.revocation_list(
        case.device.certificate, at=RECEIVED_AT, issued=LISTED_AT
    )
    return [
        Vector("revoked", _bytes(bundle), "untrusted", "REVOKED"),
        Vector(
            "revoked_later", verdict="untrusted", code="REVOKED", options=("--revocations", "revoked.crl")
        ),
    ]


def make_lies(case: Case) -> list[Vector]:
    """Return bundles whose later parts lie: a manual decision by one, a witness, a value."""
    authority, device = case.authority, case.authority.enroll("device-6")
    alone = parse_envelope(device.sign(verification(device, outcome=pb.OUTCOME_MANUAL)))
    envelope = encode_envelope(
        payload_type=alone.payload_type, payload=alone.payload, signatures=[alone.signatures[0].sig]
    )
    unsigned = authority.bundle(_at_head(device, envelope), envelope)
    witness = case.changed()
    witness.witnesses[0].consistency_hashes[0] = bytes(32)
    options = ("--disclose", "disclosures-false.json")
    return [
        Vector("manual_alone", unsigned, "forged", "COSIGNATURE"),
        Vector("forged_witness", _bytes(witness), "forged", "WITNESS"),
        Vector("disclosed_false", verdict="forged", code="DISCLOSURE", options=options),
    ]


def _at_head(device: Device, envelope: bytes) -> Device:
    device.head = ChainHead(1, 1, envelope_sha256(envelope))
    return device


def _bytes(bundle: Bundle) -> bytes:
    return bundle.SerializeToString(deterministic=True)


def _pem(chain: list[bytes]) -> bytes:
    return b"".join(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in chain)


if __name__ == "__main__":
    main()
