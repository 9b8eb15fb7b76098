"""A kiosk whose service is there: a running cloud with authorities behind it, and messages in a folder.

    with cloud_kiosk(folder, model_store, owner_of("astronaut", 31)) as room:
        room.cloud ...

What people type and hold up goes through the kiosk's own process and its mutual TLS, as at a counter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.processes import Service
from edge.models.store import ModelStore
from edge.reader.cards import parse_text
from tests.support.authorities import RunningAuthorities, Somebody, running_authorities
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.kiosk import SHORT_SESSION, TURNS_ONLY, KioskRoom, _enroll, _write_settings, start_kiosk
from verifield_sim.cards import card_for

CHEAP: dict[str, Any] = {"password_memory_kib": 8, "password_passes": 1, "password_lanes": 1}
SCENE = """
seed = {seed}
[card]
portrait = "{portrait}"
[person]
kind = "live"
portrait = "{portrait}"
"""


@dataclass
class CloudKioskRoom(KioskRoom):
    """``service_of``: the cloud, which is there all the time."""

    service_of: RunningCloud | None = None
    authorities: RunningAuthorities | None = None

    @property
    def running(self) -> RunningCloud:
        assert self.service_of is not None
        return self.service_of

    def comes(self, portrait: str, seed: int) -> None:
        """Somebody stands before the camera, with the own card on the reader."""
        name = f"own-{portrait}-{seed}"
        self.write_scene(name, SCENE.format(portrait=portrait, seed=seed))
        self.scene(name)


def owner_of(portrait: str, seed: int) -> Somebody:
    """Whose card the simulator lays down, as the people's registry knows them."""
    text = parse_text(card_for(portrait, seed=seed).text)
    return Somebody(text.name, text.number, text.valid_from, text.valid_to, portrait=portrait)


@contextmanager
def cloud_kiosk(folder: Path, model_store: ModelStore, *people: Somebody) -> Iterator[CloudKioskRoom]:
    """Serve until the block ends; the registers know ``people`` and compare their faces. Nobody signs in."""
    models = folder / "models"
    models.mkdir()
    for name in ("yunet-int8bq", "sface-int8bq"):  # the registry's own eyes
        (models / f"{name}.onnx").symlink_to(model_store.path(name))
    with ExitStack() as opened:
        first = folder / "first.toml"
        first.write_text('seed = 1\n[person]\nkind = "none"\n')
        simulator = Service.start(
            *("verifield-sim", "--scenario", str(first), "--dir", "sim"),
            cwd=folder,
            log=folder / "logs" / "sim.log",
        )
        opened.callback(simulator.stop)
        sim = simulator.endpoints()
        authorities = opened.enter_context(running_authorities(people, models=models))
        settings = {**authorities.settings, **CHEAP, "allow_simulated_cameras": True}
        cloud = opened.enter_context(running_cloud(folder / "cloud", **settings))
        _write_settings(folder / "device", sim, {})
        rules = {"session": SHORT_SESSION, "liveness": TURNS_ONLY, "media": {"keep": ["best_shot"]}}
        _enroll(folder, cloud, rules)
        service = start_kiosk(folder)
        opened.callback(service.stop)
        url = service.endpoints()["url"]
        yield CloudKioskRoom(folder, sim, url, service, cloud, cloud, authorities)
