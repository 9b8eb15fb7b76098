"""Authorities to ask: the simulator's own server on a free port, with people in it and levers beside it.

with running_authorities([somebody(1)]) as authorities:
    with running_cloud(tmp_path, **authorities.settings) as cloud:
        authorities.mode(registry="busy*2")
        ...
        assert authorities.asked("registry.elements") == 1

Cloud and simulator know nothing of each other's code: between them is HTTP alone.
"""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from cloud.elements import FourElements, Validity
from verifield_sim.authorities.faces import open_compare
from verifield_sim.authorities.modes import Modes
from verifield_sim.authorities.office import Office
from verifield_sim.authorities.people import as_photo, parse_person
from verifield_sim.authorities.server import AuthoritiesServer, open_tls
from verifield_sim.cards import citizen_number
from verifield_sim.portraits import load

FAMILY_NAMES = "甲乙丙丁戊己庚辛壬癸"
ISSUER = "模拟市公安局样本分局"
COMPANY = "模拟样本有限公司"

QUICK: dict[str, Any] = {
    "authority_tries": 3,
    "authority_budget_s": 5.0,
    "authority_open_after": 1000,  # a test that wants the circuit breaker says so
}


@dataclass(frozen=True)
class Somebody:
    """A synthetic person, as the registers have them. ``portrait``: a name of the simulator, a file, or none.

    None in ``valid_from`` or ``valid_to`` is long-term. ``old_cards``: pairs of days that still match.
    """

    name: str
    id_number: str
    valid_from: date | None = date(2020, 1, 1)
    valid_to: date | None = date(2040, 1, 1)
    issuer: str = ISSUER
    portrait: str = "astronaut"
    phones: tuple[str, ...] = ()
    ctid: str = "asks"
    other: dict[str, str] = field(default_factory=lambda: {"company": COMPANY})
    old_cards: tuple[tuple[date | None, date | None], ...] = ()

    @property
    def elements(self) -> FourElements:
        """All four, as they match."""
        return FourElements(self.name, self.id_number, Validity(self.valid_from, self.valid_to))

    @property
    def phone(self) -> str:
        """The first number that this person holds."""
        return self.phones[0]

    def but(self, **changes: Any) -> Somebody:
        """The same person, with some fields changed."""
        return replace(self, **changes)

    def entry(self) -> dict[str, Any]:
        """As a people file has it."""
        values: dict[str, Any] = {
            "name": self.name,
            "id_number": self.id_number,
            **_days(self.valid_from, self.valid_to),
            "issuer": self.issuer,
            "phones": list(self.phones),
            "ctid": self.ctid,
            "other": dict(self.other),
            "old_cards": [_days(*card) for card in self.old_cards],
        }
        return values | ({"portrait": self.portrait} if self.portrait else {})


def _days(*ends: date | None) -> dict[str, str]:
    return {
        key: "long-term" if end is None else end.isoformat()
        for key, end in zip(("valid_from", "valid_to"), ends, strict=True)
    }


def somebody(number: int, **changes: Any) -> Somebody:
    """A person of one's own for each number from 0 to 99,999; the same again for the same number."""
    rng = random.Random(number)
    birth = date(1950, 1, 1) + timedelta(days=number % 18_000)
    name = "测试" + "".join(FAMILY_NAMES[int(digit)] for digit in f"{number:05d}")
    person = Somebody(
        name,
        citizen_number("110000", f"{birth:%Y%m%d}", rng.randrange(0, 1000, 2)),
        phones=(f"+86138{number:08d}",),
    )
    return person.but(**changes)


def face_of(portrait: str) -> bytes:
    """JPEG of a face as a card has it."""
    import cv2  # noqa: PLC0415 (half a second, and most tests send no picture)

    return bytes(cv2.imencode(".jpg", as_photo(load(portrait)))[1])


@dataclass
class RunningAuthorities:
    server: AuthoritiesServer
    settings: dict[str, Any]

    @property
    def url(self) -> str:
        return self.server.url

    def add(self, *people: Somebody) -> None:
        """Let the registers know more people, or the same ones changed."""
        for person in people:
            self.server.office.add(parse_person(person.entry(), folder=Path()))

    def mode(self, **modes: str) -> None:
        """``mode(registry="busy*3", registry_face="slow:2")``: an underscore stands for the point."""
        for target, mode in modes.items():
            self.server.modes.set(target.replace("_", ".", 1), mode.replace("-", "_"))

    def well(self) -> None:
        """All modes off."""
        self.server.modes.clear()

    def journal(self, target: str = "") -> list[dict[str, Any]]:
        """What was asked, oldest first; of one authority, or one call (``registry.face``)."""
        authority, _, call = target.partition(".")
        return [
            entry
            for entry in self.server.office.entries()
            if authority in {"", entry["authority"]} and call in {"", entry["call"]}
        ]

    def asked(self, target: str = "") -> int:
        """How often a call came in."""
        return len(self.journal(target))

    def charged(self, target: str = "") -> int:
        """How many calls cost something."""
        return sum(entry["charged"] for entry in self.journal(target))

    def act(self, transaction_id: str, act: str = "approve") -> None:
        """What the person does with the network certificate: approve or refuse."""
        self.server.office.act(transaction_id, act)


@contextmanager
def running_authorities(
    people: Sequence[Somebody] = (),
    *,
    certificates: tuple[Path, Path] | None = None,
    client_ca: Path | None = None,
    token: str = "",
    models: Path | None = None,
    ctid_life_s: int = 300,
) -> Iterator[RunningAuthorities]:
    """Serve in a thread until the block ends. ``certificates``: chain and key, for TLS on localhost."""
    office = Office({}, open_compare(models), ctid_life_s=ctid_life_s)
    context = open_tls(*certificates, client_ca) if certificates else None
    server = AuthoritiesServer(office, Modes(), context=context, token=token)
    names = ("registry", "bank", "ctid", "carrier")
    settings = {**QUICK, **{f"authority_{name}": server.url for name in names}}
    running = RunningAuthorities(server, settings)
    running.add(*people)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def nobody_listens() -> str:
    """The address of a gateway that refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"
