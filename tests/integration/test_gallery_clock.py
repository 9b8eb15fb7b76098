"""Clocks that lie, and the gallery: nobody is hidden or removed before the last day is certainly over."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import pytest

from edge.answers import Step
from edge.app import open_identity, open_state
from edge.attest.clock import SystemClock, TimeBounds
from edge.cli import app
from edge.documents import Typed
from edge.gallery.home import gallery_key, gallery_path
from edge.gallery.records import Entry, Kind
from edge.gallery.store import Gallery
from edge.models.store import ModelStore
from edge.policy import Policy, SessionPolicy
from edge.ports import Clock, GallerySearch
from edge.station import certain_day, open_pipeline
from edge.vision import Vision
from tests.support.faces import portrait
from tests.support.galleries import MODEL, embedding, person, random_templates
from tests.support.local_device import LocalDevice
from verifield.v1 import attestation_pb2 as pb

YEAR = timedelta(days=365)
TEMPLATES = random_templates(2, 3)
WATCHED, OVER = (embedding(template) for template in TEMPLATES)


class Ahead(SystemClock):
    """Ten years ahead of the cloud's word."""

    def wall(self) -> datetime:
        return super().wall() + 10 * YEAR


class Behind(SystemClock):
    """Fifty years behind it."""

    def wall(self) -> datetime:
        return super().wall() - 50 * YEAR


@pytest.fixture
def device(tmp_path: Path) -> LocalDevice:
    """Somebody is watched for for a year to come; somebody else's last day was long ago."""
    made = LocalDevice.open(
        tmp_path / "device", camera=f"folder:{tmp_path / 'pictures'}", allow_simulated_camera=True
    )
    key = gallery_key(made.config.data_dir, open_identity(made.config).key_store, create=True)
    with Gallery.create(gallery_path(made.config.data_dir), key, model=MODEL) as gallery:
        to_come = datetime.now(UTC).date() + YEAR
        gallery.add([Entry(person(0), WATCHED, to_come, Kind.WATCHED)])
        gallery.add([Entry(person(1), OVER, date(2020, 1, 1))])
    return made


@contextmanager
def gallery_of_a_session(device: LocalDevice, clock: Clock) -> Iterator[GallerySearch]:
    """As ``verifield-edge verify`` opens it."""
    policy = Policy(session=SessionPolicy(steps=(Step.GALLERY,)))
    with device.recorder() as real, open_state(device.config, real.identity) as state:
        recorder = dataclasses.replace(real, clock=clock, policy=policy)
        with open_pipeline(device.config, recorder, state, given=Typed()) as pipeline:
            assert pipeline.gallery is not None
            yield pipeline.gallery


@pytest.mark.req("E045")
@pytest.mark.parametrize("clock", [SystemClock(), Ahead(), Behind()], ids=["right", "ahead", "behind"])
def test_a_session_finds_who_has_not_certainly_expired_and_nobody_else(
    device: LocalDevice,
    tmp_path: Path,
    model_store: ModelStore,
    monkeypatch: pytest.MonkeyPatch,
    clock: Clock,
) -> None:
    vision = Vision.open(model_store, threads=1)
    monkeypatch.setattr("edge.station.open_vision", lambda _config: vision)
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "1.png"), portrait("astronaut"))
    with gallery_of_a_session(device, clock) as gallery:
        assert [one.candidate_id for one in gallery.search(WATCHED).candidates] == [str(person(0))]
        assert gallery.search(OVER).candidates == ()


def run(device: LocalDevice, capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, Any]:
    try:
        app(["gallery", *args, "--json", "--data", str(device.config.data_dir)], prog_name="verifield-edge")
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    (line,) = capsys.readouterr().out.splitlines()
    return status, json.loads(line)


@pytest.mark.req("E045")
@pytest.mark.parametrize("clock", [Ahead, Behind])
def test_by_a_clock_that_is_wrong_nobody_is_removed_and_a_person_may_give_the_day(
    device: LocalDevice,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    clock: type[SystemClock],
) -> None:
    with monkeypatch.context() as wrong:
        wrong.setattr("edge.commands.gallery_parts.SystemClock", clock)
        status, answer = run(device, capsys, "expire")
        assert (status, answer["error"]["code"]) == (3, "CLOCK_SUSPECT")
        assert "--day" in answer["error"]["hint"]
        expired = {one["candidate_id"]: one["expired"] for one in run(device, capsys, "list")[1]["people"]}
        assert expired == {str(person(0)): False, str(person(1)): True}
        assert run(device, capsys, "expire", "--day", "2020-01-01")[1]["removed"] == 0
        assert run(device, capsys, "expire", "--day", "2020-01-02")[1]["removed"] == 1
    assert run(device, capsys, "info")[1]["size"] == 1


def test_by_a_clock_that_is_right_who_has_expired_is_removed(
    device: LocalDevice, capsys: pytest.CaptureFixture[str]
) -> None:
    status, answer = run(device, capsys, "expire")
    assert (status, answer["removed"], answer["size"]) == (0, 1, 1)


def test_what_expires_is_judged_by_one_look_at_the_time(
    device: LocalDevice, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    class Watched(SystemClock):
        def wall(self) -> datetime:
            looks.append(super().wall())
            return looks[-1]

    monkeypatch.setattr("edge.commands.gallery_parts.SystemClock", Watched)
    assert run(device, capsys, "expire")[1]["removed"] == 1
    assert len(looks) == 1


@pytest.mark.req("E045")
def test_a_last_day_is_over_when_it_is_so_in_every_time_zone() -> None:
    for hour, begun in ((13, date(2027, 1, 1)), (14, date(2027, 1, 2))):
        now = datetime(2027, 1, 2, hour, 30, tzinfo=UTC)
        assert certain_day(TimeBounds(now, pb.TIME_QUALITY_TRUSTED, now + YEAR)) == begun
