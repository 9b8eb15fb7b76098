"""What objects do by themselves while the service runs."""

from __future__ import annotations

from cloud.objects.store import SWEPT_AT_ONCE, Objects
from cloud.store.database import Store
from cloud.upkeep import Job

SWEEP_EVERY_S = 600.0


def jobs(store: Store, objects: Objects) -> list[Job]:
    """The sweep of files that nothing names."""
    return [Job("objects", lambda: objects.sweep(store), every_s=SWEEP_EVERY_S, full=SWEPT_AT_ONCE)]
