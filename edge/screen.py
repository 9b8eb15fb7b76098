"""Screens: where prompts go. The office page comes on top of the same port."""

from __future__ import annotations

import http.client
import json
import sys
import urllib.request
from collections.abc import Sequence
from urllib.parse import urlsplit

from edge.errors import SetupError
from edge.model import Prompt
from edge.ports import Screen
from edge.texts import PROMPTS, Language

POST_TIMEOUT_S = 1.0  # a screen that hangs must not hold up a person for longer


class ConsoleScreen:
    """Prompts on standard error, so that standard output stays machine readable."""

    def __init__(self, language: Language) -> None:
        self._language = language

    def show(self, prompt: Prompt) -> None:
        print(f"  {PROMPTS[prompt][self._language]}", file=sys.stderr, flush=True)


class HttpScreen:
    """Posts each prompt's code as JSON to a screen on this machine."""

    def __init__(self, url: str) -> None:
        if not _on_this_machine(url):
            raise SetupError(
                "SCREEN_URL",
                "The screen's address must be http:// on this machine.",
                hint="Use http://127.0.0.1:PORT/PATH as screen_url.",
            )
        self._url = url
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # none on this machine

    def show(self, prompt: Prompt) -> None:
        """Post; a screen that is away is not a reason to stop (the console shows the same)."""
        body = json.dumps({"prompt": prompt.value}).encode()
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked above
            self._url, data=body, headers={"Content-Type": "application/json"}
        )
        try:
            with self._opener.open(request, timeout=POST_TIMEOUT_S) as answer:
                answer.read(1024)
        except (OSError, http.client.HTTPException):  # what urllib raises is an OSError, or this
            print("  (the screen does not answer)", file=sys.stderr)


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

    def show(self, prompt: Prompt) -> None:
        if prompt is self._shown:
            return
        self._shown = prompt
        for screen in self._screens:
            screen.show(prompt)


def open_screens(language: Language, url: str | None) -> Screens:
    """The console, and the screen at ``url`` where one is configured."""
    console = ConsoleScreen(language)
    return Screens([console, HttpScreen(url)] if url else [console])
