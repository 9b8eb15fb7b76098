"""Which versions of clients are served: a client tells its own with each call."""

from __future__ import annotations

import re

from sqlalchemy import Connection

from cloud.errors import Reason, ServiceError
from cloud.rulebook.editions import find
from cloud.rulebook.kinds import RuleKind
from verifield.v1 import rulebook_pb2 as pb

CLIENT_KEY = "verifield-client"
"""Metadata of a call: NAME/VERSION, for example kiosk/1.4.2."""

_TOLD = re.compile(r"([a-z][a-z0-9-]{1,31})/([0-9]{1,6}(?:\.[0-9]{1,6}){1,3})")


def check_client(connection: Connection, told: str | None, *, now_us: int, feature: str = "") -> None:
    """Refuse a client that is older than what is served, or than what ``feature`` needs.

    ``told``: what came under :data:`CLIENT_KEY`. Who tells nothing, or is no client of the rules, passes:
    it is a tool of its own, and what it cannot say it does not ask for.

    Raises:
        ServiceError: UPGRADE_REQUIRED, with ``client``, ``min_version`` and ``feature``; REQUEST_INVALID.
    """
    if told is None:
        return
    match = _TOLD.fullmatch(told)
    if match is None:
        raise ServiceError(
            Reason.REQUEST_INVALID,
            f"The metadata {CLIENT_KEY} is of the form kiosk/1.4.2.",
            {"field": CLIENT_KEY, "rule": "client.form"},
        )
    served = find_client(find(connection, RuleKind.CLIENT_VERSIONS, now_us).rules, match[1])
    if served is None:
        return
    needed = [served.min_version, *(one.min_version for one in served.features if one.feature == feature)]
    least = max(needed, key=version_key)
    if version_key(match[2]) < version_key(least):
        facts = {"client": match[1], "min_version": least, "latest_version": served.latest_version}
        raise ServiceError(
            Reason.UPGRADE_REQUIRED,
            f"This needs version {least} of the client, or a later one.",
            facts | ({"feature": feature} if feature else {}),
        )


def find_client(rules: pb.ClientVersionRules, client: str) -> pb.ClientVersions | None:
    """What the rules say of one client."""
    return next((one for one in rules.clients if one.client == client), None)


def version_key(version: str) -> tuple[int, ...]:
    """Orders versions: 1.10 is after 1.9, and 1.4.0 is 1.4."""
    numbers = [int(part) for part in version.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
