"""What goes wrong with the simulated camera: by the scenario, and by a lever."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from verifield_sim.camera import CameraAway, CameraFault, CameraFaultKind, FaultyCamera, PersonStart, Scene
from verifield_sim.errors import SimError
from verifield_sim.scenario import CameraSpec, Scenario, parse_scenario
from verifield_sim.server import SimServer
from verifield_sim.world import World

K = CameraFaultKind


def camera_of(*faults: CameraFault, seed: int = 1) -> FaultyCamera:
    return FaultyCamera(Scene("none", None, seed=seed), faults, seed=seed)


def test_faults_come_and_go_at_their_times() -> None:
    camera = camera_of(
        CameraFault(K.UNPLUG, (1.0, 1.0), (2.0, 2.0)), CameraFault(K.FREEZE, (5.0, 5.0), (1.0, 1.0))
    )
    camera.frame(0.5)
    for away in (1.0, 2.9):
        with pytest.raises(CameraAway):
            camera.frame(away)
    before = camera.frame(3.0)
    frozen = [camera.frame(5.0 + n / 10) for n in range(10)]
    assert all(np.array_equal(frozen[0], picture) for picture in frozen)
    assert not np.array_equal(before, frozen[0])
    assert not np.array_equal(frozen[0], camera.frame(6.0))


def test_the_seed_draws_the_time() -> None:
    fault = CameraFault(K.BUSY, (2.0, 9.0))
    times = {}
    for seed in (1, 2):
        camera = camera_of(fault, seed=seed)
        times[seed] = next(now for now in np.arange(0, 12, 0.05) if camera.fault(float(now)) is K.BUSY)
        assert camera.fault(1e6) is K.BUSY, "for ever"
    assert times[1] != times[2]
    assert all(2.0 <= time <= 9.0 for time in times.values())


def test_a_covered_lens_shows_noise_and_a_lever_comes_first() -> None:
    camera = camera_of()
    camera.set(K.BLACK)
    one, other = camera.frame(1.0), camera.frame(2.0)
    assert one.max() < 24
    assert not np.array_equal(one, other)
    camera.set(None)
    assert camera.frame(3.0).mean() > 50


def test_scenarios_name_faults_and_how_the_person_begins() -> None:
    text = """
        [person]
        kind = "live"
        portrait = "astronaut"
        start = "far"
        [camera]
        faults = [{ kind = "unplug", at_s = [3, 5], lasts_s = 2.5 }, { kind = "black", at_s = 9 }]
        """
    scenario = parse_scenario(text, name="test", folder=Path("/pictures"))
    start: PersonStart = "far"
    assert scenario.person.start == start
    assert scenario.camera == CameraSpec(
        (CameraFault(K.UNPLUG, (3.0, 5.0), (2.5, 2.5)), CameraFault(K.BLACK, (9.0, 9.0)))
    )


@pytest.mark.parametrize(
    "text",
    [
        '[camera]\nfaults = [{ kind = "melt" }]',
        '[camera]\nfaults = [{ kind = "black", at_s = -1 }]',
        '[camera]\nfaults = [{ kind = "black", at_s = [5, 3] }]',
        '[camera]\nfaults = [{ kind = "black", at_s = [1, 2, 3] }]',
        '[camera]\nfaults = [{ kind = "black", at_s = [true, 2] }]',
        '[camera]\nfaults = [{ kind = "black", lasts_s = 1e9 }]',
        '[camera]\nfaults = [{ kind = "black", lasts_s = nan }]',
        '[camera]\nfaults = [{ kind = "black", soon = 1 }]',
        "[camera]\nzoom = 1",
        '[person]\nkind = "live"\nportrait = "astronaut"\nstart = "upside-down"',
    ],
)
def test_a_slip_in_a_scenario_is_refused(text: str) -> None:
    with pytest.raises(SimError):
        parse_scenario(text, name="test", folder=Path("/pictures"))


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    world = World.open(Scenario("test"), link=tmp_path / "reader")
    with SimServer(world) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.port
        server.shutdown()
        thread.join()
    world.close()


def ask(port: int, method: str, path: str, body: dict[str, str] | None = None) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body=None if body is None else json.dumps(body))
        return connection.getresponse().status
    finally:
        connection.close()


def test_the_lever_of_the_server(port: int) -> None:
    for action, status in (("unplug", 404), ("busy", 503), ("freeze", 200), ("black", 200), ("replug", 200)):
        assert ask(port, "POST", "/control/camera", {"action": action}) == 200
        assert ask(port, "GET", "/camera") == status
    assert ask(port, "POST", "/control/camera", {"action": "melt"}) == 400
    assert ask(port, "POST", "/control/camera", {}) == 400
