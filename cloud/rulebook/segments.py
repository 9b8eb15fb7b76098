"""Which telephone numbers are served: by their first digits, as the rules of the moment say."""

from __future__ import annotations

from dataclasses import dataclass

from verifield.v1 import rulebook_pb2 as pb

CHINA = 86
"""The country of a segment that names none."""


@dataclass(frozen=True, slots=True)
class Segment:
    """``prefix``: empty where no rule fits, which means that the number is served."""

    prefix: str
    supported: bool
    note: str = ""


def judge_number(rules: pb.NumberSegmentRules, country_code: int, national: str) -> Segment:
    """What the rules say of a number: the longest prefix that fits counts. ``national``: digits only."""
    fitting = [
        one
        for one in rules.segments
        if (one.country_code or CHINA) == country_code and national.startswith(one.prefix)
    ]
    if not fitting:
        return Segment("", supported=True)
    closest = max(fitting, key=lambda one: len(one.prefix))
    return Segment(closest.prefix, closest.status == pb.SEGMENT_STATUS_SUPPORTED, closest.note)
