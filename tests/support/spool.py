"""What the service sent to people, read from the folder that stands in for gateway and mail server.

code = last_code(cloud, "+8613800001234")
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any, Protocol

WAIT_S = 20.0

_CODE = re.compile(r"(?<!\d)\d{6}(?!\d)")


class HasData(Protocol):
    """A running cloud, or anything else with a data folder."""

    @property
    def data(self) -> Path: ...


def spooled(cloud: HasData, *, to: str = "", template: str = "") -> list[dict[str, Any]]:
    """The messages in the spool, oldest first; empty filters do not filter."""
    found = []
    for path in sorted((cloud.data / "spool").glob("*.json")):
        try:
            message = json.loads(path.read_bytes())
        except FileNotFoundError:  # swept away meanwhile
            continue
        if (not to or message["to"] == to) and (not template or message["template"] == template):
            found.append(message)
    return sorted(found, key=lambda message: message["id"])


def wait_for(
    cloud: HasData, count: int = 1, *, to: str = "", template: str = "", within_s: float = WAIT_S
) -> list[dict[str, Any]]:
    """As :func:`spooled`, once there are ``count`` or more."""
    end = time.monotonic() + within_s
    while len(found := spooled(cloud, to=to, template=template)) < count:
        assert time.monotonic() < end, f"{len(found)} messages came in time, not {count}"
        time.sleep(0.02)
    return found


def last_code(cloud: HasData, phone: str, *, besides: str = "", within_s: float = WAIT_S) -> str:
    """The newest code that was sent to a number (E.164), other than ``besides``: one seen before.

    Where a code was sent before, name it: the newer one may still be on its way.
    """
    end = time.monotonic() + within_s
    while True:
        codes = [found[0] for one in spooled(cloud, to=phone) if (found := _CODE.search(one["text"]))]
        if codes and codes[-1] != besides:
            return codes[-1]
        assert time.monotonic() < end, "no code came in time"
        time.sleep(0.02)
