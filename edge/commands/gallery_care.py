"""``verifield-edge gallery``, the other half: the file is kept sound, and nobody in it longer than needed."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime
from typing import Annotated

import typer

from edge.capture.detector_network import warm as warm_up_detector
from edge.commands.common import (
    ConfigOption,
    DataOption,
    JsonOption,
    ends_with_exit_code,
    err,
    print_json,
)
from edge.commands.gallery_parts import (
    MAX_LISTED,
    QuietOption,
    day_to_expire_by,
    erase_earlier,
    kept_files,
    key_of,
    listed_json,
    model_in_use,
    opened,
    opened_with_time,
    print_people,
    progress,
    report_json,
    say,
    tell_kept,
    today,
)
from edge.compute import kept
from edge.config import load_config
from edge.errors import ExitCode
from edge.gallery import broken, reenrol, salvage
from edge.gallery.home import gallery_path
from edge.gallery.warming import warm as warm_up
from edge.match.network import warm as warm_up_network

app = typer.Typer(add_completion=False)


@app.command("expire")
@ends_with_exit_code
def expire(
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Today, if the clock cannot be believed.")
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove all whose last day is over, from the templates of an earlier model too; run it daily.

    Nobody is removed early: a day counts as over when it certainly is so, in every time zone.

    Example: verifield-edge gallery expire
    """
    settings = load_config(config, data_dir=data)
    with opened_with_time(settings) as (gallery, bounds):
        last = day.date() if day else day_to_expire_by(bounds)
        removed = gallery.expire(last)
        earlier = erase_earlier(settings, lambda old: old.expire(last))
        values = {"removed": removed, "removed_earlier": earlier, "size": gallery.size}
        say(values | {"kept_files": tell_kept(settings)}, as_json)


@app.command("compact")
@ends_with_exit_code
def compact(
    quiet: QuietOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the file anew, without what was removed. It also comes by itself.

    Only damaged files that repairs have kept may hold it still: see ``gallery discard``.

    Example: verifield-edge gallery compact
    """
    settings = load_config(config, data_dir=data)
    with opened(settings) as gallery:
        before = gallery.file_bytes
        with progress("Templates", quiet=quiet or as_json) as tell:
            gallery.compact(tell)
        erase_earlier(settings, lambda _old: 0)  # what was removed before the model changed
        values = {"bytes_before": before, "bytes": gallery.file_bytes, "size": gallery.size}
        say(values | {"kept_files": tell_kept(settings)}, as_json)


@app.command("verify")
@ends_with_exit_code
def verify(
    quiet: QuietOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read every byte and say what holds; status 1 where something does not.

    Example: verifield-edge gallery verify --json
    """
    settings = load_config(config, data_dir=data)
    with progress("Templates", quiet=quiet or as_json) as tell:
        report = salvage.verify(gallery_path(settings.data_dir), key_of(settings), tell)
    say(report_json(report), as_json)
    if not report.whole:
        raise typer.Exit(int(ExitCode.NEGATIVE))


@app.command("repair")
@ends_with_exit_code
def repair(
    quiet: QuietOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put all that holds into a new file; the damaged one is kept beside it. Status 1 where not all holds.

    Example: verifield-edge gallery repair
    """
    settings = load_config(config, data_dir=data)
    with progress("Templates", quiet=quiet or as_json) as tell:
        report = salvage.repair(gallery_path(settings.data_dir), key_of(settings), tell)
    say(report_json(report), as_json)
    if report.lost or report.journal_lost:
        raise typer.Exit(int(ExitCode.NEGATIVE))


@app.command("discard")
@ends_with_exit_code
def discard(config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Destroy the damaged files that repairs have kept: they may hold people who were removed since.

    Example: verifield-edge gallery discard
    """
    settings = load_config(config, data_dir=data)
    with opened(settings):
        say({"destroyed": broken.destroy(gallery_path(settings.data_dir))}, as_json)


@app.command("info")
@ends_with_exit_code
def info(config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Say how many there are, of which model, and what that takes.

    Example: verifield-edge gallery info --json
    """
    settings = load_config(config, data_dir=data)
    with opened(settings) as gallery:
        say(
            {
                "path": str(gallery_path(settings.data_dir)),
                "model": gallery.model.name,
                "model_sha256": gallery.model.sha256,
                "model_in_use": gallery.model.sha256 == model_in_use(settings).sha256,
                "size": gallery.size,
                "version": gallery.version,
                "file_bytes": gallery.file_bytes,
                "memory_bytes": gallery.memory_bytes,
                "journal_rows": gallery.journal_rows,
                "cut_off_bytes": gallery.cut_off,
                "kept_files": kept_files(settings),
            },
            as_json,
        )


@app.command("re-enrol")
@ends_with_exit_code
def re_enrol(
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Destroy the earlier templates; nobody more is awaited.")
    ] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """After a change of the model: begin a gallery for the new one, and say who has to come again.

    Templates cannot be converted. Those of the earlier model are kept, and never compared, until --confirm.

    Example: verifield-edge gallery re-enrol
    """
    settings = load_config(config, data_dir=data)
    path, key = gallery_path(settings.data_dir), key_of(settings)
    if confirm:
        say({"never_came": reenrol.confirm(path, key)}, as_json)
        return
    began = reenrol.begin(path, key, model_in_use(settings))
    waiting = reenrol.waiting(path, key, today=today(settings))
    values = {
        "began": began,
        "earlier_model": waiting.earlier.name if waiting.earlier else None,
        "model": waiting.model.name,
        "awaited": len(waiting.people),
        "came": waiting.came,
    }
    if as_json:
        print_json(values | {"people": [listed_json(one) for one in waiting.people[:MAX_LISTED]]})
        return
    say(values, as_json)
    print_people(list(waiting.people[:MAX_LISTED]))


@app.command("warm")
@ends_with_exit_code
def warm(quiet: QuietOption = False, as_json: JsonOption = False) -> None:
    """Compile what searches and the networks of faces run, once, so that nobody waits for it later; part of
    the set-up.

    Example: verifield-edge gallery warm
    """
    with err().status("Compiling ...") if not (quiet or as_json) else ExitStack():
        seconds = warm_up() + warm_up_network() + warm_up_detector()
        kept.forget_others(kept.folder())
    if not quiet:
        say({"seconds": round(seconds, 2)}, as_json)
