"""Text of strangers on a terminal: characters that would steer it, or turn the text round, become escapes.

Names, feedback and the words in documents come from whoever wrote them. Rich lets most of these characters
through, and JSON all from U+007F on.
"""

from __future__ import annotations

import re
from typing import Any

from rich.console import Console
from rich.text import Text

_STEERING = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f"  # control characters, but for the line feed
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional text (UAX #9)
    "\u2028\u2029]"  # separators of lines and paragraphs
)


def visible(text: str) -> str:
    """The text on one line."""
    return visible_lines(text).replace("\n", r"\x0a")


def visible_lines(text: str) -> str:
    """The text, its line feeds kept."""
    return _STEERING.sub(_escape, text)


def visible_json(text: str) -> str:
    """The same JSON: such characters stand in its strings only."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class VisibleConsole(Console):
    """Prints what it is given as ``str``, cells of tables too, with steering characters shown."""

    def render_str(self, text: str, **how: Any) -> Text:
        """As the library's, whose widths are those of what is shown."""
        return super().render_str(visible_lines(text), **how)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
