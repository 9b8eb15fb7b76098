"""``verifield-edge enroll``: from a join token to an identity and the first record of its chain."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from edge.app import identity_folder, open_recorder
from edge.attest.enroll import enroll as enroll_device
from edge.commands.common import ConfigOption, DataOption, JsonOption, ends_with_exit_code, out, print_json
from edge.config import load_config
from edge.errors import InputError

MAX_TOKEN_CHARACTERS = 512  # join tokens have about 50


@ends_with_exit_code
def enroll(
    cloud: Annotated[str, typer.Option(help="The cloud's public address, HOST:PORT.")],
    root: Annotated[Path, typer.Option(help="The cloud's trust root, PEM, brought by a trusted hand.")],
    token_file: Annotated[Path, typer.Option(help="File with the join token; - reads standard input.")],
    config: ConfigOption = None,
    data: DataOption = None,
    replace: Annotated[bool, typer.Option("--replace", help="Become a new device.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make this device's keys, have them certified, and begin its chain of records.

    Example: verifield-edge enroll --cloud cloud.example:7443 --root root.pem --token-file token.txt
    """
    settings = load_config(config, data_dir=data)
    identity = enroll_device(
        endpoint=cloud,
        root_pem=_read(root),
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
        out().print(f"[green]Enrolled[/] as device {identity.device_id} of site {identity.site_id}.")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            "FILE_UNREADABLE", f"{path} cannot be read: {error.strerror}.", hint="Check the path."
        ) from None


def _read_token(path: Path) -> str:
    text = (
        sys.stdin.read(MAX_TOKEN_CHARACTERS) if str(path) == "-" else _read(path).decode("ascii", "replace")
    )
    token = text.strip()
    if not token or len(token) >= MAX_TOKEN_CHARACTERS:
        raise InputError(
            "TOKEN_EMPTY", "There is no join token in what was given.", hint="Ask the operator for one."
        )
    return token
