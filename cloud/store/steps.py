"""How long the steps of processes took, worked out by the database: exact percentiles of what ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, case, func, or_, select

from cloud.store.schema import business_events, certification_applications, certification_events


@dataclass(frozen=True, slots=True)
class StepRow:
    """How many left a state, and how long they had been in it."""

    left_state: int
    process_version: int
    count: int
    p50_us: int
    p90_us: int
    p99_us: int
    max_us: int


def report_business(connection: Connection, *, start_us: int, end_us: int) -> list[StepRow]:
    """The states of requests for registration business that ended in a period."""
    at = business_events.c
    ended = select(at.left_state, at.process_version, at.lasted_us).where(
        at.left_state.is_not(None), at.time_us >= start_us, at.time_us < end_us
    )
    return _rank(connection, ended)


def report_certifications(connection: Connection, *, start_us: int, end_us: int) -> list[StepRow]:
    """The states of applications for certifications that ended in a period."""
    at = certification_events.c
    touched = select(at.application_id).where(at.at_us >= start_us, at.at_us < end_us)
    before = func.lag(at.state).over(partition_by=at.application_id, order_by=at.number)
    told = (
        select(at.application_id, at.number, at.state, at.at_us, before.label("before"))
        .where(at.application_id.in_(touched))
        .subquery()
    )
    left = func.lead(told.c.at_us).over(partition_by=told.c.application_id, order_by=told.c.number)
    stays = (  # an event that leaves the state as it is begins none
        select(told.c.application_id, told.c.state, told.c.at_us.label("begun_us"), left.label("left_us"))
        .where(or_(told.c.before.is_(None), told.c.before != told.c.state))
        .subquery()
    )
    one, application = stays.c, certification_applications.c
    lasted = case((one.left_us > one.begun_us, one.left_us - one.begun_us), else_=0)  # clocks may differ
    ended = (
        select(one.state.label("left_state"), application.process_version, lasted.label("lasted_us"))
        .join(certification_applications, application.application_id == one.application_id)
        .where(one.left_us >= start_us, one.left_us < end_us)
    )
    return _rank(connection, ended)


def _rank(connection: Connection, ended: Select[Any]) -> list[StepRow]:
    """Percentiles by nearest rank. ``ended``: left_state, process_version and lasted_us of each."""
    spans = ended.subquery().c
    step = (spans.left_state, spans.process_version)
    ranked = select(
        *step,
        spans.lasted_us,
        func.row_number().over(partition_by=step, order_by=spans.lasted_us).label("place"),
        func.count().over(partition_by=step).label("total"),
    ).subquery()
    one = ranked.c

    def percentile(percent: int) -> Any:
        place = (one.total * percent + 99) // 100  # rounded up
        return func.max(one.lasted_us).filter(one.place == place)

    query = (
        select(
            one.left_state,
            one.process_version,
            func.count().label("count"),
            percentile(50).label("p50_us"),
            percentile(90).label("p90_us"),
            percentile(99).label("p99_us"),
            func.max(one.lasted_us).label("max_us"),
        )
        .group_by(one.left_state, one.process_version)
        .order_by(one.left_state, one.process_version)
    )
    return [StepRow(**row._mapping) for row in connection.execute(query)]
