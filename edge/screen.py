"""Screens: where prompts go. The office page comes on top of the same port."""

from __future__ import annotations

import http.client
import json
import sys
import urllib.request
from collections.abc import Sequence
from urllib.parse import urlsplit

from edge.errors import SetupError
from edge.model import Colour, Prompt
from edge.ports import Screen
from edge.texts import PROMPTS, Language

POST_TIMEOUT_S = 1.0  # a screen that hangs must not hold up a person for longer


class ConsoleScreen:
    """Prompts on standard error, so that standard output stays machine readable."""

    can_light = False  # a terminal is no lamp

    def __init__(self, language: Language) -> None:
        self._language = language

    def show(self, prompt: Prompt) -> None:
        print(f"  {PROMPTS[prompt][self._language]}", file=sys.stderr, flush=True)

    def light(self, colour: Colour | None) -> None:
        """Nothing: see ``can_light``."""


class HttpScreen:
    """Posts each prompt's code, and each colour of light, as JSON to a screen on this machine."""

    def __init__(self, url: str) -> None:
        if not _on_this_machine(url):
            raise SetupError(
                "SCREEN_URL",
                "The screen's address must be http:// on this machine.",
                hint="Use http://127.0.0.1:PORT/PATH as screen_url.",
            )
        self._url = url
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # none on this machine
        self._answers = True  # to the newest post

    @property
    def can_light(self) -> bool:
        return self._answers

    def show(self, prompt: Prompt) -> None:
        """Post; a screen that is away is not a reason to stop (the console shows the same)."""
        self._post({"prompt": prompt.value})

    def light(self, colour: Colour | None) -> None:
        """Post ``{"light": "#RRGGBB"}``, or null; a screen that does not take it cannot light."""
        self._post({"light": None if colour is None else "#{:02X}{:02X}{:02X}".format(*colour)})

    def _post(self, message: dict[str, str | None]) -> None:
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked above
            self._url, data=json.dumps(message).encode(), headers={"Content-Type": "application/json"}
        )
        try:
            with self._opener.open(request, timeout=POST_TIMEOUT_S) as answer:
                answer.read(1024)
        except (OSError, http.client.HTTPException):  # what urllib raises is an OSError, or this
            self._answers = False
            print("  (the screen does not answer)", file=sys.stderr)
        else:
            self._answers = True


def _on_this_machine(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")


class Screens:
    """Shows each prompt on every screen, and only when it changes."""

    def __init__(self, screens: Sequence[Screen]) -> None:
        self._screens = tuple(screens)
        self._shown: Prompt | None = None
        self._lit: Colour | None = None

    @property
    def can_light(self) -> bool:
        """Whether any of them can."""
        return any(screen.can_light for screen in self._screens)

    def show(self, prompt: Prompt) -> None:
        if prompt is self._shown:
            return
        self._shown = prompt
        for screen in self._screens:
            screen.show(prompt)

    def light(self, colour: Colour | None) -> None:
        """Light every screen that can."""
        if colour == self._lit:
            return
        self._lit = colour
        for screen in self._screens:
            if screen.can_light or colour is None:
                screen.light(colour)


def open_screens(language: Language, url: str | None, *, page: Screen | None = None) -> Screens:
    """The console, or the ``page`` in its place, and the screen at ``url`` where one is configured."""
    first = page or ConsoleScreen(language)
    return Screens([first, HttpScreen(url)] if url else [first])
