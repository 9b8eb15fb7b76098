"""Commands about certifications and their archive, and the checks that need no service."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from tests.support.certifications import certifying
from tests.support.cloud import RunningCloud, running_cloud
from verifield.v1 import certification_service_pb2 as pb

PROGRAMS = Path(sys.executable).parent


def run(program: str, *arguments: object, status: int = 0) -> dict[str, Any]:
    done = subprocess.run(
        [str(PROGRAMS / program), *map(str, arguments), "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == status, done.stderr + done.stdout
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def cloud_command(cloud: RunningCloud, *arguments: object, status: int = 0) -> dict[str, Any]:
    return run("verifield-cloud", *arguments, "--data", cloud.data, status=status)


def test_what_the_office_does_at_the_command_line(tmp_path: Path) -> None:
    with running_cloud(tmp_path / "data") as cloud, certifying(cloud) as office:
        types = cloud_command(cloud, "certifications", "types")["types"]
        assert [one["code"] for one in types] == ["ORGANISATION", "PERSONAL"]
        extra = pb.CertificationType(code="NOTARY", version=1, level=2, checks=["licence"])
        rules = tmp_path / "notary.json"
        rules.write_text(json_format.MessageToJson(extra))
        made = cloud_command(cloud, "certifications", "publish-type", rules)
        assert made == {"code": "NOTARY", "version": 1}
        fault = cloud_command(cloud, "certifications", "publish-type", rules, status=6)
        assert fault["error"]["code"] == "CERTIFICATION_RULES_VERSION"
        texts = tmp_path / "declaration.json"
        texts.write_text(json.dumps({"zh": "声明", "en": "Declaration", "es": "Declaración"}))
        cloud_command(cloud, "certifications", "publish-declaration", texts, "--version", 2)
        applicant = office.applicant()
        application_id = applicant.submitted()
        case = cloud_command(cloud, "archive", "case", application_id)
        assert [one["kind"] for one in case["materials"]] == ["id_card_front", "id_card_back"]
        picture = tmp_path / "picture.jpg"
        material = case["materials"][0]
        cloud_command(cloud, "archive", "read", application_id, material["material_id"], "--output", picture)
        assert picture.stat().st_size == int(material["bytes"])
        office.decide(application_id)
        badge = tmp_path / "badge.bin"
        badge.write_bytes(applicant.stub.GetBadge(pb.GetBadgeRequest(application_id=application_id)).badge)
        assert cloud_command(cloud, "certifications", "check-badge", badge)["state"] == "valid"
        root = cloud.endpoint.root
        offline = run("verifield-verify", "badge", badge, "--root", root)
        assert (offline["ok"], offline["type"], offline["level"]) == (True, "PERSONAL", 1)
        [entry] = cloud_command(cloud, "archive", "search", "--outcome", "passed")["entries"]
        assert entry["application_id"] == application_id
        assert cloud_command(cloud, "archive", "search", "--outcome", "not-passed")["entries"] == []
        bundle = tmp_path / "bundle.zip"
        cloud_command(cloud, "archive", "export", entry["result_id"], "--output", bundle)
        assert cloud_command(cloud, "archive", "verify", bundle)["holds"] is True
        assert run("verifield-verify", "archive", bundle, "--root", root)["ok"] is True
        reviewed = cloud_command(cloud, "certifications", "review-now")
        assert (reviewed["flagged"], reviewed["done"]) == (0, True)
        reason = "The card is forged."
        marked = cloud_command(cloud, "certifications", "mark-false", application_id, "--reason", reason)
        assert marked["state"] == "revoked"
        shown = cloud_command(cloud, "archive", "show", entry["result_id"])
        assert [one["reason"] for one in shown["measures"]] == [reason]
        assert shown["state"] == "revoked"
        lifted = cloud_command(
            cloud, "certifications", "lift-limit", applicant.account_id, "--reason", "asked at the office"
        )
        assert lifted["lifted"] is True
        assert cloud_command(cloud, "certifications", "check-badge", badge)["state"] == "revoked"
        badge.write_bytes(applicant.stub.GetBadge(pb.GetBadgeRequest(application_id=application_id)).badge)
        refused = run("verifield-verify", "badge", badge, "--root", root, status=5)
        assert refused["error"]["code"] == "BADGE_REVOKED"
        content = bytearray(bundle.read_bytes())
        content[len(content) // 2] ^= 1
        bundle.write_bytes(bytes(content))
        assert cloud_command(cloud, "archive", "verify", bundle, status=4)["holds"] is False
        assert run("verifield-verify", "archive", bundle, "--root", root, status=3)["ok"] is False
        run("verifield-verify", "archive", tmp_path / "none.zip", "--root", root, status=2)
