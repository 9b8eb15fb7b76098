"""The module's status byte SW3: what each value means and what may be done about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Retry(StrEnum):
    """What to do after a status that is not success."""

    RESEND = "RESEND"  # the module misheard: the same command once more
    NO_CARD = "NO_CARD"  # ask again until one comes
    RESTART = "RESTART"  # from find, three times
    LIFT = "LIFT"  # lift the card and lay it down again, once
    NEVER = "NEVER"  # asking again cannot help
    CARD_REFUSED = "CARD_REFUSED"  # not a card that this module knows
    RESET = "RESET"  # reset the module once
    DEAD = "DEAD"  # out of service


@dataclass(frozen=True, slots=True)
class Status:
    meaning: str
    retry: Retry


OK = 0x90
CARD_FOUND = 0x9F
NO_ITEM = 0x91
SUCCESSES = frozenset({OK, CARD_FOUND, NO_ITEM})
NOT_GENUINE = frozenset({0x32, 0x33})  # the module, or the signature, speaks against the card

FAILURES: dict[int, Status] = {
    0x10: Status("the checksum of the host's data is wrong", Retry.RESEND),
    0x11: Status("the length of the host's data is wrong", Retry.NEVER),
    0x21: Status("the module does not know this command", Retry.NEVER),
    0x23: Status("the module does not permit this command", Retry.NEVER),
    0x24: Status("unrecognised error, or a command out of sequence", Retry.RESTART),
    0x31: Status("the card failed to authenticate the module", Retry.LIFT),
    0x32: Status("the module failed to authenticate the card", Retry.LIFT),
    0x33: Status("the signature over the card's data is wrong", Retry.LIFT),
    0x37: Status("the fingerprint check failed", Retry.NEVER),
    0x3F: Status("the length of the card's data is wrong", Retry.LIFT),
    0x40: Status("the card's type is not recognised", Retry.CARD_REFUSED),
    0x41: Status("the read failed", Retry.RESTART),
    0x47: Status("no random number could be had", Retry.RESTART),
    0x60: Status("the module's self-test failed", Retry.RESET),
    0x66: Status("the module is not authorised", Retry.DEAD),
    0x80: Status("no card", Retry.NO_CARD),
    0x81: Status("the card could not be selected", Retry.RESTART),
}

_UNKNOWN = Status("unknown status", Retry.NEVER)


def failure(code: int) -> Status:
    """Return what a status other than success means; an unknown one is never retried."""
    return FAILURES.get(code, _UNKNOWN)
