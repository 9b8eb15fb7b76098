"""Desks: where people are asked. A terminal, and a script that answers for trials and tests."""

from __future__ import annotations

import json
import math
import os
import select
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

from edge.answers import EarlierRecord, NotSignedIn, SessionText, SignedIn, Stop, TextShown
from edge.errors import EdgeError
from edge.texts import ASKS, FIELDS, REFUSALS, Ask, Language

STOP_WORD = "/stop"
"""Typed as an answer, it ends the session."""

MAX_LINE_BYTES = 4096
"""What a terminal in line mode hands over at most; a longer line from a pipe is no answer."""

CheckOperator = Callable[[str, str], SignedIn | NotSignedIn]
"""Takes name and PIN; raises EdgeError where they could not be checked, or nobody has that name."""


def encode_typed_signature(name: str) -> bytes:
    """Return what stands for a signature where nobody can draw: JSON with the name typed."""
    return json.dumps({"kind": "typed", "name": name}, ensure_ascii=False).encode()


class Lines:
    """Lines that people type, waited for no longer than asked. ``source``: None where nobody can type."""

    def __init__(self, source: TextIO | None) -> None:
        self._source = source
        self._read = b""

    def next(self, timeout_s: float, *, hidden: bool = False) -> str | Stop:
        """Return the next line without its end; OPERATOR at the end of the input, and for STOP_WORD.

        What was typed on a terminal before the question was there is no answer to it, and is thrown away.
        """
        if self._source is None:
            return Stop.OPERATOR
        descriptor = self._source.fileno()
        if os.isatty(descriptor):
            termios.tcflush(descriptor, termios.TCIFLUSH)
            self._read = b""
        deadline = time.monotonic() + timeout_s
        with _without_echo(descriptor) if hidden else _as_it_is():
            while b"\n" not in self._read:
                left = deadline - time.monotonic()
                if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                    return Stop.TIMEOUT
                part = os.read(descriptor, MAX_LINE_BYTES)
                self._read += part
                too_long = len(self._read) > MAX_LINE_BYTES and b"\n" not in self._read[:MAX_LINE_BYTES]
                if not part or too_long:
                    return Stop.OPERATOR
        line, _, self._read = self._read.partition(b"\n")
        text = line.decode("utf-8", errors="replace").strip()
        return Stop.OPERATOR if text == STOP_WORD else text


@contextmanager
def _without_echo(descriptor: int) -> Iterator[None]:
    """Switch a terminal's echo off; anything else has none."""
    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    silent = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    termios.tcsetattr(descriptor, termios.TCSAFLUSH, silent)  # what was echoed is no PIN
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        print(file=sys.stderr)


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


class TerminalDesk:
    """Asks on standard error and reads from ``lines``, so that standard output stays machine readable.

    ``operator``: who signs in, where that is known; then only the PIN is asked for.
    """

    def __init__(
        self, language: Language, lines: Lines, *, check_operator: CheckOperator, operator: str = ""
    ) -> None:
        self._language = language
        self._lines = lines
        self._check_operator = check_operator
        self._operator = operator

    def identify(self, timeout_s: float) -> SignedIn | Stop:
        """Ask until a sign-in passes or time is up; the lock-out is the business of who checks it."""
        deadline = time.monotonic() + timeout_s
        while True:
            who = self._operator or self._ask(ASKS[Ask.WHO][self._language], _left(deadline))
            if isinstance(who, Stop):
                return who
            pin = self._ask(ASKS[Ask.PIN][self._language], _left(deadline), hidden=True)
            if isinstance(pin, Stop):
                return pin
            try:
                answer = self._check_operator(who, pin)
            except EdgeError as error:
                ask = Ask.NO_OPERATOR if error.code == "NO_OPERATOR" else Ask.UNCHECKED
                _say(ASKS[ask][self._language].format(code=error.code))
                continue
            if isinstance(answer, SignedIn):
                return answer
            wait = ASKS[Ask.WAIT][self._language].format(seconds=math.ceil(answer.wait_s))
            _say(REFUSALS[answer.refusal][self._language] + (f" {wait}" if answer.wait_s else ""))

    def ask_consent(self, text: SessionText, timeout_s: float) -> TextShown | Stop:
        return self._agree(text, Ask.AGREE, timeout_s)

    def show_notice(self, text: SessionText, timeout_s: float) -> TextShown | Stop:
        return self._agree(text, Ask.CONFIRM, timeout_s)

    def show_earlier(self, records: Sequence[EarlierRecord], timeout_s: float) -> bool | Stop:
        _say(ASKS[Ask.EARLIER][self._language])
        for record in records:
            _say(f"  {record.at:%Y-%m-%d %H:%M}  {record.outcome}")
        return self._yes(Ask.GO_ON, timeout_s)

    def ask_field(self, name: str, timeout_s: float, *, again: bool) -> str | Stop:
        if again:
            _say(ASKS[Ask.AGAIN][self._language])
        label = FIELDS.get(name, {}).get(self._language, name)
        return self._ask(f"{label}: ", timeout_s)

    def ask_signature(self, timeout_s: float) -> bytes | Stop:
        name = self._ask(ASKS[Ask.SIGN][self._language], timeout_s)
        if isinstance(name, Stop):
            return name
        return encode_typed_signature(name) if name else b""

    def stop_requested(self) -> Stop | None:
        """Nobody stops a terminal but by a signal, which the pipeline hears by itself."""
        return None

    def _agree(self, text: SessionText, ask: Ask, timeout_s: float) -> TextShown | Stop:
        _say(text.in_language(self._language))
        accepted = self._yes(ask, timeout_s)
        return accepted if isinstance(accepted, Stop) else text.answered(self._language, accepted=accepted)

    def _yes(self, ask: Ask, timeout_s: float) -> bool | Stop:
        """Only the whole word is a yes."""
        word = ASKS[Ask.YES][self._language]
        answer = self._ask(f"{ASKS[ask][self._language]} ({word} / ...) ", timeout_s)
        return answer if isinstance(answer, Stop) else answer.lower() == word

    def _ask(self, question: str, timeout_s: float, *, hidden: bool = False) -> str | Stop:
        print(question, end="", file=sys.stderr, flush=True)
        return self._lines.next(timeout_s, hidden=hidden)


@dataclass
class ScriptedDesk:
    """Answers as told beforehand. ``stop_at``: the question that gets that answer instead of its own.

    ``asked``: the questions in order. ``stop``: what :meth:`stop_requested` says.
    """

    operator: SignedIn | None = None
    consent: bool = True
    go_on: bool = True
    customer: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notice: bool = True
    signature: bytes = b""
    language: str = "en"
    stop_at: Mapping[str, Stop] = field(default_factory=dict)
    stop: Stop | None = None
    asked: list[str] = field(default_factory=list)

    def identify(self, timeout_s: float) -> SignedIn | Stop:  # noqa: ARG002 - a script takes no time
        return self._note("identify") or self.operator or Stop.OPERATOR

    def ask_consent(self, text: SessionText, timeout_s: float) -> TextShown | Stop:  # noqa: ARG002
        return self._note("consent") or text.answered(self.language, accepted=self.consent)

    def show_earlier(self, records: Sequence[EarlierRecord], timeout_s: float) -> bool | Stop:  # noqa: ARG002
        stopped = self._note(f"earlier {len(records)}")
        return self.go_on if stopped is None else stopped

    def ask_field(self, name: str, timeout_s: float, *, again: bool) -> str | Stop:  # noqa: ARG002
        tried = self.asked.count(f"field {name}")
        answers = self.customer.get(name, ())
        return self._note(f"field {name}") or (answers[tried] if tried < len(answers) else "")

    def show_notice(self, text: SessionText, timeout_s: float) -> TextShown | Stop:  # noqa: ARG002
        return self._note(f"notice {text.text_id}") or text.answered(self.language, accepted=self.notice)

    def ask_signature(self, timeout_s: float) -> bytes | Stop:  # noqa: ARG002
        return self._note("signature") or self.signature

    def stop_requested(self) -> Stop | None:
        return self.stop

    def _note(self, question: str) -> Stop | None:
        self.asked.append(question)
        return self.stop_at.get(question)


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)
