"""How a simulated authority misbehaves, for all of its calls or one, for a while or for good.

    registry=busy            every call of the registry answers busy
    registry=busy*3          the next three do
    registry.face=slow:2.5   every face comparison takes 2.5 s longer
    bank=ok                  well again

Modes: ok; busy (HTTP 503); system_error (HTTP 500); wrong (the opposite of the truth); slow:SECONDS; down
(the connection is reset); lost (the work is done and charged, then the connection is reset); garbage
(nonsense of a dozen kinds in turn); limited:SECONDS (HTTP 429 with Retry-After); refused (HTTP 403).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from verifield_sim.errors import SimError

CALLS: Mapping[str, tuple[str, ...]] = {
    "registry": ("elements", "face", "photo"),
    "bank": ("verify", "query"),
    "ctid": ("start", "finish"),
    "carrier": ("consistency",),
}
MAX_SLOW_S = 600.0

_SPEC = re.compile(
    r"(?P<kind>[a-z_]+)(?::(?P<seconds>\d{1,4}(?:\.\d{1,3})?))?(?:\*(?P<times>\d{1,6}))?", re.ASCII
)


class ModeKind(StrEnum):
    OK = "ok"
    BUSY = "busy"
    SYSTEM_ERROR = "system_error"
    WRONG = "wrong"
    SLOW = "slow"
    DOWN = "down"
    LOST = "lost"
    GARBAGE = "garbage"
    LIMITED = "limited"
    REFUSED = "refused"


_WITH_SECONDS = frozenset({ModeKind.SLOW, ModeKind.LIMITED})


@dataclass(frozen=True, slots=True)
class Mode:
    """``times``: how many calls it holds for; None for all."""

    kind: ModeKind = ModeKind.OK
    seconds: float = 0.0
    times: int | None = None

    def __str__(self) -> str:
        seconds = f":{self.seconds:g}" if self.kind in _WITH_SECONDS else ""
        return f"{self.kind.value}{seconds}" + ("" if self.times is None else f"*{self.times}")


def parse_mode(text: str) -> Mode:
    """``KIND[:SECONDS][*TIMES]``.

    Raises:
        SimError: there is no such mode.
    """
    match = _SPEC.fullmatch(text)
    if match is None or match["kind"] not in {kind.value for kind in ModeKind}:
        raise SimError(f"a mode is KIND[:SECONDS][*TIMES], and KIND one of {', '.join(ModeKind)}")
    kind = ModeKind(match["kind"])
    if (match["seconds"] is not None) != (kind in _WITH_SECONDS):
        raise SimError(f"seconds belong to {' and '.join(sorted(_WITH_SECONDS))}, and to no other mode")
    seconds = float(match["seconds"] or 0)
    if seconds > MAX_SLOW_S:
        raise SimError(f"at most {MAX_SLOW_S:g} s")
    return Mode(kind, seconds, int(match["times"]) if match["times"] else None)


def parse_target(text: str) -> tuple[str, str]:
    """``AUTHORITY[.CALL]``; an empty call stands for all of them.

    Raises:
        SimError: there is no such authority, or no such call of it.
    """
    authority, _, call = text.partition(".")
    if authority not in CALLS or (call and call not in CALLS[authority]):
        known = ", ".join(f"{name}.{one}" for name, calls in CALLS.items() for one in calls)
        raise SimError(f"a mode is set for one of {', '.join(CALLS)}, {known}")
    return authority, call


class Modes:
    """What is set now. Safe for several threads; that of a call counts before that of its authority."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._set: dict[tuple[str, str], Mode] = {}

    def set(self, target: str, mode: str) -> None:
        """Set one, in the writing of the module's text; for an authority, all its calls forget their own.

        Raises:
            SimError: it means nothing.
        """
        key, parsed = parse_target(target), parse_mode(mode)
        with self._lock:
            if not key[1]:
                self._set = {other: kept for other, kept in self._set.items() if other[0] != key[0]}
            self._set[key] = parsed

    def clear(self) -> None:
        """All well."""
        with self._lock:
            self._set.clear()

    def take(self, authority: str, call: str) -> Mode:
        """The mode of a call that comes in now; one that holds for some calls is used up by it."""
        with self._lock:
            for key in ((authority, call), (authority, "")):
                mode = self._set.get(key)
                if mode is None or mode.times == 0:
                    continue
                if mode.times is not None:
                    self._set[key] = Mode(mode.kind, mode.seconds, mode.times - 1)
                return mode
        return Mode()

    def now(self, authority: str) -> Mode:
        """The mode of a whole authority; a look uses up nothing."""
        with self._lock:
            mode = self._set.get((authority, ""))
            return mode if mode is not None and mode.times != 0 else Mode()

    def shown(self) -> dict[str, str]:
        """All that are set, as they would be set."""
        with self._lock:
            return {".".join(filter(None, key)): str(mode) for key, mode in sorted(self._set.items())}
