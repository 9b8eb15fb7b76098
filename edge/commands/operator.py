"""``verifield-edge operator``: who may work at this device.

For whoever administers the device: it needs the rights of the user that enrolled it, and no sign-in.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from edge.answers import SignedIn
from edge.app import open_identity, open_state
from edge.attest.clock import SystemClock
from edge.attest.identity import DeviceIdentity
from edge.commands.common import (
    ConfigOption,
    DataOption,
    JsonOption,
    ends_with_exit_code,
    err,
    out,
    print_json,
)
from edge.config import EdgeConfig, load_config
from edge.errors import ExitCode, InputError, Interrupted
from edge.model import Role
from edge.operators.face import FaceCheck
from edge.operators.pins import MAX_DIGITS, check_pin
from edge.operators.service import Operators
from edge.policy import Policy
from edge.state.store import StateStore
from edge.texts import ASKS, REFUSALS, Ask
from verifield.certificates import load_roots

MAX_PIN_FILE_BYTES = 4 * MAX_DIGITS
"""A PIN and the end of its line; a device named by mistake has no end."""

NameArgument = Annotated[str, typer.Argument(help="Name or pseudonym.")]
PinFileOption = Annotated[
    Path | None,
    typer.Option("--pin-file", help="File with the PIN, not asking; - is standard input."),
]
CameraOption = Annotated[str | None, typer.Option(help="For example v4l2:0.")]

app = typer.Typer(help="Who may work at this device.", no_args_is_help=True, add_completion=False)


@app.command("add")
@ends_with_exit_code
def add(
    name: Annotated[str, typer.Argument(help="As colleagues know the person; stays on this device.")],
    role: Annotated[Role, typer.Option(help="A supervisor decides with another person by hand.")],
    pin: Annotated[bool, typer.Option("--pin/--no-pin", help="Whether the person gets a PIN.")] = True,
    pin_file: PinFileOption = None,
    face: Annotated[bool, typer.Option("--face", help="Enrol the person's own face, live.")] = False,
    camera: CameraOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let somebody sign in from now on. The PIN is asked for twice and shown nowhere.

    Example: verifield-edge operator add "Li Wei" --role supervisor
    """
    settings = load_config(config, data_dir=data, camera=camera)
    identity = open_identity(settings)
    chosen = _choose_pin(settings, pin_file) if pin else ""
    with _opened(settings, identity) as desk, _face_check(desk, wanted=face) as check:
        operator_id = desk.operators.add(name, role, pin=chosen, face=check.capture() if check else None)
    if as_json:
        print_json({"operator_id": operator_id, "role": role.value})
    else:
        out().print(f"{operator_id} may sign in as {role.value}.", style="green")


@app.command("list")
@ends_with_exit_code
def list_operators(config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """List who may sign in, by name; records name the pseudonym only.

    Example: verifield-edge operator list
    """
    settings = load_config(config, data_dir=data)
    with _opened(settings, open_identity(settings)) as desk:
        people = desk.operators.list()
    if as_json:
        rows = [
            {
                "operator_id": one.operator_id,
                "name": one.name,
                "role": one.role.value,
                "factors": sorted(one.factors),
                "blocked_s": one.blocked_s,
            }
            for one in people
        ]
        print_json({"operators": rows})
        return
    table = Table("operator", "name", "role", "factors", "wait", box=None)
    for one in people:
        wait = f"{one.blocked_s:.0f} s" if one.blocked_s else ""
        table.add_row(one.operator_id, one.name, one.role.value, " ".join(sorted(one.factors)), wait)
    out().print(table)


@app.command("remove")
@ends_with_exit_code
def remove(
    name: NameArgument, config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Take away the right to sign in, and destroy PIN, face and key.

    Example: verifield-edge operator remove "Li Wei"
    """
    settings = load_config(config, data_dir=data)
    with _opened(settings, open_identity(settings)) as desk:
        operator_id = desk.operators.remove(name)
        scrubbed = desk.state.scrub()
    if as_json:
        print_json({"operator_id": operator_id, "scrubbed": scrubbed})
        return
    out().print(f"{operator_id} may no longer sign in.")
    if not scrubbed:
        out().print(
            "Another program reads the store: its write-ahead log keeps the sealed row until the next news "
            "from the cloud, or until all programs of this device have ended."
        )


@app.command("login-test")
@ends_with_exit_code
def login_test(
    name: NameArgument,
    pin: Annotated[bool, typer.Option("--pin/--no-pin", help="Whether the PIN is tried.")] = True,
    pin_file: PinFileOption = None,
    face: Annotated[bool, typer.Option("--face", help="Try the person's own face too.")] = False,
    camera: CameraOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try to sign in, as at the start of a session; status 1 where it is refused. A failure counts as one.

    Example: verifield-edge operator login-test "Li Wei"
    """
    settings = load_config(config, data_dir=data, camera=camera)
    identity = open_identity(settings)
    given = _read_pin(settings, pin_file) if pin else ""
    with _opened(settings, identity) as desk, _face_check(desk, wanted=face) as check:
        answer = desk.operators.try_sign_in(name, pin=given, face=check)
    if isinstance(answer, SignedIn):
        values = {"operator_id": answer.operator_id, "role": answer.role, "factors": sorted(answer.factors)}
        if as_json:
            print_json({"signed_in": True} | values)
        else:
            out().print(f"{answer.operator_id} {answer.role}", style="green")
        return
    if as_json:
        print_json({"signed_in": False, "refusal": answer.refusal.value, "wait_s": answer.wait_s})
    else:
        wait = f" ({answer.wait_s:.0f} s)" if answer.wait_s else ""
        err().print(REFUSALS[answer.refusal][settings.language] + wait)
    raise typer.Exit(int(ExitCode.NEGATIVE))


@app.command("change-pin")
@ends_with_exit_code
def change_pin(
    name: NameArgument,
    old_file: Annotated[
        Path | None, typer.Option(help="File with the old PIN, not asking; - is standard input.")
    ] = None,
    new_file: Annotated[Path | None, typer.Option(help="File with the new PIN, not asking.")] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a new PIN to somebody who knows the old one; a supervisor's key for signing stays the same.

    Example: verifield-edge operator change-pin "Li Wei"
    """
    settings = load_config(config, data_dir=data)
    identity = open_identity(settings)
    if None in (old_file, new_file):
        _check_terminal()  # before either is read
    old = _read_pin(settings, old_file)
    new = _choose_pin(settings, new_file)
    with _opened(settings, identity) as desk:
        desk.operators.change_pin(name, old=old, new=new)
    if as_json:
        print_json({"changed": True})
    else:
        out().print("The new PIN holds from now on.", style="green")


@app.command("ledger")
@ends_with_exit_code
def ledger(config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """List the decisions by hand, once the ledger is found whole: who, with whom, when, about which record.

    Example: verifield-edge operator ledger --json
    """
    settings = load_config(config, data_dir=data)
    with _opened(settings, open_identity(settings)) as desk:
        entries = desk.state.ledger.entries()
    if as_json:
        rows = [
            {
                "attestation_id": one.attestation_id,
                "decided_by": one.decided_by,
                "agreed_by": one.agreed_by,
                "accepted": one.accepted,
                "not_before": one.not_before.isoformat(),
                "wall": one.wall.isoformat(),
            }
            for one in entries
        ]
        print_json({"entries": rows})
        return
    table = Table("attestation", "decided by", "agreed by", "accepted", "clock showed", box=None)
    for one in entries:
        accepted = "yes" if one.accepted else "no"
        wall = f"{one.wall:%Y-%m-%d %H:%M:%S}Z"
        table.add_row(one.attestation_id, one.decided_by, one.agreed_by, accepted, wall)
    out().print(table)


@dataclass(frozen=True, slots=True)
class _Desk:
    """What the commands work with."""

    config: EdgeConfig
    policy: Policy
    state: StateStore
    operators: Operators


@contextmanager
def _opened(config: EdgeConfig, identity: DeviceIdentity) -> Iterator[_Desk]:
    with open_state(config, identity) as state:
        policy = state.policy(load_roots(identity.root_pem))
        operators = Operators(
            state.operators,
            key_store=identity.key_store,
            clock=SystemClock(),
            live_live=policy.match.live_live,
        )
        yield _Desk(config, policy, state, operators)


@contextmanager
def _face_check(desk: _Desk, *, wanted: bool) -> Iterator[FaceCheck | None]:
    """Open models and camera, which take a second, only where a face is asked for."""
    if not wanted:
        yield None
        return
    from edge.station import open_face_check  # noqa: PLC0415 - loads the networks

    with open_face_check(desk.config, desk.policy, SystemClock()) as check:
        yield check


def _choose_pin(config: EdgeConfig, file: Path | None) -> str:
    """A PIN that somebody wants to have: typed twice where it is typed."""
    pin = _read_pin(config, file)
    check_pin(pin)
    if file is None and _ask_pin(config) != pin:
        raise InputError("PIN_DIFFERS", "The two PINs differ.", hint="Run the command again.")
    return pin


def _read_pin(config: EdgeConfig, file: Path | None) -> str:
    if file is None:
        return _ask_pin(config)
    try:
        with sys.stdin.buffer if str(file) == "-" else file.open("rb") as source:
            data = source.read(MAX_PIN_FILE_BYTES + 1)
        return data.decode("ascii").strip() if len(data) <= MAX_PIN_FILE_BYTES else ""
    except (OSError, ValueError):
        raise InputError(
            "PIN_FILE",
            f"The file {file} with the PIN cannot be read.",
            hint="Give a file that holds the PIN and nothing else.",
        ) from None


def _ask_pin(config: EdgeConfig) -> str:
    _check_terminal()
    question = ASKS[Ask.PIN][config.language]
    try:
        return str(typer.prompt(question, prompt_suffix="", hide_input=True, err=True))
    except typer.Abort:  # Ctrl-C, or the end of the input
        raise Interrupted from None


def _check_terminal() -> None:
    if not sys.stdin.isatty():
        raise InputError(
            "NO_TERMINAL",
            "There is no terminal to ask for the PIN at.",
            hint="Name a file that holds it: --pin-file, or --old-file and --new-file to change it; - is "
            "standard input.",
        )
