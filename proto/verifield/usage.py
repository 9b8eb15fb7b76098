"""How the commands tell wrong use to a program that asked for JSON: as any other fault, on standard output.

Typer explains wrong use to a person, on standard error, and ends with status 2. It does so here too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

CODE = "USAGE"
OPTION = "--json"
_ASKED = "verifield.usage.asked"


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


@contextmanager
def _told(asked: bool) -> Iterator[None]:
    try:
        yield
    except typer.TyperException as error:
        if asked:
            context = getattr(error, "ctx", None)
            hint = f"See what it takes with: {context.command_path} --help" if context else ""
            fault = {"code": CODE, "message": error.format_message(), "hint": hint}
            print(json.dumps({"error": fault}, ensure_ascii=False), flush=True)
        raise
