"""Scenarios: which card lies on the reader, who stands before the camera, what goes wrong. In TOML.

    seed = 1                    # of everything random

    [card]                      # leave it out and nobody has a card
    portrait = "astronaut"      # a name, or a picture file beside the scenario
    type = "resident"           # hkmt, foreigner2017, foreigner2023
    placed = true               # false: it is laid down when the screen asks for it

    [person]
    kind = "live"               # an attack: print, print_bent, cutout, phone, tablet, monitor, replay_turns,
                                # mask, injection; "none" for nobody
    portrait = "astronaut"
    start = "ready"             # far, turned, dark: until the screen says what to do against it

    [reader]
    baud = 115200
    sam_id = "05.03-20240115-0000123456-0987654321"
    faults = [{ kind = "silent", on = "find", times = 2 }]   # see verifield_sim.reader_faults

    [camera]                    # times in seconds after the scenario began; two numbers: drawn between them
    faults = [{ kind = "unplug", at_s = [3, 5], lasts_s = 4 }]  # freeze, black, busy; no lasts_s: for ever

    [element]                   # the secure element; it stays the same when the scenario is switched
    kind = "none"               # tpm (swtpm), pkcs11 (SoftHSM2)

Unknown keys are refused, so that a slip of the pen does not pass as a default.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any, get_args

from verifield_sim import portraits
from verifield_sim.camera import CameraFault, CameraFaultKind, PersonKind, PersonStart
from verifield_sim.cards import CARD_TYPES
from verifield_sim.element import KINDS as ELEMENT_KINDS
from verifield_sim.element import ElementKind
from verifield_sim.errors import SimError
from verifield_sim.reader_faults import Content, Fault, FaultKind, Target
from verifield_sim.reader_pty import BAUDS

_FAULT_NUMBERS = (
    *("times", "every", "keep", "noise_bytes", "offset", "other", "mask", "length"),
    *("status", "copies", "chunk"),
)
SHIPPED = Path(__file__).parent / "scenarios"
MAX_FAULT_S = 3600.0  # an hour: longer is not a fault but the end
MAX_SCENARIO_BYTES = 64 * 1024  # a scenario is a page of text


@dataclass(frozen=True, slots=True)
class CardSpec:
    portrait: str
    type: str = "resident"
    placed: bool = True


@dataclass(frozen=True, slots=True)
class PersonSpec:
    kind: PersonKind = "none"
    portrait: str = ""
    start: PersonStart = "ready"


@dataclass(frozen=True, slots=True)
class ReaderSpec:
    baud: int = 115200
    sam_id: str = "05.03-20240115-0000123456-0987654321"
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class CameraSpec:
    faults: tuple[CameraFault, ...] = ()


@dataclass(frozen=True, slots=True)
class ElementSpec:
    kind: ElementKind = "none"


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    seed: int = 0
    card: CardSpec | None = None
    person: PersonSpec = field(default_factory=PersonSpec)
    reader: ReaderSpec = field(default_factory=ReaderSpec)
    camera: CameraSpec = field(default_factory=CameraSpec)
    element: ElementSpec = field(default_factory=ElementSpec)


def scenario_names() -> list[str]:
    """The shipped scenarios."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def open_scenario(name_or_path: str) -> Scenario:
    """Read a shipped scenario by name, or any by the path of its file.

    Raises:
        SimError: there is none, or something in it is wrong.
    """
    shipped = name_or_path in scenario_names()
    path = SHIPPED / f"{name_or_path}.toml" if shipped else Path(name_or_path)
    if not path.is_file():
        raise SimError(f"no scenario {name_or_path!r}: give a file or one of {', '.join(scenario_names())}")
    if path.stat().st_size > MAX_SCENARIO_BYTES:
        raise SimError(f"{path.name} is larger than {MAX_SCENARIO_BYTES} bytes")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SimError(f"{path.name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SimError(f"{path.name} is not UTF-8 text") from error
    return parse_scenario(text, name=path.stem, folder=path.parent)


def parse_scenario(text: str, *, name: str, folder: Path) -> Scenario:
    """Parse and check; portraits that are files are sought in ``folder``.

    Raises:
        SimError: names the key that is wrong.
    """
    try:
        root = _Table(tomllib.loads(text), where=name)
    except tomllib.TOMLDecodeError as error:
        raise SimError(f"{name}: {error}") from error
    except RecursionError:
        raise SimError(f"{name}: it is nested too deeply") from None
    scenario = Scenario(
        name=name,
        seed=root.take("seed", int, 0),
        card=_card(root.table("card"), folder) if root.has("card") else None,
        person=_person(root.table("person"), folder),
        reader=_reader(root.table("reader")),
        camera=_camera(root.table("camera")),
        element=_element(root.table("element")),
    )
    root.check_all_taken()
    return scenario


def _card(table: _Table, folder: Path) -> CardSpec:
    spec = CardSpec(
        portrait=_portrait(table.take("portrait", str), folder),
        type=table.choose("type", CARD_TYPES, "resident"),
        placed=table.take("placed", bool, True),
    )
    table.check_all_taken()
    return spec


def _person(table: _Table, folder: Path) -> PersonSpec:
    kind: PersonKind = table.choose("kind", get_args(PersonKind), "none")
    portrait = table.take("portrait", str, "")
    start: PersonStart = table.choose("start", get_args(PersonStart), "ready")
    table.check_all_taken()
    if (kind == "none") != (not portrait):
        raise SimError(f"{table.where}: a person has a kind and a portrait; nobody has neither")
    return PersonSpec(kind, _portrait(portrait, folder) if portrait else "", start)


def _reader(table: _Table) -> ReaderSpec:
    default = ReaderSpec()
    spec = ReaderSpec(
        baud=table.choose("baud", BAUDS, default.baud),
        sam_id=table.take("sam_id", str, default.sam_id),
        faults=tuple(_fault(fault) for fault in table.tables("faults")),
    )
    table.check_all_taken()
    return spec


def _camera(table: _Table) -> CameraSpec:
    spec = CameraSpec(faults=tuple(_camera_fault(fault) for fault in table.tables("faults")))
    table.check_all_taken()
    return spec


def _element(table: _Table) -> ElementSpec:
    spec = ElementSpec(kind=table.choose("kind", ELEMENT_KINDS, "none"))
    table.check_all_taken()
    return spec


def _camera_fault(table: _Table) -> CameraFault:
    fault = CameraFault(
        kind=CameraFaultKind(table.choose("kind", _values(CameraFaultKind))),
        at_s=_span(table, "at_s", 0.0),
        lasts_s=_span(table, "lasts_s", 0.0),
    )
    table.check_all_taken()
    return fault


def _span(table: _Table, key: str, default: float) -> tuple[float, float]:
    """One number, or a list of two between which it is drawn."""
    value = table.take(key, (int, float, list), default)
    ends = value if isinstance(value, list) else [value, value]
    numbers = [float(end) for end in ends if isinstance(end, (int, float)) and not isinstance(end, bool)]
    if len(ends) != 2 or len(numbers) != 2 or not 0.0 <= numbers[0] <= numbers[1] <= MAX_FAULT_S:
        raise SimError(f"{table.where}: {key} is a number of seconds, or two in order")
    return numbers[0], numbers[1]


def _fault(table: _Table) -> Fault:
    default = {item.name: item.default for item in fields(Fault)}
    numbers: dict[str, Any] = {name: table.take(name, int, default[name]) for name in _FAULT_NUMBERS}
    seconds: dict[str, Any] = {
        name: float(table.take(name, (int, float), default[name])) for name in ("delay_s", "gap_s")
    }
    fault = Fault(
        kind=FaultKind(table.choose("kind", _values(FaultKind))),
        on=Target(table.choose("on", _values(Target), Target.READ.value)),
        content=Content(table.choose("content", _values(Content), Content.TYPE.value)),
        **numbers,
        **seconds,
    )
    table.check_all_taken()
    signed = {"offset", "other"}  # counted from the end where negative
    if min([*seconds.values(), *(value for name, value in numbers.items() if name not in signed)]) < 0:
        raise SimError(f"{table.where}: a negative number")
    if max(seconds.values()) > MAX_FAULT_S or fault.length > 0xFFFF or fault.status > 0xFF:
        raise SimError(f"{table.where}: a number is too large")
    return fault


def _values(kind: type[Enum]) -> tuple[str, ...]:
    return tuple(member.value for member in kind)


def _portrait(name: str, folder: Path) -> str:
    return name if name in portraits.NAMED else str(folder / name)


_REQUIRED: Any = object()


class _Table:
    """One TOML table, emptied key by key, so that what is left over is unknown."""

    def __init__(self, values: dict[str, Any], *, where: str) -> None:
        self._values = dict(values)
        self.where = where

    def has(self, key: str) -> bool:
        return key in self._values

    def take(self, key: str, kind: type | tuple[type, ...], default: Any = _REQUIRED) -> Any:
        value = self._values.pop(key, default)
        if value is _REQUIRED:
            raise SimError(f"{self.where}: {key} is missing")
        # TOML's true is Python's 1: only who asks for a boolean gets one.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise SimError(f"{self.where}: {key} is of the wrong kind")
        return value

    def choose(self, key: str, among: tuple[Any, ...], default: Any = _REQUIRED) -> Any:
        value = self._values.pop(key, default)
        if value is _REQUIRED or isinstance(value, bool) or value not in among:
            raise SimError(f"{self.where}: {key} is one of {', '.join(map(str, among))}")
        return value

    def table(self, key: str) -> _Table:
        return _Table(self.take(key, dict, {}), where=f"{self.where}, {key}")

    def tables(self, key: str) -> list[_Table]:
        values = self.take(key, list, [])
        if not all(isinstance(value, dict) for value in values):
            raise SimError(f"{self.where}: {key} is a list of tables")
        return [_Table(value, where=f"{self.where}, {key}[{i}]") for i, value in enumerate(values)]

    def check_all_taken(self) -> None:
        if self._values:
            raise SimError(f"{self.where}: unknown key {', '.join(sorted(self._values))}")
