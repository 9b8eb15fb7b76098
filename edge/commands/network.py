"""``verifield-edge network``: does the line to the cloud work, and what is wrong with it?"""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Any, NoReturn

import typer

from edge.app import open_identity, open_state
from edge.attest.clock import SystemClock
from edge.commands.common import (
    ConfigOption,
    DataOption,
    JsonOption,
    ends_with_exit_code,
    fault_json,
    print_fault,
    print_json,
    print_values,
)
from edge.config import load_config
from edge.delivery import diagnostics_folder
from edge.sync.line import (
    ACTIVITY,
    DiagnosticsFolder,
    Line,
    NetworkUnavailableError,
    deliver,
    examine,
    is_good,
)
from edge.sync.ports import UplinkError
from verifield.certificates import load_roots
from verifield.v1.diagnostics_service_pb2 import Diagnostics

_WIDTH = 20

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def check_activity(text: str) -> str:
    """One word, as the cloud takes it: nothing about a person."""
    if not ACTIVITY.fullmatch(text):
        raise typer.BadParameter("letters, digits, dots, dashes and underscores, at most 64")
    return text


@app.command()
@ends_with_exit_code
def network(
    config: ConfigOption = None,
    data: DataOption = None,
    activity: Annotated[
        str,
        typer.Option(
            "--activity", callback=check_activity, help="What was being done when the line failed: one word."
        ),
    ] = "check",
    as_json: JsonOption = False,
) -> None:
    """Check the line to the cloud: name, connection, TLS; send what was found out about it before.

    Where it does not work, what was found out is kept under an id, and sent later.

    Example: verifield-edge network --activity activation --json
    """
    settings = load_config(config, data_dir=data)
    identity = open_identity(settings)
    with open_state(settings, identity) as state:
        policy = state.policy(load_roots(identity.root_pem))
    line = Line(identity.device_endpoint, identity.root_pem, policy.version, version("verifield"))
    folder = diagnostics_folder(settings)
    found = examine(line, activity=activity, now=SystemClock().wall())
    sent = 0
    if is_good(found):
        try:
            sent = deliver(folder, identity)
        except UplinkError as error:
            found.error_code = error.failure.code
            _fail(folder, found, as_json=as_json)
    else:
        _fail(folder, found, as_json=as_json)
    answer = {"endpoint": found.endpoint, **_steps(found), "diagnostics_sent": sent}
    if as_json:
        print_json(answer)
    else:
        print_values(answer, width=_WIDTH)


def _fail(folder: DiagnosticsFolder, found: Diagnostics, *, as_json: bool) -> NoReturn:
    """Keep what was found out, and say under which id."""
    folder.keep(found)
    error = NetworkUnavailableError(found.diagnostic_id)
    if as_json:
        told = fault_json(error) | {"diagnostic_id": found.diagnostic_id}
        print_json({"error": told, **_steps(found)})
    print_fault(error)
    raise typer.Exit(int(error.exit_code))


def _steps(found: Diagnostics) -> dict[str, Any]:
    return {
        "dns": {"ok": found.dns.ok, "ms": found.dns.duration_ms, "fault": found.dns.fault},
        "connect": {"ok": found.connect.ok, "ms": found.connect.duration_ms, "fault": found.connect.fault},
        "tls": {"ok": found.tls.ok, "ms": found.tls.duration_ms, "fault": found.tls.fault},
        "rtt_ms": list(found.rtt_ms),
        "policy_version": found.policy_version,
    }
