"""Write the bundles of tests/vectors/attestation: ``python -m tests.support.make_vectors``.

Run it when the format gets a new version, and only then. The committed files are the contract: a
later program must give the same answers about the very same bytes, years later. Keys are thrown
away, so a new run makes new files.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from tests.support.authority import NOW, Authority, device_event, verification
from tests.support.cases import RECEIVED_AT, build_case
from verifield.v1 import attestation_pb2 as pb
from verifield.v1.bundle_pb2 import Bundle

FOLDER = Path(__file__).parents[1] / "vectors/attestation"


def main() -> None:
    case = build_case()
    bundles = {"verified": case.good.SerializeToString(deterministic=True)} | make_genuine(case.authority)
    bundles |= make_refused(case.good)
    bundles["untrusted"] = build_case().good.SerializeToString(deterministic=True)
    answers = {
        "verified": ("verified", None, "VERIFIED"),
        "spoof": ("verified", None, "SPOOF"),
        "aborted": ("verified", None, "ABORTED"),
        "device_event": ("verified", None, None),
        "malformed": ("malformed", "NOT_PROTOBUF", None),
        "forged": ("forged", "SIGNATURE", None),
        "untrusted": ("untrusted", "CHAIN", None),
        "unknown": ("unknown", "BUNDLE_TYPE", None),
        "incomplete": ("unknown", "INCOMPLETE", "VERIFIED"),
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "root.pem").write_bytes(case.authority.root_pem)
    for name in answers:
        (FOLDER / f"{name}.bundle").write_bytes(bundles[name])
    expected = [
        {"file": f"{name}.bundle", "verdict": verdict, "code": code, "outcome": outcome}
        for name, (verdict, code, outcome) in answers.items()
    ]
    (FOLDER / "bundles.json").write_text(json.dumps(expected, indent=2) + "\n", encoding="utf-8")


def make_genuine(authority: Authority) -> dict[str, bytes]:
    """Return genuine records that verify no person."""
    device = authority.enroll("device-2")
    event = authority.bundle(device, device.sign(device_event(device)))
    spoof = verification(device, outcome=pb.OUTCOME_SPOOF, reasons=["SPOOF_PLANAR_MOTION"])
    spoof_bundle = authority.bundle(device, device.sign(spoof), at=RECEIVED_AT)
    aborted = verification(device, outcome=pb.OUTCOME_ABORTED, reasons=["OPERATOR_STOPPED"])
    aborted_bundle = authority.bundle(device, device.sign(aborted), at=NOW + timedelta(hours=5))
    return {"device_event": event, "spoof": spoof_bundle, "aborted": aborted_bundle}


def make_refused(good: Bundle) -> dict[str, bytes]:
    """Return changed copies of a good bundle, each for another verdict."""
    data = good.SerializeToString(deterministic=True)
    newer, incomplete = Bundle.FromString(data), Bundle.FromString(data)
    newer.media_type = newer.media_type.replace(".v1+", ".v2+")
    incomplete.ClearField("receipt")
    return {
        "malformed": data[:-100],
        "forged": data.replace(b"device-1", b"device-9", 1),
        "unknown": newer.SerializeToString(deterministic=True),
        "incomplete": incomplete.SerializeToString(deterministic=True),
    }


if __name__ == "__main__":
    main()
