"""A kiosk's session before a simulated person in virtual time: no machine is too slow for it.

    monkeypatch.setattr(edge.kiosk.sessions, "open_pipeline", booth_pipeline)

Networks, liveness, decision, record and keeping are the real ones; camera, card and clock are the booth's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edge.config import EdgeConfig
from edge.model import Purpose
from edge.pipeline import Pipeline
from edge.recorder import Recorder
from edge.state.store import StateStore
from edge.station import Counter, Station
from edge.tasks import WaitingTask
from tests.support.booth import Booth

OWNER = "astronaut"
"""Of the card and of the face."""


@contextmanager
def booth_pipeline(
    _config: EdgeConfig,
    recorder: Recorder,
    state: StateStore,
    *,
    task: WaitingTask | None,
    counter: Counter,
    **_more: Any,
) -> Iterator[Pipeline]:
    """In the place of ``edge.station.open_pipeline``."""
    booth = Booth.with_person("live", OWNER)
    pipeline = booth.pipeline(counter.vision)
    pipeline = dataclasses.replace(
        pipeline,
        attest=Station(recorder, state, booth.camera, booth).attest,
        plan=dataclasses.replace(pipeline.plan, media=frozenset({"best_shot"})),
    )
    if task is not None:
        pipeline = dataclasses.replace(
            pipeline,
            guard=dataclasses.replace(pipeline.guard, awaits=lambda document: task.awaits(document.number)),
            purpose=Purpose(task.nonce, task.task_id, task.number_salt),
        )
    yield pipeline
