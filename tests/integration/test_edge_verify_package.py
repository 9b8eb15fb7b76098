"""``verify --package``: where the evidence cannot be written, that is told in time, and hides no result."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from typer.testing import CliRunner, Result

from edge.answers import PrivateField
from edge.attest.media import seal_media
from edge.cli import app
from edge.model import Decision, Outcome
from edge.pipeline import BEST_SHOT, Verification
from edge.recorder import Recorder
from tests.support.appliance import verified_evidence
from tests.support.local_device import LocalDevice
from verifield.v1.identity_pb2 import FaceEvidence

KEY = X25519PrivateKey.generate().public_key().public_bytes_raw()
DECISION = Decision(Outcome.VERIFIED, ())


@dataclasses.dataclass
class Counter:
    """A device at which everybody is verified. ``meanwhile``: what happens during the session."""

    device: LocalDevice
    meanwhile: Callable[[], object] = lambda: None
    sessions: int = 0

    @contextmanager
    def open_pipeline(self, _config: object, recorder: Recorder, *_: object, **__: object) -> Iterator[Any]:
        """In the place of ``edge.station.open_pipeline``."""

        def run() -> Verification:
            self.sessions += 1
            self.meanwhile()
            picture = PrivateField(BEST_SHOT, b"a picture")
            evidence = dataclasses.replace(verified_evidence(), media=(picture,))
            sealed = seal_media(evidence.media, recipient_key=KEY)
            return Verification(
                DECISION, evidence, recorder.record(evidence, DECISION, media=sealed), (), None
            )

        yield SimpleNamespace(plan=SimpleNamespace(media=(BEST_SHOT,)), run=run)

    def verify(self, package: Path, *more: str) -> Result:
        words = ["verify", "--nonce", "ab" * 32, "--package", str(package), *more]
        return CliRunner().invoke(app, [*words, "--data", str(self.device.config.data_dir)])


@pytest.fixture
def counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counter:
    made = Counter(LocalDevice.open(tmp_path / "device"))
    monkeypatch.setattr("edge.commands.verify.open_pipeline", made.open_pipeline)
    monkeypatch.setattr("edge.commands.verify.obey_stops", lambda: None)  # signals are the test run's
    return made


def test_the_evidence_is_written_for_its_owner_alone(counter: Counter, tmp_path: Path) -> None:
    package = tmp_path / "evidence.binpb"
    done = counter.verify(package, "--json")
    assert (done.exit_code, json.loads(done.stdout)["fault"]) == (0, None)
    assert FaceEvidence.FromString(package.read_bytes()).picture == b"a picture"
    assert package.stat().st_mode & 0o077 == 0


def test_a_place_that_cannot_be_written_is_refused_before_anybody_poses(
    counter: Counter, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    for place in (tmp_path, tmp_path / "none" / "evidence.binpb", tmp_path / "file" / "evidence.binpb"):
        done = counter.verify(place, "--json")
        assert (done.exit_code, counter.sessions) == (5, 0)
        error = json.loads(done.stdout)["error"]
        assert error["code"] == "FILE_NOT_WRITTEN"
        assert str(place) in error["message"]


def test_evidence_that_cannot_be_written_afterwards_does_not_hide_the_result(
    counter: Counter, tmp_path: Path
) -> None:
    folder = tmp_path / "stick"
    counter.meanwhile = lambda: shutil.rmtree(folder)
    for more in ((), ("--json",)):
        folder.mkdir()
        done = counter.verify(folder / "evidence.binpb", *more)
        assert done.exit_code == 5
        assert "FILE_NOT_WRITTEN" in done.stderr
        if more:
            (line,) = done.stdout.splitlines()
            answer = json.loads(line)
            assert (answer["outcome"], answer["fault"]["code"]) == ("VERIFIED", "FILE_NOT_WRITTEN")
        else:
            assert "attestation" in done.stdout
    assert counter.sessions == 2
