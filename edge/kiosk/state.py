"""What the page shows, as one value: a page that was reloaded needs nothing else. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from edge.kiosk.texts import Texts
from edge.model import Colour, Outcome, Prompt
from edge.texts import PROMPTS


class Stage(StrEnum):
    """Where a session stands for whoever looks at it."""

    NONE = "none"  # no session
    WORKING = "working"  # networks, disk, hardware: nobody is asked for anything
    CARD = "card"
    CAPTURE = "capture"
    QUESTION = "question"
    RESULT = "result"
    FAULT = "fault"  # no session could begin; nothing was recorded


CARD_PROMPTS = frozenset({Prompt.PLACE_CARD, Prompt.LIFT_CARD, Prompt.PLUG_IN_READER})

SYMBOLS: Mapping[Prompt, str] = {
    Prompt.PLACE_CARD: "card",
    Prompt.LIFT_CARD: "lift",
    Prompt.PLUG_IN_READER: "plug",
    Prompt.TURN_LEFT: "left",
    Prompt.TURN_RIGHT: "right",
    Prompt.LOOK_STRAIGHT: "straight",
    Prompt.WATCH_SCREEN: "light",
    Prompt.OPEN_MOUTH: "mouth",
    Prompt.COME_CLOSER: "closer",
    Prompt.MOVE_BACK: "back",
    Prompt.CAMERA_LOST: "plug",
    Prompt.CAMERA_BUSY: "plug",
    Prompt.CAMERA_FROZEN: "plug",
    Prompt.CAMERA_BLACK: "plug",
}
"""What is drawn over the picture or in the card's place; all other prompts have the plain oval."""


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody is asked. ``number`` grows with each; ``deadline``: monotonic seconds.

    ``shown``: what the page needs to draw it. Personal data may be among it: never logged.
    """

    number: int
    kind: str
    deadline: float
    limit_s: float
    shown: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Light:
    """A colour that fills the screen; ``number`` grows with each, so that its painting can be told back."""

    number: int
    colour: Colour | None


@dataclass(frozen=True, slots=True)
class Result:
    """How a session ended. ``reasons``: stable codes.

    ``again``, ``other_ways``, ``by_hand``: what is offered now, where the outcome is no.
    """

    outcome: Outcome
    reasons: tuple[str, ...]
    attestation_id: str
    seq: int
    again: bool = True
    other_ways: bool = False
    by_hand: bool = False
    fault: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """The state of the session that is under way, or that was. ``session``: number of it, 0 before the first.

    ``kind``: which flow began it; ``back``: where the page goes when it is left. ``still``: the camera is not
    looked at just now, so that no picture comes and nobody need pose.
    """

    session: int = 0
    kind: str = "verify"
    back: str = "/"
    stage: Stage = Stage.NONE
    prompt: Prompt | None = None
    light: Light | None = None
    question: Question | None = None
    result: Result | None = None
    fault: tuple[str, str] = ("", "")  # code and hint
    stopping: bool = False
    still: bool = False

    @property
    def busy(self) -> bool:
        """Whether a session is under way."""
        return self.stage not in (Stage.NONE, Stage.RESULT, Stage.FAULT)

    @property
    def screen(self) -> str:
        """The name of what is drawn: the stage, or the kind of question."""
        return self.question.kind if self.question is not None else self.stage.value

    def key(self, language: str) -> str:
        """Changes whenever the page has something else to draw than words of a prompt."""
        asked = self.question.number if self.question is not None else 0
        return f"{self.session}-{self.screen}-{asked}-{language}"


def snapshot(view: View, texts: Texts, *, now: float) -> dict[str, Any]:
    """What is sent to the page, as JSON values. ``now``: monotonic seconds."""
    question, light, prompt = view.question, view.light, view.prompt
    return {
        "language": texts.language,
        "session": view.session,
        "kind": view.kind,
        "stage": view.stage.value,
        "back": view.back,
        "busy": view.busy,
        "stopping": view.stopping,
        "still": view.still,
        "screen": {"id": view.screen, "key": view.key(texts.language)},
        "prompt": None
        if prompt is None
        else {
            "code": prompt.value,
            "text": PROMPTS[prompt][texts.language].lstrip("←→☀◯ "),
            "symbol": SYMBOLS.get(prompt, "oval"),
        },
        "light": None
        if light is None
        else {"number": light.number, "colour": None if light.colour is None else _css(light.colour)},
        "question": None
        if question is None
        else {
            "number": question.number,
            "kind": question.kind,
            "left_s": round(max(0.0, question.deadline - now), 1),
            "limit_s": question.limit_s,
        },
        "result": None
        if view.result is None
        else {"outcome": view.result.outcome.value, "attestation_id": view.result.attestation_id},
    }


def _css(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
