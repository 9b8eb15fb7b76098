"""The life of a review task: which event may happen in which state."""

from __future__ import annotations

from enum import Enum, IntEnum, auto

from cloud.errors import Reason
from cloud.transitions import Machine
from verifield.v1 import review_service_pb2 as pb


class TaskState(IntEnum):
    """Numbers equal those of verifield.v1.ReviewTaskState."""

    OPEN = pb.REVIEW_TASK_STATE_OPEN
    ASSIGNED = pb.REVIEW_TASK_STATE_ASSIGNED
    WAITING_SUPPLEMENT = pb.REVIEW_TASK_STATE_WAITING_SUPPLEMENT
    DECIDED = pb.REVIEW_TASK_STATE_DECIDED
    CLOSED = pb.REVIEW_TASK_STATE_CLOSED


LIVE = (TaskState.OPEN, TaskState.ASSIGNED, TaskState.WAITING_SUPPLEMENT)
ENDED = (TaskState.DECIDED, TaskState.CLOSED)


class TaskEvent(Enum):
    """What may happen to a task."""

    TAKE = auto()  # by a reviewer, from nobody
    GIVE = auto()  # to a reviewer: assigned, or moved to another one
    LEAVE = auto()  # nobody has it any more
    CHECK = auto()
    ASK = auto()  # the applicant for a supplement
    RESUBMIT = auto()
    RESUBMIT_TO_NOBODY = auto()  # who had it may not go on
    EXPIRE = auto()
    WITHDRAW = auto()
    MISS = auto()  # the time limit
    DECIDE = auto()


_S, _E = TaskState, TaskEvent

MACHINE: Machine[TaskState, TaskEvent] = Machine(
    {
        (_S.OPEN, _E.TAKE): _S.ASSIGNED,
        (_S.OPEN, _E.GIVE): _S.ASSIGNED,
        (_S.OPEN, _E.MISS): _S.OPEN,
        (_S.OPEN, _E.WITHDRAW): _S.CLOSED,
        (_S.ASSIGNED, _E.GIVE): _S.ASSIGNED,
        (_S.ASSIGNED, _E.LEAVE): _S.OPEN,
        (_S.ASSIGNED, _E.CHECK): _S.ASSIGNED,
        (_S.ASSIGNED, _E.ASK): _S.WAITING_SUPPLEMENT,
        (_S.ASSIGNED, _E.MISS): _S.ASSIGNED,
        (_S.ASSIGNED, _E.WITHDRAW): _S.CLOSED,
        (_S.ASSIGNED, _E.DECIDE): _S.DECIDED,
        # It goes on to wait: what comes is for another reviewer, or for whoever is there then.
        (_S.WAITING_SUPPLEMENT, _E.GIVE): _S.WAITING_SUPPLEMENT,
        (_S.WAITING_SUPPLEMENT, _E.LEAVE): _S.WAITING_SUPPLEMENT,
        (_S.WAITING_SUPPLEMENT, _E.RESUBMIT): _S.ASSIGNED,
        (_S.WAITING_SUPPLEMENT, _E.RESUBMIT_TO_NOBODY): _S.OPEN,
        (_S.WAITING_SUPPLEMENT, _E.EXPIRE): _S.CLOSED,
        (_S.WAITING_SUPPLEMENT, _E.WITHDRAW): _S.CLOSED,
    },
    Reason.REVIEW_STATE,
    {},
)
