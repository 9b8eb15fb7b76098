"""``verifield-cloud``: run the service, and operate it over gRPC. Commands live in modules of cloud.commands.

A module is imported when a command of it is called: all of them together take half a second to load, and
gRPC reads its TLS settings when it is imported.

Exit statuses: 0 done; 1 a person answered no; 2 wrong options; 3 set-up (configuration, keys, database,
ports, files); 4 what was checked does not hold; 6 the cloud is away, or it refused; 70 a fault of the
program; 74 standard output takes no answer; 130 stopped.
"""

from __future__ import annotations

import os
import signal
from importlib import import_module
from typing import Any, cast

import typer
from typer.main import get_command, get_group

from cloud.tls13 import require_tls13
from verifield.streams import prepare_streams
from verifield.usage import UsageGroup

HELP = (
    "The cloud service and its operator's commands. Exit statuses: 0 done, 1 answered no, "
    "2 usage, 3 set-up, 4 what was checked does not hold, 6 the cloud is away or refused, "
    "70 a fault of the program, 74 no room for the answer, 130 stopped."
)

_SINGLE = {
    "serve": ("serve", "serve"),
    "migrate": ("migrate", "migrate"),
    "restore": ("backup", "restore"),
    "status": ("status", "status"),
    "catalogue": ("business", "catalogue"),
    "verify-log": ("verify_log", "verify_log"),
    "import": ("transfer", "import_file"),
}
"""Commands that are one function: the module and the function."""

_GROUPS = (
    *("config", "join-token", "devices", "alarms", "policies", "rules", "authorities"),
    *("attestations", "media", "log", "audit", "backup", "storage", "keys", "users"),
    *("accounts", "identity", "phones", "messages", "escalations", "reviews", "reviewers"),
    *("certifications", "contracts", "archive", "business", "bank", "customers", "documents", "feedback"),
    *("organisations", "seals"),
)
"""What has commands of its own below its name: the ``app`` of the module of that name."""

_GUESTS = {"persons": ("keys", "persons_app"), "approvals": ("seals", "approvals_app")}
"""Such that live in the module of another."""


class _Commands(UsageGroup):
    """Finds commands by name, without importing the others."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        # the list, and what a name that is none is like, are made of the names alone
        self.commands = cast("Any", dict.fromkeys((*_SINGLE, *_GROUPS, *_GUESTS)))

    def get_command(self, ctx: object, cmd_name: str) -> Any:  # noqa: ARG002 - the library's signature
        if cmd_name in _SINGLE:
            module, name = _SINGLE[cmd_name]
            alone = typer.Typer(add_completion=False)
            alone.command(cmd_name)(_of(module, name))
            command: Any = get_command(alone)
        elif cmd_name in _GROUPS or cmd_name in _GUESTS:
            module, name = _GUESTS.get(cmd_name, (cmd_name.replace("-", "_"), "app"))
            command = get_group(_of(module, name))
        else:
            return None
        command.name = cmd_name
        return command


def _of(module: str, name: str) -> Any:
    return getattr(import_module(f"cloud.commands.{module}"), name)


app = typer.Typer(
    cls=_Commands, help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


@app.callback()
def service() -> None:
    """Its help is that of the app."""


def main() -> None:
    """Entry point."""
    prepare_streams()
    require_tls13()
    # gRPC's own remarks would stand among our lines, the first about the proof that TLS 1.2 is off.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    # Ends as Ctrl-C does: a copy of the database that a backup made for itself must not stay behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app()
