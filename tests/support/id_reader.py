"""What the tests of the ID-card reader share: the frames of tests/vectors/id-reader.json, edited cards."""

from __future__ import annotations

import json
from pathlib import Path

from edge.model import Prompt
from edge.reader.link import LinkParser, Reply

VECTORS_FILE = Path(__file__).parent.parent / "vectors" / "id-reader.json"
TEXT_AT = 14  # of the text area in the frame of a text-and-photo reply

CARDS = {
    "resident": "rep_base_resident",
    "hkmt": "rep_base_J",
    "foreigner2017": "rep_base_I",
    "foreigner2023": "rep_base_Y",
}


def vectors() -> dict[str, dict[str, str | int]]:
    return json.loads(VECTORS_FILE.read_text(encoding="utf-8"))


def frame(name: str) -> bytes:
    return bytes.fromhex(str(vectors()[name]["hex"]))


def reply(name: str) -> Reply:
    (parsed,) = LinkParser().feed(frame(name), 0.0)
    return parsed


def text_of(card: str) -> bytearray:
    """The 256-byte text area of one of ``CARDS``."""
    return bytearray(frame(CARDS[card])[TEXT_AT : TEXT_AT + 256])


def put(text: bytearray, offset: int, value: str) -> bytearray:
    encoded = value.encode("utf-16-le")
    text[offset : offset + len(encoded)] = encoded
    return text


class RecordingScreen:
    """Remembers the prompts; ``on`` maps a prompt to what the person then does."""

    def __init__(self, on: dict[Prompt, object] | None = None) -> None:
        self.prompts: list[Prompt] = []
        self._on = on or {}

    def show(self, prompt: Prompt) -> None:
        self.prompts.append(prompt)
        act = self._on.get(prompt)
        if callable(act):
            act()
