"""The people's side of a session on the page: a question is published, and its thread waits for the answer.

Implements ``ports.Desk`` and ``ports.Screen``. The page draws the question and posts what was answered; that
it is an answer to this very question, given once and in time, is checked here.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edge.answers import EarlierRecord, NotSignedIn, SessionText, SignedIn, Stop, TextShown
from edge.desk import CheckOperator
from edge.errors import EdgeError
from edge.kiosk.state import CARD_PROMPTS, Question, Stage
from edge.kiosk.stream import Hub
from edge.model import Colour, Prompt
from edge.texts import REFUSALS, Language

Answer = Mapping[str, Any]
"""What the page posted, checked by :mod:`edge.kiosk.replies` for the kind of its question."""


class WebDesk:
    """Asks one question at a time. ``present``: who is signed in at the kiosk already; None where nobody is.

    ``names``: those who may sign in.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        present: Callable[[], SignedIn | None],
        names: Callable[[], Sequence[str]],
        check_operator: CheckOperator,
    ) -> None:
        self._hub = hub
        self._present = present
        self._names = names
        self._check_operator = check_operator
        self._numbers = itertools.count(1)
        self._changed = threading.Condition()
        self._asked = 0  # number of the question that waits; 0: none does
        self._answer: Answer | None = None
        self._stop: Stop | None = None

    # For the session's thread

    def identify(self, timeout_s: float) -> SignedIn | Stop:
        """Take who is signed in; else ask until a sign-in passes or time is up."""
        known = self._present()
        if known is not None:
            return known
        deadline = self._hub.now + timeout_s
        refused: dict[str, Any] = {}
        while True:
            shown = {"names": list(self._names()), **refused}
            answer = self.ask("identify", deadline - self._hub.now, shown)
            if isinstance(answer, Stop):
                return answer
            try:
                checked = self._check_operator(answer["who"], answer["pin"])
            except EdgeError as error:
                refused = {"refused": error.code}
                continue
            if isinstance(checked, SignedIn):
                return checked
            refused = _refusal(checked)

    def ask_consent(self, text: SessionText, timeout_s: float) -> TextShown | Stop:
        return self._agree("consent", text, timeout_s)

    def show_notice(self, text: SessionText, timeout_s: float) -> TextShown | Stop:
        return self._agree("notice", text, timeout_s)

    def show_earlier(self, records: Sequence[EarlierRecord], timeout_s: float) -> bool | Stop:
        answer = self.ask("earlier", timeout_s, {"records": list(records)})
        return answer if isinstance(answer, Stop) else bool(answer["yes"])

    def ask_field(self, name: str, timeout_s: float, *, again: bool) -> str | Stop:
        answer = self.ask("field", timeout_s, {"name": name, "again": again})
        return answer if isinstance(answer, Stop) else str(answer["text"])

    def ask_signature(self, timeout_s: float) -> bytes | Stop:
        answer = self.ask("signature", timeout_s, {})
        return answer if isinstance(answer, Stop) else bytes(answer["signature"])

    def stop_requested(self) -> Stop | None:
        with self._changed:
            return self._stop

    def ask(self, kind: str, timeout_s: float, shown: Mapping[str, Any]) -> Answer | Stop:
        """Publish a question and wait for its answer; Stop where there is none."""
        with self._changed:
            number = next(self._numbers)
            self._asked, self._answer = number, None
            question = Question(number, kind, self._hub.now + timeout_s, timeout_s, shown)
            self._hub.update(stage=Stage.QUESTION, question=question, prompt=None)
            came = self._changed.wait_for(
                lambda: self._answer is not None or self._stop is not None, max(0.0, timeout_s)
            )
            self._asked = 0
            answer, stop = self._answer, self._stop
            self._hub.update(stage=Stage.WORKING, question=None)
        if stop is not None:
            return stop
        return answer if came and answer is not None else Stop.TIMEOUT

    # For the page's requests

    def take(self, number: int, answer: Answer) -> bool:
        """Take the answer to question ``number``; False where it is over, or answered."""
        with self._changed:
            if number != self._asked or self._answer is not None:
                return False
            self._answer = answer
            self._changed.notify_all()
            return True

    def stop(self, who: Stop) -> None:
        """End the session at its next step; the first who says so counts."""
        with self._changed:
            self._stop = self._stop or who
            self._changed.notify_all()
            self._hub.update(stopping=True)

    def _agree(self, kind: str, text: SessionText, timeout_s: float) -> TextShown | Stop:
        answer = self.ask(kind, timeout_s, {"text": text})
        if isinstance(answer, Stop):
            return answer
        language: Language = answer["language"]  # in which the page had drawn it when it was answered
        return text.answered(language, accepted=bool(answer["yes"]))


class WebScreen:
    """Prompts and light on the page."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    @property
    def can_light(self) -> bool:
        """A page is open, and the newest colour was painted in time."""
        return self._hub.can_light

    def show(self, prompt: Prompt) -> None:
        if prompt is Prompt.DONE:
            self._hub.update(stage=Stage.WORKING, prompt=None, light=None)
            return
        stage = Stage.CARD if prompt in CARD_PROMPTS else Stage.CAPTURE
        self._hub.update(stage=stage, prompt=prompt, question=None)

    def light(self, colour: Colour | None) -> None:
        """Return once the page says that the colour is painted, or after a moment without its word."""
        self._hub.light(colour)


def _refusal(refused: NotSignedIn) -> dict[str, Any]:
    return {"refused": refused.refusal, "wait_s": math.ceil(refused.wait_s)}


def refusal_text(refused: str, language: Language) -> str:
    """What to say of a sign-in that was refused, without the time to wait."""
    return next((texts[language] for code, texts in REFUSALS.items() if code == refused), "")
