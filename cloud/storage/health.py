"""How all stores are, put together from what the rows say and from what this server sees."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from sqlalchemy import Connection

from cloud.objects.guard import Role
from cloud.objects.replicas import Replicas
from cloud.store import replicas as rows
from cloud.store.replicas import ReplicaState, StoreRow, Tally


class Health(IntEnum):
    """Numbers equal those of verifield.v1.StorageHealth."""

    OK = 1
    DEGRADED = 2
    FAILED = 3


@dataclass(frozen=True, slots=True)
class StoreView:
    """One store. ``row``: None where it was never there; ``lag_us``: of the oldest file that waits."""

    name: str
    role: int
    kind: str
    provider: str
    up: bool
    fault: str
    row: StoreRow | None
    tally: Tally
    lag_us: int

    @property
    def is_well(self) -> bool:
        return self.up and not self.fault and not self.tally.counts.get(ReplicaState.CORRUPT)


def look(connection: Connection, replicas: Replicas, *, now_us: int) -> list[StoreView]:
    """All stores of the settings, in their order."""
    known = {row.name: row for row in rows.list_stores(connection)}
    tallies = rows.tallies(connection)
    found = []
    for guard in replicas.guards:
        said, row = guard.description, known.get(guard.name)
        tally = tallies.get(guard.name, Tally({}, None))
        since_us = tally.lagging_since_us
        fault = guard.fault.value if guard.fault else ""
        found.append(
            StoreView(
                guard.name,
                said.role,
                said.kind,
                said.provider,
                up=guard.admitted and not fault,
                fault=fault,
                row=row,
                tally=tally,
                lag_us=max(0, now_us - since_us) if since_us is not None else 0,
            )
        )
    return found


def judge(stores: list[StoreView], *, copies: int) -> Health:
    """What that means: a store that is away is never well, however many others there are."""
    local = [one for one in stores if one.role == Role.LOCAL]
    if sum(one.up for one in local) < copies:
        return Health.FAILED
    return Health.OK if all(one.is_well for one in stores) else Health.DEGRADED
