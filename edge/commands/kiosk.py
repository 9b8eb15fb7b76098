"""``verifield-edge kiosk``: the office screen, a web page for this machine's own browser."""

from __future__ import annotations

from typing import Annotated

import typer

from edge.commands.common import (
    ConfigOption,
    DataOption,
    JsonOption,
    ends_with_exit_code,
    out,
    print_json,
)
from edge.config import load_config

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

DEFAULT_PORT = 8765


@app.command()
@ends_with_exit_code
def kiosk(
    config: ConfigOption = None,
    data: DataOption = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")
    ] = DEFAULT_PORT,
    portable: Annotated[
        bool, typer.Option("--portable", help="For a small device in the field: battery, link, USB stick.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Serve the office screen on this machine until stopped; prints the address that opens it.

    The address holds a key to this kiosk and is good until it stops. It also lies, for the device's own
    user alone, in kiosk/launch-url of the data directory.

    Example: verifield-edge kiosk --port 0 --json
    """
    from edge.kiosk.serving import serve  # noqa: PLC0415 - the networks take a second to load

    settings = load_config(config, data_dir=data)

    def tell(url: str) -> None:
        if as_json:
            print_json({"url": url, "port": int(url.split(":")[2].split("/", maxsplit=1)[0])})
        else:
            out().print(url, soft_wrap=True)

    serve(settings, port=port, portable=portable, tell=tell)
