"""``verifield-sim``: the appliance's hardware, simulated, and the authorities that the cloud asks.

Each prints its endpoints as one line of JSON.
"""

from __future__ import annotations

import json
import signal
import tempfile
import threading
from pathlib import Path
from typing import Annotated

import typer

from verifield_sim.authorities.command import authorities
from verifield_sim.errors import SimError
from verifield_sim.scenario import Scenario, open_scenario, scenario_names
from verifield_sim.server import SimServer
from verifield_sim.world import World

_LINK_NAME = "reader"

app = typer.Typer(add_completion=False)


app.command()(authorities)


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    scenario: Annotated[str, typer.Option(help="A scenario's name, or a TOML file.")] = "happy",
    dir: Annotated[
        Path | None, typer.Option(help="Where the reader's symlink goes. A new folder if not given.")
    ] = None,
    port: Annotated[
        int, typer.Option(help="Port of the HTTP server; 0 takes a free one.", min=0, max=65535)
    ] = 0,
    list: Annotated[bool, typer.Option("--list", help="Name the scenarios and end.")] = False,
) -> None:
    """Simulate an ID-card reader, a camera and a secure element until interrupted.

    Example: verifield-sim --scenario impostor
    """
    if context.invoked_subcommand is not None:
        return
    if list:
        typer.echo("\n".join(scenario_names()))
        return
    try:
        chosen = open_scenario(scenario)
        with tempfile.TemporaryDirectory(prefix="verifield-sim-") as fresh:
            beside = None if scenario in scenario_names() else Path(scenario).parent
            _serve(chosen, folder=dir or Path(fresh), port=port, beside=beside)
    except SimError as error:
        raise typer.BadParameter(str(error)) from error


def _serve(scenario: Scenario, *, folder: Path, port: int, beside: Path | None) -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SimError(f"the folder {folder} cannot be made: {error.strerror}") from error
    # Absolute, because who reads the endpoints may stand in another folder.
    world = World.open(scenario, link=folder.resolve() / _LINK_NAME, beside=beside)
    try:
        with SimServer(world, port=port) as server:
            threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
            print(json.dumps(_endpoints(world, server, scenario)), flush=True)
            stop.wait()
            server.shutdown()
    finally:
        world.close()


def _endpoints(world: World, server: SimServer, scenario: Scenario) -> dict[str, str | int | dict[str, str]]:
    base = f"http://127.0.0.1:{server.port}"
    element = {} if world.element is None else {"element": world.element.endpoint()}
    return {
        "scenario": scenario.name,
        "reader": str(world.reader.path),
        "baud": scenario.reader.baud,
        "camera": f"sim+{base}/camera",
        "screen": f"{base}/screen",
        "control": f"{base}/control",
        "sam_id": scenario.reader.sam_id,
        **element,
    }


def main() -> None:
    """Entry point."""
    app()
