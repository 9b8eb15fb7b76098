"""Two requests of the cloud fulfilled by the device's own commands, as processes, with a simulated person."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from demo.processes import Service, ask
from edge.models.store import ModelStore
from edge.reader.cards import parse_text
from tests.support.authorities import Somebody
from tests.support.identity import Holder, IdentityRoom, running_identity
from tests.support.kiosk import TURNS_ONLY
from tests.support.offices import wait_for
from verifield.v1 import identity_pb2
from verifield.v1 import identity_service_pb2 as pb
from verifield_sim.cards import card_for

OWNER, SEED = "grace_hopper", 31
SCENARIO = """
seed = {seed}
[card]
portrait = "{card}"
[person]
kind = "live"
portrait = "{person}"
"""
SITE = "north"


class Counter:
    """A device at an office: what somebody types there."""

    def __init__(self, room: IdentityRoom, folder: Path, sim: dict[str, Any]) -> None:
        self._folder, self._control = folder, sim["control"]
        (folder / "device").mkdir()
        settings = {
            "camera": sim["camera"],
            "reader_port": sim["reader"],
            "screen_url": sim["screen"],
            "photo_decoder": "simulator",
            "allow_simulated_camera": True,
        }
        lines = [f"{key} = {json.dumps(value)}\n" for key, value in settings.items()]
        (folder / "device" / "verifield-edge.toml").write_text("".join(lines))
        data = str(room.cloud.data)
        policy = ask("verifield-cloud", "policies", "template", "--data", data, cwd=folder)
        policy |= {"media": {"keep": ["best_shot"]}, "liveness": policy.get("liveness", {}) | TURNS_ONLY}
        (folder / "policy.json").write_text(json.dumps(policy))
        ask("verifield-cloud", "policies", "publish", "policy.json", "--data", data, cwd=folder)
        root = str(room.cloud.data / "root.pem")
        enrol = ("enroll", "--cloud", room.cloud.endpoint.listen, "--root", root, "--token-file", "-")
        self.edge(*enrol, stdin=room.cloud.join_token(SITE))
        self.edge("sync", "--once")

    def edge(self, *words: str, expect: tuple[int, ...] = (0,), stdin: str = "") -> dict[str, Any]:
        command = ("verifield-edge", *words, "--data", "device")
        return ask(*command, cwd=self._folder, expect=expect, stdin=stdin)

    def comes(self, card: str, seed: int, person: str) -> None:
        """Who stands there now, and with whose card."""
        name = f"{person}-with-{card}-{seed}"
        text = SCENARIO.format(seed=seed, card=card, person=person)
        (self._folder / f"{name}.toml").write_text(text)
        request = urllib.request.Request(
            f"{self._control}/scenario",
            data=json.dumps({"name": name}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()


@contextmanager
def simulator(folder: Path) -> Iterator[dict[str, Any]]:
    first = folder / "first.toml"
    first.write_text(SCENARIO.format(seed=SEED, card=OWNER, person=OWNER))
    args = ("verifield-sim", "--scenario", str(first), "--dir", "sim")
    service = Service.start(*args, cwd=folder, log=folder / "logs" / "sim.log")
    try:
        yield service.endpoints()
    finally:
        service.stop()


def owner_of(card: str, seed: int) -> Somebody:
    text = parse_text(card_for(card, seed=seed).text)
    return Somebody(text.name, text.number, text.valid_from, text.valid_to, portrait=card)


@pytest.mark.timeout(600)
@pytest.mark.req("R118")
def test_a_person_is_verified_for_a_task_and_for_a_nonce_at_the_devices_own_commands(
    tmp_path: Path, model_store: ModelStore
) -> None:
    person, models = owner_of(OWNER, SEED), tmp_path / "models"
    models.mkdir()
    for name in ("yunet-int8bq", "sface-int8bq"):  # the registry's own eyes
        (models / f"{name}.onnx").symlink_to(model_store.path(name))
    with (
        running_identity(tmp_path / "data", person, models=models, allow_simulated_cameras=True) as room,
        simulator(tmp_path) as sim,
    ):
        counter, holder = Counter(room, tmp_path, sim), room.holder(person)
        holder.verify_elements()
        verify_for_a_task(room, counter, holder)
        verify_for_a_nonce(counter, holder, tmp_path / "evidence.binpb")


def verify_for_a_task(room: IdentityRoom, counter: Counter, holder: Holder) -> None:
    clerk = room.staff("li.wei")
    request = pb.RequestSiteVerificationRequest(account_id=holder.account_id, site_id=SITE)
    task_id = room.as_staff(clerk, "RequestSiteVerification", request).request.task_id
    counter.edge("sync", "--once")
    [waiting] = counter.edge("tasks", "list")["tasks"]
    assert waiting["task_id"] == task_id
    assert holder.person.name not in json.dumps(waiting, ensure_ascii=False)

    counter.comes("astronaut", 5, "astronaut")  # somebody else, with the own card
    other = counter.edge("verify", "--task", task_id, expect=(1,))
    assert (other["outcome"], other["reasons"]) == ("ABORTED", ["OTHER_PERSON"])
    counter.comes(OWNER, SEED, OWNER)
    own = counter.edge("verify", "--task", task_id)
    assert own["outcome"] == "VERIFIED"
    counter.edge("sync", "--once")

    def judged() -> pb.SiteVerification | None:
        operator = room.cloud.operator
        answer = operator.call(operator.identity.ListSiteVerifications, pb.ListSiteVerificationsRequest())
        return answer.requests[0] if len(answer.requests[0].results) == 2 else None

    found = wait_for(judged)
    assert {one.attestation_id: one.code for one in found.results} == {
        other["attestation_id"]: "OTHER_PERSON",
        own["attestation_id"]: "PASSED",
    }
    identity = holder.identity()
    assert (identity.state, identity.method) == (pb.IDENTITY_STATE_VERIFIED, pb.VERIFICATION_METHOD_FACE)
    counter.edge("sync", "--once")
    assert counter.edge("tasks", "list")["tasks"] == []
    error = counter.edge("verify", "--task", task_id, expect=(2, 3, 4, 5, 6))["error"]
    assert error["code"] == "TASK_UNKNOWN"


def verify_for_a_nonce(counter: Counter, holder: Holder, package: Path) -> None:
    check = holder.start_face()
    words = ("verify", "--nonce", check.nonce.hex(), "--package", str(package))
    seen = counter.edge(*words)
    assert package.stat().st_mode & 0o077 == 0
    evidence = identity_pb2.FaceEvidence.FromString(package.read_bytes())
    days = holder.person.validity
    assert (evidence.valid_from, evidence.valid_to) == (
        days.valid_from.isoformat() if days.valid_from else "",
        days.valid_to.isoformat() if days.valid_to else "long-term",
    )
    request = pb.SubmitFaceEvidenceRequest(face_check_id=check.face_check_id, evidence=evidence)
    verification = holder.call("SubmitFaceEvidence", request).verification
    assert verification.state == pb.VERIFICATION_STATE_PASSED
    assert verification.attestation_id == seen["attestation_id"]
    assert holder.refused("SubmitFaceEvidence", request).reason == "EVIDENCE_REPLAYED"
