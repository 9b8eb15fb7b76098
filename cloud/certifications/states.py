"""The life of an application: what may happen in which state, and what its holder does next."""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType

from cloud.errors import Reason
from cloud.transitions import Machine
from verifield.v1 import certification_service_pb2 as pb


class State(IntEnum):
    """Numbers equal those of verifield.v1.ApplicationState."""

    DRAFT = pb.APPLICATION_STATE_DRAFT
    SUBMITTED = pb.APPLICATION_STATE_SUBMITTED
    IN_REVIEW = pb.APPLICATION_STATE_IN_REVIEW
    SUPPLEMENT_REQUIRED = pb.APPLICATION_STATE_SUPPLEMENT_REQUIRED
    PASSED = pb.APPLICATION_STATE_PASSED
    NOT_PASSED = pb.APPLICATION_STATE_NOT_PASSED
    CLOSED_NO_SUPPLEMENT = pb.APPLICATION_STATE_CLOSED_NO_SUPPLEMENT
    WITHDRAWN = pb.APPLICATION_STATE_WITHDRAWN
    RECERT_REQUIRED = pb.APPLICATION_STATE_RECERT_REQUIRED
    REVOKED = pb.APPLICATION_STATE_REVOKED


class Event(IntEnum):
    """What happens to one. Those that a timeline shows have the numbers of ApplicationEventKind."""

    CREATE = pb.APPLICATION_EVENT_KIND_CREATED
    SUBMIT = pb.APPLICATION_EVENT_KIND_SUBMITTED
    ASSIGN = pb.APPLICATION_EVENT_KIND_ASSIGNED
    ASK_SUPPLEMENT = pb.APPLICATION_EVENT_KIND_SUPPLEMENT_ASKED
    RESUBMIT = pb.APPLICATION_EVENT_KIND_RESUBMITTED
    EXPIRE = pb.APPLICATION_EVENT_KIND_SUPPLEMENT_EXPIRED
    PASS = pb.APPLICATION_EVENT_KIND_PASSED
    REJECT = pb.APPLICATION_EVENT_KIND_NOT_PASSED
    WITHDRAW = pb.APPLICATION_EVENT_KIND_WITHDRAWN
    REQUIRE_RECERT = pb.APPLICATION_EVENT_KIND_RECERT_REQUIRED
    REVOKE = pb.APPLICATION_EVENT_KIND_REVOKED
    REOPEN = pb.APPLICATION_EVENT_KIND_REOPENED
    EDIT = 100
    """Form, declaration or material: shown by the application itself."""
    REAPPLY = 101
    """A new one begins with the form of this one, which stays as it is."""


_S, _E = State, Event

MACHINE: Machine[State, Event] = Machine(
    MappingProxyType(
        {
            (_S.DRAFT, _E.EDIT): _S.DRAFT,
            (_S.DRAFT, _E.SUBMIT): _S.SUBMITTED,
            (_S.DRAFT, _E.WITHDRAW): _S.WITHDRAWN,
            (_S.SUBMITTED, _E.ASSIGN): _S.IN_REVIEW,
            (_S.SUBMITTED, _E.WITHDRAW): _S.WITHDRAWN,
            (_S.IN_REVIEW, _E.ASSIGN): _S.IN_REVIEW,
            (_S.IN_REVIEW, _E.ASK_SUPPLEMENT): _S.SUPPLEMENT_REQUIRED,
            (_S.IN_REVIEW, _E.PASS): _S.PASSED,
            (_S.IN_REVIEW, _E.REJECT): _S.NOT_PASSED,
            (_S.IN_REVIEW, _E.WITHDRAW): _S.WITHDRAWN,
            (_S.SUPPLEMENT_REQUIRED, _E.EDIT): _S.SUPPLEMENT_REQUIRED,
            (_S.SUPPLEMENT_REQUIRED, _E.RESUBMIT): _S.IN_REVIEW,
            (_S.SUPPLEMENT_REQUIRED, _E.EXPIRE): _S.CLOSED_NO_SUPPLEMENT,
            (_S.SUPPLEMENT_REQUIRED, _E.WITHDRAW): _S.WITHDRAWN,
            (_S.PASSED, _E.REQUIRE_RECERT): _S.RECERT_REQUIRED,
            (_S.PASSED, _E.REVOKE): _S.REVOKED,
            (_S.RECERT_REQUIRED, _E.REVOKE): _S.REVOKED,
            # A decision that does not stand: the review begins anew. What was revoked stays revoked.
            (_S.PASSED, _E.REOPEN): _S.SUBMITTED,
            (_S.RECERT_REQUIRED, _E.REOPEN): _S.SUBMITTED,
            (_S.NOT_PASSED, _E.REOPEN): _S.SUBMITTED,
            **{
                (state, _E.REAPPLY): state
                for state in (
                    _S.NOT_PASSED,
                    _S.CLOSED_NO_SUPPLEMENT,
                    _S.WITHDRAWN,
                    _S.PASSED,
                    _S.RECERT_REQUIRED,
                    _S.REVOKED,
                )
            },
        }
    ),
    refusal=Reason.APPLICATION_STATE,
    refusals=MappingProxyType({}),
)

NEXT_ACTIONS = MappingProxyType(
    {
        State.DRAFT: pb.APPLICANT_ACTION_SUBMIT,
        State.SUBMITTED: pb.APPLICANT_ACTION_WAIT_FOR_REVIEWER,
        State.IN_REVIEW: pb.APPLICANT_ACTION_WAIT_FOR_DECISION,
        State.SUPPLEMENT_REQUIRED: pb.APPLICANT_ACTION_SUPPLEMENT,
        State.PASSED: pb.APPLICANT_ACTION_NONE,
        State.NOT_PASSED: pb.APPLICANT_ACTION_REAPPLY,
        State.CLOSED_NO_SUPPLEMENT: pb.APPLICANT_ACTION_REAPPLY,
        State.WITHDRAWN: pb.APPLICANT_ACTION_REAPPLY,
        State.RECERT_REQUIRED: pb.APPLICANT_ACTION_REAPPLY,
        State.REVOKED: pb.APPLICANT_ACTION_REAPPLY,
    }
)

WAITS = frozenset({State.SUBMITTED, State.IN_REVIEW, State.SUPPLEMENT_REQUIRED})
"""A review task belongs to it."""

CERTIFIED = frozenset({State.PASSED, State.RECERT_REQUIRED})
"""It was passed, and nobody found it false."""
