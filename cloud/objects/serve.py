"""What objects do by themselves while the service runs."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from cloud.objects.care import CHECKED_AT_ONCE, MENDED_AT_ONCE, Care
from cloud.objects.guard import Guard
from cloud.objects.replicas import Replicas
from cloud.objects.store import SWEPT_AT_ONCE, Objects
from cloud.sources import Sources, to_us
from cloud.store.database import Store
from cloud.upkeep import Job

SWEEP_EVERY_S = 600.0
LOOK_EVERY_S = 15.0
"""A store that is away is told of within this time, and one that is back is worked off."""

MEND_EVERY_S = 5.0
"""How far stores elsewhere lag behind where nothing is wrong."""

SCRUB_EVERY_S = 60.0


def jobs(store: Store, objects: Objects) -> list[Job]:
    """The sweep of files that nothing names."""
    return [Job("objects", lambda: objects.sweep(store), every_s=SWEEP_EVERY_S, full=SWEPT_AT_ONCE)]


def care_jobs(replicas: Replicas, care: Care, sources: Sources, *, scrub_every: timedelta) -> list[Job]:
    """What keeps the stores whole: of each one by itself, so that one that is slow holds up no other."""

    def mend(guard: Guard) -> int:
        done = care.mend(guard)
        return done.mended + done.dropped

    def scrub(guard: Guard) -> int:
        before_us = to_us(sources.now() - scrub_every)
        return care.scrub(guard, before_us=before_us).looked

    return [
        job
        for guard in replicas.guards
        for job in (
            Job(f"store_look_{guard.name}", partial(care.look_at, guard), every_s=LOOK_EVERY_S),
            Job(f"store_mend_{guard.name}", partial(mend, guard), every_s=MEND_EVERY_S, full=MENDED_AT_ONCE),
            Job(
                f"store_scrub_{guard.name}",
                partial(scrub, guard),
                every_s=SCRUB_EVERY_S,
                full=CHECKED_AT_ONCE,
            ),
        )
    ]
