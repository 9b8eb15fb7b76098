"""``verifield-edge``: the appliance's command. Each command lives in its own module of edge.commands.

A module is imported when its command is called: the networks take a second to load, which ``outbox
stats`` should not cost.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

import typer
from typer.main import get_command

from verifield.streams import prepare_streams
from verifield.usage import UsageGroup

COMMANDS = (
    "enroll",
    "operator",
    "policy",
    "status",
    "tasks",
    "verify",
    "run",
    "kiosk",
    "contract",
    "manual",
    "compare",
    "evaluate",
    "gallery",
    "scan",
    "doctor",
    "sync",
    "network",
    "export",
    "import",
    "outbox",
    "models",
    "bench",
    "wipe",
    "version",
)
"""In the order of a device's life. Each names a module of edge.commands, whose ``app`` it is."""

_SHARED = {"export": ("transfer", "export_app"), "import": ("transfer", "import_app")}
"""Commands that live in one module under names of their own."""


class _Commands(UsageGroup):
    """Finds commands by name, without importing the others."""

    def list_commands(self, ctx: object) -> list[str]:  # noqa: ARG002 - the library's signature
        return list(COMMANDS)

    def get_command(self, ctx: object, cmd_name: str) -> Any:  # noqa: ARG002 - the library's signature
        if cmd_name not in COMMANDS:
            return None
        module, name = _SHARED.get(cmd_name, (cmd_name, "app"))
        command = get_command(getattr(import_module(f"edge.commands.{module}"), name))
        command.name = cmd_name
        return command


app = typer.Typer(cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def appliance() -> None:
    """The face-verification appliance.

    Exit statuses: 0 yes, 1 no, 2 usage, 3 set-up, 4 hardware, 5 input, 6 cloud, 7 storage,
    70 a fault of the program, 130 stopped.
    """


def main() -> None:
    """Entry point."""
    prepare_streams()
    # Pillow remarks on odd EXIF, which is not looked at; a picture too large is told in words of our own.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    app()
