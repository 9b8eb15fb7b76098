"""``verifield-cloud serve``: run the service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cloud.commands.common import ends_with_exit_code


@ends_with_exit_code
def serve(
    config_file: Annotated[Path | None, typer.Option("--config", help="TOML file with settings.")] = None,
    listen: Annotated[
        str | None, typer.Option(help="HOST:PORT for operators and enrolment; default 127.0.0.1:7443.")
    ] = None,
    device_listen: Annotated[
        str | None, typer.Option(help="HOST:PORT for devices; default: same host, next port.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Keys, tokens and the database; default ./verifield-cloud-data.")
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="SQLAlchemy address; default: SQLite in --data.")
    ] = None,
) -> None:
    """Run the service until SIGTERM or Ctrl-C.

    Prints one JSON line when ready: listen, device_listen, root, operator_token_file. Logs JSON lines
    on standard error.

    Example: verifield-cloud serve --listen 127.0.0.1:7443 --data data
    """
    from cloud.commands.service import run  # noqa: PLC0415 (the database layer; half a second)

    run(config_file, listen=listen, device_listen=device_listen, data=data, database=database)
