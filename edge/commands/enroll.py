"""``verifield-edge enroll``: from a join token to an identity and the first record of its chain."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from edge.app import identity_folder, open_outbox, open_recorder
from edge.attest.enroll import enroll as enroll_device
from edge.attest.identity import DeviceIdentity
from edge.commands.common import ConfigOption, DataOption, JsonOption, ends_with_exit_code, out, print_json
from edge.config import EdgeConfig, load_config
from edge.errors import InputError, SetupError

MAX_TOKEN_BYTES = 512  # join tokens have about 50
MAX_ROOT_BYTES = 256 * 1024  # a root certificate has 2 KB; a device named by mistake has no end

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
@ends_with_exit_code
def enroll(
    cloud: Annotated[str, typer.Option(help="The cloud's public address, HOST:PORT.")],
    root: Annotated[Path, typer.Option(help="The cloud's trust root, PEM, brought by a trusted hand.")],
    token_file: Annotated[Path, typer.Option(help="File with the join token; - reads standard input.")],
    config: ConfigOption = None,
    data: DataOption = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Become a new device, once the old one has delivered all.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make this device's keys, have them certified, and begin its chain of records.

    Example: verifield-edge enroll --cloud cloud.example:7443 --root root.pem --token-file token.txt
    """
    settings = load_config(config, data_dir=data)
    _check_endpoint(cloud)
    if replace:
        _check_delivered(settings)
    identity = enroll_device(
        endpoint=cloud,
        root_pem=_read_file(root),
        join_token=_read_token(token_file),
        folder=identity_folder(settings),
        replace=replace,
    )
    with open_recorder(settings) as recorder:
        first = recorder.outbox.newest(limit=1)[0]
    if as_json:
        print_json(
            {
                "device_id": identity.device_id,
                "site_id": identity.site_id,
                "key_protection": identity.key_protection.value,
                "device_endpoint": identity.device_endpoint,
                "attestation_id": first.attestation_id,
            }
        )
    else:
        out().print(f"Enrolled as device {identity.device_id} of site {identity.site_id}.", style="green")


def _check_endpoint(endpoint: str) -> None:
    host, _, port = endpoint.rpartition(":")
    if not (host and "/" not in host and port.isascii() and port.isdigit() and 0 < int(port[:6]) < 1 << 16):
        raise InputError(
            "ADDRESS_INVALID",
            "The cloud's address is not of the form HOST:PORT.",
            hint="Give for example cloud.example:7443, without https:// and without a path.",
        )


def _check_delivered(settings: EdgeConfig) -> None:
    """What a replaced identity has not delivered, nobody would deliver any more."""
    identity = DeviceIdentity.open(identity_folder(settings))
    with open_outbox(settings, identity) as outbox:
        figures = outbox.stats()
    waiting = figures.pending + figures.delivered + figures.invalid
    if waiting:
        raise SetupError(
            "RECORDS_WAIT",
            f"{waiting} records of this device are not confirmed by the cloud yet.",
            hint="Deliver them with: verifield-edge sync --once. If the cloud takes them no more, keep this "
            "data directory as it is and enrol in a new one, named with --data.",
        )


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_ROOT_BYTES + 1)
    except OSError as error:
        raise InputError(
            "FILE_UNREADABLE", f"{path} cannot be read: {error.strerror}.", hint="Check the path."
        ) from None
    if len(data) > MAX_ROOT_BYTES:
        raise InputError(
            "FILE_TOO_LARGE", f"{path} has more than {MAX_ROOT_BYTES} bytes.", hint="Check the path."
        )
    return data


def _read_token(path: Path) -> str:
    data = sys.stdin.buffer.read(MAX_TOKEN_BYTES + 1) if str(path) == "-" else _read_file(path)
    token = data.decode("ascii", "replace").strip()
    if not token or len(data) > MAX_TOKEN_BYTES:
        raise InputError(
            "TOKEN_EMPTY", "There is no join token in what was given.", hint="Ask the operator for one."
        )
    return token
