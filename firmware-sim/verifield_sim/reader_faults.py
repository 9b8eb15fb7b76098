"""Faults of the simulated reader: which command they strike, how often, and what they do to the reply."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

ALWAYS = 0  # as ``times``


class FaultKind(StrEnum):
    NOISE = "noise"  # junk that ends in half a preamble comes before the reply
    CHECKSUM = "checksum"  # the last byte is wrong
    TRUNCATED = "truncated"  # the reply breaks off after ``keep`` bytes
    SILENT = "silent"  # the command is not heard
    REMOVED = "removed"  # the card is taken away as the command arrives
    SLOW = "slow"  # the reply comes after ``delay_s``, within what a host waits
    LATE = "late"  # ... and here after the host gave up


class Target(StrEnum):
    """The command that a fault waits for."""

    ANY = "any"
    STATUS = "status"
    SAM_ID = "sam_id"
    FIND = "find"
    SELECT = "select"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Fault:
    """``times``: how many such commands it strikes, ``ALWAYS`` for all."""

    kind: FaultKind
    on: Target = Target.READ
    times: int = 1
    delay_s: float = 0.0  # 0: the kind's own
    keep: int = 700
    noise_bytes: int = 40

    @property
    def delay(self) -> float:
        """Seconds that the reply is held back."""
        return self.delay_s or {FaultKind.SLOW: 1.2, FaultKind.LATE: 3.0}.get(self.kind, 0.0)

    def spoil(self, reply: bytes, rng: random.Random) -> bytes:
        """Return what reaches the wire instead of ``reply``."""
        match self.kind:
            case FaultKind.NOISE:
                return rng.randbytes(self.noise_bytes) + b"\xaa\xaa" + reply
            case FaultKind.CHECKSUM:
                return reply[:-1] + bytes([reply[-1] ^ rng.randint(1, 255)])
            case FaultKind.TRUNCATED:
                return reply[: min(self.keep, len(reply) - 1)]
            case _:
                return reply


class FaultPlan:
    """Hands out faults as commands come; the first that fits strikes."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self._faults = faults
        self._struck = [0] * len(faults)

    def strike(self, target: Target | None) -> Fault | None:
        """Return the fault for this command, None for none."""
        for index, fault in enumerate(self._faults):
            left = fault.times == ALWAYS or self._struck[index] < fault.times
            if left and fault.on in (Target.ANY, target):
                self._struck[index] += 1
                return fault
        return None
