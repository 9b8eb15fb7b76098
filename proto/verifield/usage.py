"""How a command ends that does not come to its end: told to a person, and as JSON where that was asked for.

Typer explains wrong use (status 2), a question without a yes (1) and Ctrl-C (130) to a person. Here programs
are told too, and what nobody foresaw gets an answer: a traceback is none, and its words may name people.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from verifield.streams import OutputFull, give_up, or_nowhere
from verifield.terminal import visible, visible_json

CODE = "USAGE"
OPTION = "--json"
_ASKED = "verifield.usage.asked"

EXIT_SOFTWARE = 70
"""A fault of the program, as sysexits.h has it; Python's own status, 1, would read as an answer."""

EXIT_OUTPUT = 74
"""Standard output takes no answer; from sysexits.h too."""

DEBUG_VARIABLE = "VERIFIELD_DEBUG"
"""Whoever sets it sees the traceback of a fault that nobody foresaw."""


class _Tells:
    """Of the outermost command: what is called below it ends in it."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """As the library's, which takes ``args`` out of the list."""
        asked = OPTION in args
        with _told(asked):
            context = super().make_context(info_name, args, parent, **extra)  # type: ignore[misc]
        context.meta[_ASKED] = asked
        return context

    def invoke(self, ctx: Any) -> Any:
        """As the library's."""
        with _told(ctx.meta[_ASKED]):
            return super().invoke(ctx)  # type: ignore[misc]


class UsageGroup(_Tells, TyperGroup):
    """For ``typer.Typer(cls=...)``."""


class UsageCommand(_Tells, TyperCommand):
    """For ``app.command(cls=...)`` of an app that has one command."""


def tell_fault(code: str, message: str, hint: str, *, as_json: bool) -> None:
    """Tell it to a person, and on standard output where JSON was asked for and there is room."""
    if as_json:
        _print_fault(code, message, hint)
    console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    console.print(Text.assemble((code, "bold red"), f": {visible(message)}"))
    if hint:
        console.print(Text.assemble(("What to do:", "dim"), f" {visible(hint)}"))


@contextmanager
def _told(asked: bool) -> Iterator[None]:
    try:
        yield
        sys.stdout.flush()
    except typer.TyperException as error:
        if asked:
            context = getattr(error, "ctx", None)
            hint = f"See what it takes with: {context.command_path} --help" if context else ""
            _print_fault(CODE, error.format_message(), hint)
        raise
    except (typer.Abort, EOFError):
        if asked:
            hint = "Look for the option that answers it with --help, and run the command again."
            _print_fault("NOT_CONFIRMED", "A question was answered with no, or not at all.", hint)
        raise
    except KeyboardInterrupt:
        if asked:
            _print_fault("INTERRUPTED", "Stopped before the end.", "Run the command again.")
        raise
    except (typer.Exit, BrokenPipeError):
        raise  # Typer's own ways to end
    except OutputFull as error:
        give_up(sys.stdout)
        tell_fault(
            "FILE_NOT_WRITTEN",
            f"The answer cannot be written to standard output ({error.strerror}).",
            "Send it to where there is room. The command may have done its work: look before you run it "
            "again.",
            as_json=False,
        )
        sys.exit(EXIT_OUTPUT)
    except Exception as error:  # the last resort
        _end_unforeseen(error, as_json=asked)


def _end_unforeseen(error: Exception, *, as_json: bool) -> NoReturn:
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exception(error)
    tell_fault(
        "INTERNAL_FAULT",
        f"The program failed where it should not ({type(error).__name__}).",
        f"Run it again with {DEBUG_VARIABLE}=1 to see where, and report that to who maintains the software; "
        "it may name people and files.",
        as_json=as_json,
    )
    sys.exit(EXIT_SOFTWARE)


def _print_fault(code: str, message: str, hint: str) -> None:
    with or_nowhere(sys.stdout):
        fault = {"code": code, "message": message, "hint": hint}
        print(visible_json(json.dumps({"error": fault}, ensure_ascii=False)), flush=True)
