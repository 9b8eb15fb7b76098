"""Brings together where figures, health and status come from."""

from __future__ import annotations

import time
from functools import partial

from sqlalchemy.engine import make_url

from cloud.authority import Authority
from cloud.config import Config
from cloud.log.sequencer import Sequencer
from cloud.operations.census import take_census
from cloud.operations.health import HealthWatch, database_answers
from cloud.operations.status import Vitals
from cloud.sources import Sources
from cloud.store.database import Store
from cloud.telemetry.census import CachedCensus
from cloud.telemetry.metrics import Metrics


def find_vitals(
    config: Config,
    sources: Sources,
    metrics: Metrics,
    *,
    store: Store,
    authority: Authority,
    sequencer: Sequencer,
) -> Vitals:
    """Where to look, for a service that begins now."""

    def able() -> bool:
        return sequencer.fault is None and database_answers(store)

    count = partial(take_census, config, store=store, authority=authority, sources=sources)
    return Vitals(
        engine=make_url(config.database_url).get_backend_name(),
        watch=HealthWatch(able),
        census=CachedCensus(count, clock=time.monotonic),
        log_size=lambda: sequencer.published.size,
        queue_depth=lambda: metrics.queue_depth,
        started=sources.now(),
    )
