"""Rules of the challenge that a liveness check rests on."""

from __future__ import annotations

import re

from verifield.rules import CODE, MAX_ITEMS, NONCE_BYTES, check_finite, require
from verifield.v1 import attestation_pb2 as pb

MAX_TIME_FACTOR = 5.0
"""By which no policy multiplies more."""

MAX_MS = 600_000
"""Ten minutes: no challenge lasts longer."""

_COLOUR = re.compile(r"#[0-9A-F]{6}")


def check_challenge(challenge: pb.Challenge) -> None:
    """Check what was asked, and what is said of the answers.

    Raises:
        Malformed: a rule is broken; the sentence says which.
    """
    actions, kinds = list(challenge.actions), list(challenge.kinds)
    require(len(challenge.nonce) == NONCE_BYTES, "challenge.nonce has not 16 bytes")
    require(len(actions) <= MAX_ITEMS, "challenge.actions has too many entries")
    require(all(map(CODE.fullmatch, actions)), "an action is not a code")
    require(challenge.completed <= len(actions), "more actions completed than asked for")
    require(0 not in kinds and len(set(kinds)) == len(kinds), "challenge.kinds has one twice, or none")
    omitted = list(challenge.omitted)
    require(
        0 not in omitted and len({*kinds, *omitted}) == len(kinds) + len(omitted),
        "challenge.omitted has one twice, or one that was asked for",
    )
    require(len(challenge.turns) <= len(actions), "challenge.turns has more answers than were asked for")
    factor = challenge.time_factor
    check_finite((*challenge.turns, factor))
    require(factor == 0 or 1 <= factor <= MAX_TIME_FACTOR, "challenge.time_factor is out of range")
    if challenge.HasField("light"):
        require(pb.CHALLENGE_KIND_LIGHT in kinds, "challenge.light belongs to no kind of challenge")
        _check_light(challenge.light)


def _check_light(light: pb.LightChallenge) -> None:
    colours, shown, response = list(light.colours), list(light.shown_ms), list(light.response)
    require(0 < len(colours) <= MAX_ITEMS, "challenge.light.colours has none or too many entries")
    require(all(map(_COLOUR.fullmatch, colours)), "a colour is not #RRGGBB")
    require(len(shown) <= len(colours), "more colours were shown than are in the sequence")
    require(shown == sorted(shown), "challenge.light.shown_ms is not in order")
    require(
        all(time <= MAX_MS for time in (*shown, light.lag_ms)), "a time of challenge.light is out of range"
    )
    whole = len(response) == len(colours) == len(shown)
    require(whole or not response, "challenge.light.response is not of all colours")
    check_finite([value for part in response for value in (part.red, part.green, part.blue)])
