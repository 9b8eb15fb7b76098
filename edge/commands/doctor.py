"""``verifield-edge doctor``: what is wrong with the device and what is plugged in, and what to do."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Annotated

import typer
from rich.text import Text

from edge.app import identity_folder, open_identity, open_recorder, open_state
from edge.attest.clock import SystemClock
from edge.attest.identity import current_folder
from edge.commands.common import ConfigOption, DataOption, JsonOption, ends_with_exit_code, out, print_json
from edge.config import EdgeConfig, load_config
from edge.documents import check_up_reader, open_card_reader
from edge.errors import EdgeError, ExitCode
from edge.health import NOT_LOOKED_AT, PartLook
from edge.health_items import HealthState, health_items
from edge.model import PeripheralKind
from edge.reader.checkup import Finding, Level
from edge.reader.traffic import TRAFFIC
from edge.readiness import note_peripheral
from edge.remedies import told
from edge.watch import Parts, look, look_at_gallery, look_at_key, look_at_models, try_camera
from verifield.terminal import visible

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}
_WIDTH = 18
_LEVELS = {HealthState.OK: Level.OK, HealthState.WARN: Level.WARN, HealthState.BAD: Level.FAIL}
_PLUGGED_IN = ("CAMERA", "KEY")
"""Beside the reader, what a person can take in the hand; a key may be a token."""


@app.command()
@ends_with_exit_code
def doctor(
    config: ConfigOption = None,
    data: DataOption = None,
    reader: Annotated[str | None, typer.Option("--reader", help="Port of the card reader.")] = None,
    pin: Annotated[
        bool | None,
        typer.Option(
            "--pin/--unpin",
            help="Let no other card reader than this one be used, or any.",
            show_default=False,
        ),
    ] = None,
    traffic: Annotated[
        bool,
        typer.Option("--traffic", help="Show commands and replies by name and size; no card's data."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Look at all: reader, camera, key, models, gallery, clock, certificates, disk, queue, delivery.

    The camera is opened and must give a picture: end a session first. Every model file is read. With an
    option of the reader it looks at the reader alone: port, rights, speed, protocol, module, photos. Status 4
    where a part fails that is plugged in, 1 where anything else is bad, 0 also with warnings.

    --pin writes down which module belongs to this device, where nothing fails; the chain of records tells it.

    Example: verifield-edge doctor --json; verifield-edge doctor --reader /dev/serial/by-id/usb-reader
    """
    if traffic:
        logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(message)s")
        logging.getLogger("edge.reader.traffic").setLevel(TRAFFIC)
    settings = load_config(config, data_dir=data, reader_port=reader)
    reader_alone = reader is not None or pin is not None or traffic
    plugged_in: list[Finding] = []
    findings: list[Finding] = []
    for finding in _look(settings, pin=pin):
        plugged_in.append(finding)
        _tell(finding, as_json=as_json)
    for finding in () if reader_alone else _look_at_the_rest(settings):
        (plugged_in if finding.check in _PLUGGED_IN else findings).append(finding)
        _tell(finding, as_json=as_json)
    if as_json:
        print_json([asdict(finding) for finding in (*plugged_in, *findings)])
    if any(finding.level is Level.FAIL for finding in plugged_in):
        raise typer.Exit(int(ExitCode.HARDWARE))
    if any(finding.level is Level.FAIL for finding in findings):
        raise typer.Exit(int(ExitCode.NEGATIVE))


def _tell(finding: Finding, *, as_json: bool) -> None:
    if not as_json:
        _print(finding)


def _look_at_the_rest(settings: EdgeConfig) -> Iterator[Finding]:
    """Camera and models also of a device that is not enrolled; the rest needs one."""
    seen = Parts(camera=try_camera(settings), models=look_at_models(settings, read=True))
    try:
        identity = open_identity(settings)
        with open_state(settings, identity) as state:
            seen = replace(
                seen, key=look_at_key(identity, state), gallery=look_at_gallery(settings, identity)
            )
            health = look(settings, identity, state, SystemClock(), parts=seen)
    except EdgeError as error:
        yield from (_part("CAMERA", seen.camera), _part("MODELS", seen.models))
        yield Finding(error.code, Level.FAIL, error.message, error.hint)
        return
    for item in health_items(health):
        if item.name != "reader":
            value = f" ({item.value})" if item.value else ""
            what = f"{item.text[settings.language]}{value}"
            code = f"{item.code}: " if item.code else ""
            hint = item.what_to_do[settings.language]
            yield Finding(item.name.upper(), _LEVELS[item.state], code + what, hint)


def _part(check: str, seen: PartLook | None) -> Finding:
    if seen is None or (seen.code and not seen.works):
        seen = seen or PartLook(NOT_LOOKED_AT)
        known = told(seen.code)
        hint = seen.hint or (known.remedy["en"] if known else "")
        return Finding(
            check, Level.FAIL, f"{seen.code}: {seen.message or (known.text['en'] if known else '')}", hint
        )
    return Finding(
        check, Level.WARN if seen.code else Level.OK, seen.code or seen.value or "there", seen.hint
    )


def _look(settings: EdgeConfig, *, pin: bool | None) -> Iterator[Finding]:
    if pin is False:
        yield _write_pin(settings, "")
    pinned = ""
    if pin is None:
        try:
            pinned = _read_pin(settings)
        except EdgeError as error:  # a doctor that needs a healthy device is none
            yield Finding(
                "READER_PIN", Level.WARN, f"Which reader is pinned cannot be told ({error.code}).", error.hint
            )
    fails = False
    for finding in check_up_reader(settings, pinned=pinned):
        fails |= finding.level is Level.FAIL
        yield finding
    if pin and not fails:
        reader = open_card_reader(settings)
        reader.close()
        yield _write_pin(settings, reader.sam_id)


def _read_pin(settings: EdgeConfig) -> str:
    """The pinned module; empty where none is, or where there is no device yet."""
    if current_folder(identity_folder(settings)) is None:
        return ""
    with open_state(settings, open_identity(settings)) as state:
        return state.pinned(PeripheralKind.READER)


def _write_pin(settings: EdgeConfig, sam_id: str) -> Finding:
    with open_recorder(settings) as recorder, open_state(settings, recorder.identity) as state:
        note_peripheral(recorder, state, PeripheralKind.READER, sam_id)
        state.pin(PeripheralKind.READER, sam_id)
    what = f"{sam_id} is pinned: no other is used" if sam_id else "no module is pinned any more"
    return Finding("READER_PIN", Level.OK, what)


def _print(finding: Finding) -> None:
    level = (f"{finding.level:<5}", f"bold {_COLOURS[finding.level]}")
    out().print(Text.assemble(level, f" {finding.check:<{_WIDTH}} {visible(finding.what)}"), soft_wrap=True)
    if finding.hint:
        out().print(f"      {'':<{_WIDTH}} {finding.hint}", soft_wrap=True)
