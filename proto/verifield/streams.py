"""What the programs need of their standard streams, which whoever starts them may have left out or filled."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self, TextIO


def prepare_streams() -> None:
    """Call this first in a program: a file opened later must not become a stream that was left out.

    Characters that a stream cannot encode, of a name or a language, are printed as escapes from then on;
    standard output raises OutputFull, and what standard error has no room for is lost, not the answer.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)  # the lowest that is free: the stream's own
            os.set_inheritable(descriptor, True)
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8"))
    if type(sys.stdout) is io.TextIOWrapper:
        sys.stdout = _Output.in_place_of(sys.stdout)
    if type(sys.stderr) is io.TextIOWrapper:
        sys.stderr = _Errors.in_place_of(sys.stderr)


class OutputFull(OSError):
    """Standard output takes no more; another file that does not is another fault."""


@contextmanager
def or_nowhere(stream: TextIO) -> Iterator[None]:
    """Print to ``stream``, or let all go nowhere where it takes no more."""
    try:
        yield
    except BrokenPipeError:  # whoever reads has seen enough: Typer ends the command
        raise
    except OSError:
        give_up(stream)


def give_up(stream: TextIO) -> None:
    """Let what a stream still holds go nowhere: Python would fail once more when it flushes at its end."""
    with suppress(OSError, ValueError):  # a stream that is no file holds nothing back
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)


class _Stream(io.TextIOWrapper):
    @classmethod
    def in_place_of(cls, stream: io.TextIOWrapper) -> Self:
        encoding, lines, through = stream.encoding, stream.line_buffering, stream.write_through
        return cls(
            stream.detach(),
            encoding=encoding,
            errors="backslashreplace",
            line_buffering=lines,
            write_through=through,
        )


class _Output(_Stream):
    def write(self, text: str) -> int:
        with _as_full():
            return super().write(text)

    def flush(self) -> None:
        with _as_full():
            super().flush()


class _Errors(_Stream):
    def write(self, text: str) -> int:
        with or_nowhere(self):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with or_nowhere(self):
            super().flush()


@contextmanager
def _as_full() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFull(error.errno, error.strerror) from error
