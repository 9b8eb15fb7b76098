"""``verifield-edge compare`` and ``evaluate match``: whose thresholds they judge by, and how they say so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge.attest.identity import DeviceIdentity
from edge.commands import evaluate
from edge.commands.compare import compare, name_of, policy_in_force
from edge.config import load_config
from edge.errors import SetupError
from edge.models.store import ModelStore
from edge.policy import Policy
from tests.support.authority import Authority
from tests.support.faces import PORTRAITS, portrait_path
from tests.support.known import DEVICE_ID, KnownDevice, policy_item

STRICT = 0.75


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KnownDevice]:
    """Enrolled, with a signed policy in force."""
    known = KnownDevice(tmp_path, Authority.create())
    identity = SimpleNamespace(
        device_id=DEVICE_ID, key_store=known.key_store, root_pem=known.authority.root_pem
    )
    monkeypatch.setattr(DeviceIdentity, "open", lambda _folder, **_: identity)
    known.pull(policy_item(known.authority, 3, live_live_threshold=STRICT))
    yield known
    known.state.close()


def told(capsys: pytest.CaptureFixture[str], data: Path) -> dict[str, object]:
    picture = portrait_path("astronaut")
    compare(picture, picture, data=data, as_json=True)
    answer: dict[str, object] = json.loads(capsys.readouterr().out)
    return answer


def test_an_enrolled_device_judges_by_its_policy(
    device: KnownDevice, capsys: pytest.CaptureFixture[str], model_store: ModelStore
) -> None:
    answer = told(capsys, device.folder)
    assert (answer["threshold"], answer["threshold_from"]) == (STRICT, "the policy in force, version 3")
    assert isinstance(answer["score"], float)
    assert 0.999 < answer["score"] <= 1.0
    picture = portrait_path("astronaut")
    compare(picture, picture, data=device.folder)
    assert "the policy in force, version 3)" in capsys.readouterr().out


def test_an_evaluation_measures_the_same_threshold(
    device: KnownDevice, tmp_path: Path, capsys: pytest.CaptureFixture[str], model_store: ModelStore
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name, person in zip("abcd", PORTRAITS * 2, strict=True):
        shutil.copy(portrait_path(person), images / name)
    listed = tmp_path / "pairs.csv"
    listed.write_text("path_a,path_b,same\na,c,1\nb,d,1\na,b,0\nc,d,0\n")
    evaluate.match(pairs=listed, images=images, data=device.folder, as_json=True)
    answer = json.loads(capsys.readouterr().out)
    assert answer["policy"]["threshold"] == STRICT
    assert answer["threshold_from"] == "the policy in force, version 3"


def test_without_enrolment_the_policy_is_the_built_in_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model_store: ModelStore
) -> None:
    answer = told(capsys, tmp_path)
    assert answer["threshold"] == Policy().match.live_live.threshold
    assert answer["threshold_from"] == name_of(Policy()) == "the policy that is built in"


def test_an_identity_that_cannot_be_opened_is_no_reason_for_other_thresholds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise SetupError("KEY_STORE_AWAY", "The key hardware is away.")

    monkeypatch.setattr(DeviceIdentity, "open", away)
    with pytest.raises(SetupError, match="away"):
        policy_in_force(load_config(None, data_dir=tmp_path))
