"""What one session consists of: its states in order, their limits, and which of them a policy asks for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from edge.answers import SessionText, Step
from edge.errors import SetupError
from edge.policy import Policy


class State(StrEnum):
    """Where a session stands; the names are part of the reason codes ``TIMEOUT_<state>``."""

    START = "START"
    OPERATOR = "OPERATOR"
    CONSENT = "CONSENT"
    DOCUMENT = "DOCUMENT"
    EARLIER_RECORDS = "EARLIER_RECORDS"
    CAPTURE = "CAPTURE"
    LIVENESS = "LIVENESS"
    MATCH = "MATCH"
    GALLERY = "GALLERY"
    DECISION = "DECISION"
    CUSTOMER_DATA = "CUSTOMER_DATA"
    NOTICE = "NOTICE"
    SIGNATURE = "SIGNATURE"
    ATTEST = "ATTEST"
    DONE = "DONE"


_FIELD = re.compile(r"[a-z][a-z0-9_]{0,47}")
"""What may stand behind "customer." in the name of a commitment."""

STEP_OF: Mapping[State, Step] = {State(step.value): step for step in Step}
"""The states that only a plan with that step has; all others are in every session."""

BEFORE_DECISION = frozenset({Step.OPERATOR, Step.CONSENT, Step.EARLIER_RECORDS, Step.GALLERY})

PEOPLE_S = 120.0
"""Reading a consent text or typing a telephone number takes a slow reader two minutes."""
COMPUTE_S = 60.0
"""The networks answer within a second; a device that needs a minute is broken, not slow."""
CARD_S = 60.0
"""A read at 9600 baud with retries takes half a minute; waiting for the card comes on top."""
CAPTURE_S = 60.0
"""The last frame and the networks on a slow device; the time for the challenge comes on top."""

DEFAULT_LIMITS_S: Mapping[State, float] = {
    State.START: PEOPLE_S,
    State.OPERATOR: PEOPLE_S,
    State.CONSENT: PEOPLE_S,
    State.DOCUMENT: PEOPLE_S + CARD_S,
    State.EARLIER_RECORDS: PEOPLE_S,
    State.CAPTURE: PEOPLE_S + CAPTURE_S,
    State.LIVENESS: COMPUTE_S,
    State.MATCH: COMPUTE_S,
    State.GALLERY: COMPUTE_S,
    State.CUSTOMER_DATA: PEOPLE_S,
    State.NOTICE: PEOPLE_S,
    State.SIGNATURE: PEOPLE_S,
}
"""How long a session may rest in each state. DECISION takes no time; ATTEST ends when the disk has answered,
and a limit there could only lose the record; DONE is the end."""

ASKED_OF_PEOPLE = frozenset(
    {
        State.OPERATOR,
        State.CONSENT,
        State.EARLIER_RECORDS,
        State.CUSTOMER_DATA,
        State.NOTICE,
        State.SIGNATURE,
    }
)
"""The states whose limit a policy's ``step_timeout`` sets."""


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """What this session has beside document, capture, liveness and match; frozen when the session begins.

    ``step_timeout_s``: limits in seconds that differ from DEFAULT_LIMITS_S. ``customer_fields``: names to
    ask for, for example phone. ``media``: names of the pictures to keep, best_shot and document_photo.

    Raises:
        SetupError: POLICY_INCOMPLETE, where a step has nothing to show or something to show has no step.
    """

    steps: frozenset[Step] = frozenset()
    step_timeout_s: Mapping[State, float] = field(default_factory=dict)
    consent: SessionText | None = None
    notices: tuple[SessionText, ...] = ()
    customer_fields: tuple[str, ...] = ()
    media: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for step, content in (
            (Step.CONSENT, self.consent),
            (Step.NOTICE, self.notices),
            (Step.CUSTOMER_DATA, self.customer_fields),
        ):
            if (step in self.steps) != bool(content):
                raise _incomplete(f"the step {step} and what it shows do not go together")
        if any(not text.by_language for text in (*self.notices, *([self.consent] if self.consent else []))):
            raise _incomplete("a text has no language")
        if not all(_FIELD.fullmatch(name) for name in self.customer_fields):
            raise _incomplete("a customer field has no plain name")
        for state, seconds in self.step_timeout_s.items():
            if state not in DEFAULT_LIMITS_S or not seconds > 0:
                raise _incomplete(f"{seconds} s is no limit of the state {state}")

    def has(self, state: State) -> bool:
        """Whether a session of this plan comes through ``state``."""
        step = STEP_OF.get(state)
        return step is None or step in self.steps

    def steps_before_decision(self) -> frozenset[Step]:
        """The steps whose answers the decision rests on; the others come after it."""
        return self.steps & BEFORE_DECISION

    def limit_s(self, state: State) -> float | None:
        """How long the session may rest in ``state``; None: no limit."""
        default = DEFAULT_LIMITS_S.get(state)
        return None if default is None else self.step_timeout_s.get(state, default)


def plan_session(
    policy: Policy, *, card_timeout_s: float, capture_timeout_s: float, also: Iterable[Step] = ()
) -> SessionPlan:
    """The plan that ``policy`` asks for, on a device that waits so long for a card and a face.

    ``also``: steps that a task asks for beside the policy's.

    Raises:
        SetupError: POLICY_INCOMPLETE, as :class:`SessionPlan`.
    """
    asked = policy.session
    steps = frozenset(asked.steps).union(also)
    limits = dict.fromkeys(ASKED_OF_PEOPLE, asked.step_timeout.total_seconds())
    limits |= {State.DOCUMENT: card_timeout_s + CARD_S, State.CAPTURE: capture_timeout_s + CAPTURE_S}
    return SessionPlan(
        steps=steps,
        step_timeout_s=limits,
        consent=asked.consent if Step.CONSENT in steps else None,
        notices=asked.notices if Step.NOTICE in steps else (),
        customer_fields=asked.customer_fields if Step.CUSTOMER_DATA in steps else (),
        media=frozenset(policy.media.keep),
    )


def _incomplete(why: str) -> SetupError:
    return SetupError(
        "POLICY_INCOMPLETE",
        f"The policy's session cannot be held: {why}.",
        hint="Publish a policy with a text for each of its steps, then synchronise.",
    )
