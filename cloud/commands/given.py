"""Messages that a person writes into a file: numbers and names do not belong in the history of a shell."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TypeVar

from google.protobuf.json_format import Parse, ParseError
from google.protobuf.message import Message

from cloud.errors import SetupError

MAX_FILE_CHARS = 16 * 1024
"""A handful of numbers and names."""

Given = TypeVar("Given", bound=Message)


def read_given(path: Path, message: Given, *, code: str, what: str, hint: str) -> Given:
    """Fill ``message`` from JSON in a file, or on standard input for ``-``.

    Raises:
        SetupError: ``code``. It does not repeat what was read.
    """
    try:
        if str(path) == "-":
            text = sys.stdin.read(MAX_FILE_CHARS)
        else:
            with path.open(encoding="utf-8") as file:
                text = file.read(MAX_FILE_CHARS)
        return Parse(text, message)
    except (OSError, UnicodeDecodeError, ParseError) as error:
        raise SetupError(code, f"{what} cannot be read ({type(error).__name__}).", hint=hint) from error
