"""``verifield-sim authorities``: the authorities as one process. Prints its endpoint as one line of JSON."""

from __future__ import annotations

import json
import re
import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from verifield_sim.authorities.faces import open_compare
from verifield_sim.authorities.modes import CALLS, Modes
from verifield_sim.authorities.office import Office
from verifield_sim.authorities.people import open_people
from verifield_sim.authorities.server import AuthoritiesServer, open_tls
from verifield_sim.errors import SimError

_ADDRESS = re.compile(r"(?P<host>[A-Za-z0-9.-]+):(?P<port>[0-9]{1,5})")
_LOOPBACK = frozenset({"127.0.0.1", "localhost"})


@dataclass(frozen=True, slots=True)
class Options:
    """What the process is started with."""

    people: Path | None
    listen: str
    modes: tuple[str, ...]
    models: Path | None
    certificate: Path | None
    key: Path | None
    client_ca: Path | None
    token_file: Path | None
    ctid_life_s: int


def authorities(  # noqa: PLR0917 (Typer calls by name; each option is an argument)
    people: Annotated[
        Path | None, typer.Option(help="TOML or JSON file with the people; nobody if not given.")
    ] = None,
    listen: Annotated[str, typer.Option(help="HOST:PORT; port 0 takes a free one.")] = "127.0.0.1:0",
    mode: Annotated[
        list[str] | None,
        typer.Option(help="AUTHORITY[.CALL]=MODE, for example registry=busy*3; may be repeated."),
    ] = None,
    models: Annotated[
        Path | None, typer.Option(help="Folder with a YuNet and an SFace model, to compare faces with.")
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="PEM: speak TLS with this certificate.")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM: the key of --certificate.")] = None,
    client_ca: Annotated[
        Path | None, typer.Option(help="PEM: demand client certificates of this CA.")
    ] = None,
    token_file: Annotated[Path | None, typer.Option(help="File with the bearer token to demand.")] = None,
    ctid_life: Annotated[
        int,
        typer.Option(
            help="How long a network certificate waits for its person, in seconds.", min=1, max=86400
        ),
    ] = 300,
) -> None:
    """Simulate the people's registry, the bank, network certificates and carriers until interrupted.

    Example: verifield-sim authorities --people people.toml --mode registry=busy
    """
    options = Options(
        people, listen, tuple(mode or ()), models, certificate, key, client_ca, token_file, ctid_life
    )
    try:
        _serve(make_server(options))
    except SimError as error:
        raise typer.BadParameter(str(error)) from error


def make_server(options: Options) -> AuthoritiesServer:
    """Read all files and take the port.

    Raises:
        SimError: something cannot be used.
    """
    match = _ADDRESS.fullmatch(options.listen)
    if match is None or int(match["port"]) > 65535:
        raise SimError("--listen is HOST:PORT, for example 127.0.0.1:0")
    if match["host"] not in _LOOPBACK and options.certificate is None:
        raise SimError("other machines are served over TLS alone: give --certificate and --key")
    if (options.certificate is None) != (options.key is None):
        raise SimError("--certificate and --key are needed together")
    if options.client_ca is not None and options.certificate is None:
        raise SimError("--client-ca goes with --certificate")
    modes = Modes()
    for one in options.modes:
        target, _, wanted = one.partition("=")
        modes.set(target, wanted)
    known = open_people(options.people) if options.people else []
    office = Office(
        {person.id_number: person for person in known},
        open_compare(options.models),
        ctid_life_s=options.ctid_life_s,
    )
    context = (
        open_tls(options.certificate, options.key, options.client_ca)
        if options.certificate is not None and options.key is not None
        else None
    )
    return AuthoritiesServer(
        office,
        modes,
        address=(match["host"], int(match["port"])),
        context=context,
        token=_token(options.token_file),
    )


def _token(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        token = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise SimError(f"the token in {file.name} cannot be read") from error
    if not token:
        raise SimError(f"there is no token in {file.name}")
    return token


def _serve(server: AuthoritiesServer) -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with server:
        thread = threading.Thread(target=server.serve_forever, name="http", daemon=True)
        thread.start()
        print(json.dumps({"authorities": server.url, **dict.fromkeys(CALLS, server.url)}), flush=True)
        stop.wait()
        server.shutdown()
        thread.join()
