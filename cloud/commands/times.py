"""Times and periods as options of commands: UTC, to the second."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from google.protobuf.timestamp_pb2 import Timestamp

FORMATS = ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d"]
"""A day stands for its first second."""

TimeOption = Annotated[
    datetime | None, typer.Option("--at", help="As of this time, UTC; default: now.", formats=FORMATS)
]
SinceOption = Annotated[
    datetime, typer.Option("--since", help="From this time or day on, UTC.", formats=FORMATS)
]
UntilOption = Annotated[
    datetime | None,
    typer.Option("--until", help="Up to this time or day, UTC; default: now.", formats=FORMATS),
]


def to_stamp(moment: datetime | None) -> Timestamp | None:
    """What was given, as it travels; None for nothing."""
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment.replace(tzinfo=UTC))
    return stamp


def until_stamp(moment: datetime | None) -> Timestamp:
    """The end of a period: what was given, or now."""
    return to_stamp(moment or datetime.now(UTC)) or Timestamp()
