"""Everything that one simulator holds: the reader, a card, a secure element, a person before the camera."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from verifield_sim import portraits
from verifield_sim.camera import CameraFaultKind, FaultyCamera, Scene
from verifield_sim.cards import Card, card_for
from verifield_sim.element import Element, open_element
from verifield_sim.errors import SimError
from verifield_sim.portraits import Image
from verifield_sim.reader import ReaderModule
from verifield_sim.reader_pty import ReaderPty
from verifield_sim.scenario import Scenario, open_scenario, scenario_names

ELEMENT_FOLDER = "element"  # beside the reader's link


class World:
    """Safe for several threads. Reader and secure element stay the same when the scenario is switched."""

    def __init__(
        self,
        reader: ReaderPty,
        element: Element | None,
        beside: Path | None,
        clock: Callable[[], float],
    ) -> None:
        self.reader = reader
        self.element = element
        self._clock = clock
        self._beside = beside
        self._lock = threading.Lock()
        self._scenario: Scenario
        self._card: Card | None
        self._scene: Scene
        self._camera: FaultyCamera
        self._scene_from = 0.0
        self._frames = 0

    @classmethod
    def open(
        cls,
        scenario: Scenario,
        *,
        link: Path,
        beside: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Self:
        """Start the reader behind ``link`` and set the scene.

        ``beside``: a folder whose scenarios may be switched to, as well as the shipped ones. ``clock``: the
        seconds by which the person moves.

        Raises:
            SimError: something that the scenario names cannot be had.
        """
        element = open_element(scenario.element.kind, link.parent / ELEMENT_FOLDER)
        module = ReaderModule(
            sam_id=scenario.reader.sam_id, faults=scenario.reader.faults, seed=scenario.seed
        )
        try:
            reader = ReaderPty.open(module, link=link, baud=scenario.reader.baud)
        except BaseException:
            if element is not None:
                element.close()
            raise
        world = cls(reader, element, beside, clock)
        try:
            world._set(scenario)
        except BaseException:
            world.close()
            raise
        return world

    @property
    def scenario_name(self) -> str:
        return self._scenario.name

    def switch(self, name: str) -> None:
        """Bring on the card and the person of another scenario; everything starts afresh.

        Raises:
            SimError: there is no such scenario.
        """
        own = {path.stem: path for path in self._beside.glob("*.toml")} if self._beside else {}
        if name in own:
            self._set(open_scenario(str(own[name])))
            return
        if name not in scenario_names():
            raise SimError(
                f"no scenario {name!r}: it is one of {', '.join([*scenario_names(), *sorted(own)])}"
            )
        self._set(open_scenario(name))

    def show(self, prompt: str) -> None:
        """Let the person see what the screen says: the head turns, the card is laid down or lifted."""
        with self._lock:
            self._scene.show(prompt, self._now())
            if prompt == "LIFT_CARD":
                self.reader.lift()
            elif prompt == "PLACE_CARD" and self._card is not None and not self.reader.card_present:
                self.reader.place(self._card)

    def light(self, colour: tuple[int, int, int] | None) -> None:
        """Let the screen that the person looks at shine in ``colour`` (sRGB 0..255); None: no more.

        Raises:
            SimError: no such colour.
        """
        with self._lock:
            self._scene.light(colour, self._now())

    def place(self, portrait: str | None = None) -> None:
        """Lay down the scenario's card, or one of the ``portrait`` by name.

        Raises:
            SimError: no such portrait, or the scenario has no card.
        """
        if portrait is not None and portrait not in portraits.NAMED:
            raise SimError(f"no portrait {portrait!r}: it is one of {', '.join(portraits.NAMED)}")
        card = self._card if portrait is None else card_for(portrait, seed=self._scenario.seed)
        if card is None:
            raise SimError("this scenario has no card: name a portrait")
        self.reader.place(card)

    def lift(self) -> None:
        """Take the card away."""
        self.reader.lift()

    def frame(self) -> tuple[int, Image]:
        """Return what the camera gives now (uint8 [480, 640, 3] BGR), and a number that only grows.

        Raises:
            CameraAway: it is unplugged, or busy.
        """
        with self._lock:
            self._frames += 1
            return self._frames, self._camera.frame(self._now())

    def camera_fault(self) -> CameraFaultKind | None:
        """What is wrong with the camera now."""
        with self._lock:
            return self._camera.fault(self._now())

    def set_camera_fault(self, kind: CameraFaultKind | None) -> None:
        """Bring a fault about, or take it back."""
        with self._lock:
            self._camera.set(kind)

    def plug_element(self, *, there: bool) -> None:
        """Pull the secure element out, or put it back.

        Raises:
            SimError: the scenario has none, or it does not start.
        """
        if self.element is None:
            raise SimError("this scenario has no secure element")
        with self._lock:
            if there:
                self.element.plug()
            else:
                self.element.unplug()

    def close(self) -> None:
        self.reader.close()
        if self.element is not None:
            self.element.close()

    def _now(self) -> float:
        return self._clock() - self._scene_from

    def _set(self, scenario: Scenario) -> None:
        spec, person = scenario.card, scenario.person
        card = card_for(spec.portrait, card_type=spec.type, seed=scenario.seed) if spec else None
        portrait = portraits.load(person.portrait) if person.portrait else None
        scene = Scene(person.kind, portrait, seed=scenario.seed, start=person.start)
        with self._lock:
            self._scenario, self._card, self._scene = scenario, card, scene
            self._camera = FaultyCamera(scene, scenario.camera.faults, seed=scenario.seed)
            self._scene_from = self._clock()
            self.reader.lift()
            if card is not None and spec is not None and spec.placed:
                self.reader.place(card)
