"""What this room serves, and what it does by itself."""

from __future__ import annotations

from functools import partial

from cloud.feedback.desk import SWEPT_AT_ONCE, FeedbackDesk
from cloud.feedback.service import FeedbackService
from cloud.serving import Base, Served, served
from cloud.upkeep import Job
from verifield.v1 import feedback_service_pb2, feedback_service_pb2_grpc

SWEEP_S = 3600.0


def services(base: Base) -> list[Served]:
    """Feedback of users, and its summary for staff."""
    return [
        served(
            feedback_service_pb2,
            feedback_service_pb2_grpc.add_FeedbackServiceServicer_to_server,
            FeedbackService(base, FeedbackDesk(base.persons, base.sources)),
        )
    ]


def jobs(base: Base) -> list[Job]:
    """Forgets who sent something long ago."""
    desk = FeedbackDesk(base.persons, base.sources)
    return [
        Job("feedback senders", partial(desk.sweep, base.store), every_s=SWEEP_S, full=SWEPT_AT_ONCE),
    ]
