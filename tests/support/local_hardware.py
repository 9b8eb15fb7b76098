"""`verifield-sim` as the hardware of a device in a folder: a card on the reader, a person before the camera.

with simulated_hardware(folder) as hardware:
    device = LocalDevice.open(folder / "device", **hardware.settings)
    hardware.comes(card="grace_hopper", person="grace_hopper")
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.processes import Service

NOBODY = 'seed = {seed}\n[card]\nportrait = "{card}"\n[person]\nkind = "none"\n'
SOMEBODY = 'seed = {seed}\n[card]\nportrait = "{card}"\n[person]\nkind = "live"\nportrait = "{person}"\n'
SEED = 31


@dataclass(frozen=True)
class Hardware:
    """``settings``: what a device that uses it is configured with."""

    folder: Path
    sim: dict[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "camera": self.sim["camera"],
            "reader_port": self.sim["reader"],
            "screen_url": self.sim["screen"],
            "photo_decoder": "simulator",
            "allow_simulated_camera": True,
            "card_timeout_s": 120.0,  # the tests' machine may be slower than a person is patient
        }

    def card(self, action: str) -> None:
        """``place`` or ``lift``."""
        self._control("card", {"action": action})

    def comes(self, *, card: str, person: str = "") -> None:
        """Who stands there now (nobody where no person is named), and with whose card."""
        name = f"{person or 'nobody'}-with-{card}"
        text = (SOMEBODY if person else NOBODY).format(seed=SEED, card=card, person=person)
        (self.folder / f"{name}.toml").write_text(text)
        self._control("scenario", {"name": name})

    def leaves(self) -> None:
        """Nobody stands there, and there is no card that could be laid down."""
        (self.folder / "nobody.toml").write_text(f'seed = {SEED}\n[person]\nkind = "none"\n')
        self._control("scenario", {"name": "nobody"})

    def _control(self, what: str, values: dict[str, str]) -> None:
        request = urllib.request.Request(
            f"{self.sim['control']}/{what}",
            data=json.dumps(values).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()


@contextmanager
def simulated_hardware(folder: Path) -> Iterator[Hardware]:
    folder.mkdir(parents=True, exist_ok=True)
    first = folder / "first.toml"
    first.write_text(NOBODY.format(seed=SEED, card="astronaut"))
    args = ("verifield-sim", "--scenario", str(first), "--dir", "sim")
    service = Service.start(*args, cwd=folder, log=folder / "logs" / "sim.log")
    try:
        yield Hardware(folder, service.endpoints())
    finally:
        service.stop()
