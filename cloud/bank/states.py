"""The life of a session of bank verification: strict steps, as a table.

    CARD_READ -> CARD_ACCEPTED -> FACE_PASSED -> RECORDS_SHOWN -> CUSTOMER_INFO -> INFO_CONFIRMED
              -> COMPLETION -> NOTICES_CONFIRMED -> SIGNED -> REQUEST_ISSUED

RECORDS_SHOWN can also lead to EXITED; the card and the face to NOT_PASSED; every open state to ENDED.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from cloud.errors import Reason, ServiceError
from cloud.transitions import Machine
from verifield.v1 import coop_service_pb2 as pb


class State(Enum):
    """Values are those of verifield.v1.CoopState."""

    CARD_READ = pb.COOP_STATE_CARD_READ
    CARD_ACCEPTED = pb.COOP_STATE_CARD_ACCEPTED
    FACE_PASSED = pb.COOP_STATE_FACE_PASSED
    RECORDS_SHOWN = pb.COOP_STATE_RECORDS_SHOWN
    CUSTOMER_INFO = pb.COOP_STATE_CUSTOMER_INFO
    INFO_CONFIRMED = pb.COOP_STATE_INFO_CONFIRMED
    COMPLETION = pb.COOP_STATE_COMPLETION
    NOTICES_CONFIRMED = pb.COOP_STATE_NOTICES_CONFIRMED
    SIGNED = pb.COOP_STATE_SIGNED
    REQUEST_ISSUED = pb.COOP_STATE_REQUEST_ISSUED
    EXITED = pb.COOP_STATE_EXITED
    NOT_PASSED = pb.COOP_STATE_NOT_PASSED
    ENDED = pb.COOP_STATE_ENDED


class Event(Enum):
    """What happens in a session. The order is that of the steps."""

    ACCEPT_CARD = "ACCEPT_CARD"
    REFUSE_CARD = "REFUSE_CARD"
    SHOW_PHOTO = "SHOW_PHOTO"
    ACCEPT_FACE = "ACCEPT_FACE"
    MISS_FACE = "MISS_FACE"
    REFUSE_FACE = "REFUSE_FACE"
    SHOW_DETAILS = "SHOW_DETAILS"
    SHOW_RECORDS = "SHOW_RECORDS"
    EXIT = "EXIT"
    CONTINUE = "CONTINUE"
    SHOW_CUSTOMER = "SHOW_CUSTOMER"
    CHANGE_CUSTOMER = "CHANGE_CUSTOMER"
    CONFIRM_CUSTOMER = "CONFIRM_CUSTOMER"
    COMPLETE_INFO = "COMPLETE_INFO"
    SHOW_NOTICES = "SHOW_NOTICES"
    CONFIRM_NOTICES = "CONFIRM_NOTICES"
    SIGN = "SIGN"
    ISSUE = "ISSUE"
    DOWNLOAD = "DOWNLOAD"
    CANCEL = "CANCEL"
    RUN_OUT = "RUN_OUT"


_S, _E = State, Event

OPEN = (
    _S.CARD_READ,
    _S.CARD_ACCEPTED,
    _S.FACE_PASSED,
    _S.RECORDS_SHOWN,
    _S.CUSTOMER_INFO,
    _S.INFO_CONFIRMED,
    _S.COMPLETION,
    _S.NOTICES_CONFIRMED,
    _S.SIGNED,
)
"""In their order. In every other state a session has ended."""

_LATER_THAN_FACE = (*OPEN[2:], _S.REQUEST_ISSUED)

MACHINE: Machine[State, Event] = Machine(
    table=MappingProxyType(
        {
            (_S.CARD_READ, _E.ACCEPT_CARD): _S.CARD_ACCEPTED,
            (_S.CARD_READ, _E.REFUSE_CARD): _S.NOT_PASSED,
            (_S.CARD_ACCEPTED, _E.SHOW_PHOTO): _S.CARD_ACCEPTED,
            (_S.CARD_ACCEPTED, _E.ACCEPT_FACE): _S.FACE_PASSED,
            (_S.CARD_ACCEPTED, _E.MISS_FACE): _S.CARD_ACCEPTED,
            (_S.CARD_ACCEPTED, _E.REFUSE_FACE): _S.NOT_PASSED,
            **{(state, _E.SHOW_DETAILS): state for state in _LATER_THAN_FACE},
            (_S.FACE_PASSED, _E.SHOW_RECORDS): _S.RECORDS_SHOWN,
            (_S.RECORDS_SHOWN, _E.SHOW_RECORDS): _S.RECORDS_SHOWN,  # the next page
            (_S.RECORDS_SHOWN, _E.EXIT): _S.EXITED,
            (_S.RECORDS_SHOWN, _E.CONTINUE): _S.CUSTOMER_INFO,
            **{(state, _E.SHOW_CUSTOMER): state for state in OPEN[4:]},
            (_S.CUSTOMER_INFO, _E.CHANGE_CUSTOMER): _S.CUSTOMER_INFO,
            (_S.CUSTOMER_INFO, _E.CONFIRM_CUSTOMER): _S.INFO_CONFIRMED,
            (_S.INFO_CONFIRMED, _E.COMPLETE_INFO): _S.COMPLETION,
            (_S.COMPLETION, _E.SHOW_NOTICES): _S.COMPLETION,
            (_S.COMPLETION, _E.CONFIRM_NOTICES): _S.NOTICES_CONFIRMED,
            (_S.NOTICES_CONFIRMED, _E.SIGN): _S.SIGNED,
            (_S.SIGNED, _E.ISSUE): _S.REQUEST_ISSUED,
            (_S.REQUEST_ISSUED, _E.DOWNLOAD): _S.REQUEST_ISSUED,
            **{(state, event): _S.ENDED for state in OPEN for event in (_E.CANCEL, _E.RUN_OUT)},
        }
    ),
    refusal=Reason.COOP_SESSION_ENDED,
    refusals=MappingProxyType({}),
)

MISSING: Mapping[State, Reason] = MappingProxyType(
    {
        _S.CARD_READ: Reason.CARD_REQUIRED,
        _S.CARD_ACCEPTED: Reason.FACE_REQUIRED,
        _S.FACE_PASSED: Reason.RECORDS_REQUIRED,
        _S.RECORDS_SHOWN: Reason.DECISION_REQUIRED,
        _S.CUSTOMER_INFO: Reason.CUSTOMER_UNCONFIRMED,
        _S.INFO_CONFIRMED: Reason.COMPLETION_REQUIRED,
        _S.COMPLETION: Reason.NOTICES_UNCONFIRMED,
        _S.NOTICES_CONFIRMED: Reason.SIGNATURE_REQUIRED,
        _S.SIGNED: Reason.REQUEST_REQUIRED,
    }
)
"""What has to happen in a state before anything later can."""

_LAST_STATE = {
    event: max(OPEN.index(state) for state, known in MACHINE.table if known is event and state in OPEN)
    for event in Event
    if any(known is event and state in OPEN for state, known in MACHINE.table)
}


def after(state: State, event: Event) -> State:
    """The state after ``event``.

    Raises:
        ServiceError: FAILED_PRECONDITION with what is missing, STEP_DONE or COOP_SESSION_ENDED.
    """
    if MACHINE.allows(state, event) or state not in OPEN:
        return MACHINE.after(state, event)
    behind = OPEN.index(state) > _LAST_STATE.get(event, len(OPEN))
    raise ServiceError(
        Reason.STEP_DONE if behind else MISSING[state],
        f"In the state {state.name} this is not possible: {event.name}.",
        {"state": state.name, "event": event.name},
    )
