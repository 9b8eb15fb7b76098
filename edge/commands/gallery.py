"""``verifield-edge gallery``: the people that this device knows by their faces, each under a pseudonym.

For whoever administers the device: it needs the rights of the user that enrolled it, and no sign-in.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID, uuid4

import typer

from edge.app import open_identity
from edge.commands.common import (
    ConfigOption,
    DataOption,
    JsonOption,
    ends_with_exit_code,
    err,
    out,
    print_json,
    print_values,
)
from edge.commands.gallery_care import app as care
from edge.commands.gallery_parts import (
    MAX_LISTED,
    QuietOption,
    answer_json,
    erase_earlier,
    found_json,
    import_archive,
    import_pictures,
    listed_json,
    model_in_use,
    opened,
    opened_with_time,
    print_people,
    progress,
    read_desk,
    say,
    tell_kept,
    template_of,
)
from edge.config import load_config
from edge.errors import ExitCode, InputError
from edge.gallery.asking import SessionGallery
from edge.gallery.decide import Verdict, known_points
from edge.gallery.faults import exists
from edge.gallery.home import gallery_key, gallery_path
from edge.gallery.records import Entry, Kind
from edge.gallery.store import Gallery
from edge.match.calibration import measured_points
from edge.operators.face import is_own_face
from edge.policy import LIVE_LIVE
from edge.station import certain_day, open_vision

PictureArgument = Annotated[Path, typer.Argument(help="A picture with one person on it.")]
WatchOption = Annotated[bool, typer.Option("--watch", help="On the watch-list, not enrolled.")]

app = typer.Typer(
    help="The people that this device knows by their faces.", no_args_is_help=True, add_completion=False
)
app.add_typer(care)


@app.command("create")
@ends_with_exit_code
def create(config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Make an empty gallery, for templates of the model in use.

    Example: verifield-edge gallery create
    """
    settings = load_config(config, data_dir=data)
    model = model_in_use(settings)
    path = gallery_path(settings.data_dir)
    if path.exists():  # a new key would make the lost one of that gallery look like another device's
        raise exists(path)
    key = gallery_key(settings.data_dir, open_identity(settings).key_store, create=True)
    with Gallery.create(path, key, model=model) as gallery:
        say({"model": model.name, "model_sha256": model.sha256, "size": gallery.size}, as_json)


@app.command("add")
@ends_with_exit_code
def add(
    picture: PictureArgument,
    candidate: Annotated[UUID | None, typer.Option(help="The pseudonym; default: a new one.")] = None,
    last_day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The last day on which it counts.")
    ] = None,
    watch: WatchOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Enrol the person on a picture, or put a new template in the place of the one that is there.

    Example: verifield-edge gallery add face.jpg --last-day 2027-12-31
    """
    settings = load_config(config, data_dir=data)
    kind = Kind.WATCHED if watch else Kind.PERSON
    with opened(settings) as gallery:
        embedding = template_of(open_vision(settings), picture)
        entry = Entry(candidate or uuid4(), embedding, last_day.date() if last_day else None, kind)
        new = gallery.add([entry])
        values = {"candidate_id": str(entry.candidate_id), "new": bool(new), "size": gallery.size}
    say(values, as_json)


@app.command("remove")
@ends_with_exit_code
def remove(
    candidates: Annotated[list[UUID], typer.Argument(help="Pseudonyms.")],
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let people be found no more; status 1 where nobody of them was there. Gone for good with ``compact``.

    From the templates of an earlier model they are gone for good at once.

    Example: verifield-edge gallery remove 7f8d1c9e-2f43-4c55-9d57-0a4f5f0c2b11
    """
    settings = load_config(config, data_dir=data)
    with opened(settings) as gallery:
        removed = gallery.remove(candidates)
        earlier = erase_earlier(settings, lambda old: old.remove(candidates))
        values = {"removed": removed, "removed_earlier": earlier, "asked": len(candidates)}
        say(values | {"size": gallery.size, "kept_files": tell_kept(settings)}, as_json)
    if not removed and not earlier:
        raise typer.Exit(int(ExitCode.NEGATIVE))


@app.command("list")
@ends_with_exit_code
def list_people(
    limit: Annotated[int, typer.Option(min=1, max=MAX_LISTED, help="At most so many.")] = 100,
    after: Annotated[UUID | None, typer.Option(help="Behind this pseudonym.")] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List pseudonyms, in their order.

    Example: verifield-edge gallery list --limit 1000 --json
    """
    with opened(load_config(config, data_dir=data)) as gallery:
        people = [one for one in gallery.people() if after is None or one.candidate_id.bytes > after.bytes]
        size = gallery.size
    if as_json:
        shown = [listed_json(one) for one in people[:limit]]
        print_json({"people": shown, "more": max(0, len(people) - limit), "size": size})
        return
    print_people(people[:limit])
    if len(people) > limit:
        err().print(f"{len(people) - limit} more: --after {people[limit - 1].candidate_id}")


@app.command("search")
@ends_with_exit_code
def search(
    picture: PictureArgument,
    k: Annotated[int, typer.Option(min=1, max=100, help="So many of the most alike are shown.")] = 5,
    fpir: Annotated[
        float | None, typer.Option(help="How often a stranger may be taken for somebody, 0 to 1.")
    ] = None,
    operator: Annotated[
        str | None, typer.Option(help="Who is at the desk: must not be the person on the picture.")
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look for the person on a picture; status 0 for one that is found, 1 for nobody and for what a person
    has to look at.

    Example: verifield-edge gallery search face.jpg --json
    """
    settings = load_config(config, data_dir=data)
    wanted = settings.gallery_fpir if fpir is None else fpir
    if not 0.0 < wanted < 1.0:
        raise InputError("RATE_INVALID", "A rate lies between 0 and 1.", hint="For example --fpir 0.01")
    desk = read_desk(settings, operator)
    with opened(settings) as gallery:
        probe = template_of(open_vision(settings), picture)
        at_desk = is_own_face(probe, desk.face, threshold=desk.live_live)
        points = known_points(desk.live_live, measured_points(LIVE_LIVE, gallery.model.sha256))
        asking = SessionGallery(gallery, points=points, fpir=wanted)
        answer = asking.answer(probe, operator_at_desk=at_desk)
        values = answer_json(answer) | {
            "nearest": [found_json(one) for one in gallery.search([probe], k=k)[0]],
            "size": gallery.size,
            "gallery_version": gallery.version,
        }
    if as_json:
        print_json(values)
    else:
        colour = {Verdict.FOUND: "green", Verdict.NOBODY: "yellow"}.get(answer.verdict, "bold red")
        out().print(answer.verdict.value, style=colour)
        print_values({name: value for name, value in values.items() if name != "verdict"}, width=24)
    if answer.verdict is not Verdict.FOUND:
        raise typer.Exit(int(ExitCode.NEGATIVE))


@app.command("import")
@ends_with_exit_code
def import_people(
    file: Annotated[Path, typer.Argument(help=".npz with templates, or .csv with pictures.")],
    quiet: QuietOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Enrol many: out of an archive of templates, or from a list of pictures; status 1 where some were not.

    Example: verifield-edge gallery import people.csv
    """
    settings = load_config(config, data_dir=data)
    with opened_with_time(settings) as (gallery, bounds):
        with progress(file.name, quiet=quiet or as_json) as tell:
            if file.suffix.lower() == ".csv":
                done = import_pictures(open_vision(settings), gallery, file, tell)
            else:
                done = import_archive(gallery, file, tell)
        size = gallery.size
        gallery.hide_expired(certain_day(bounds))
        expired = size - gallery.size
        values = {"added": done.added, "replaced": done.replaced, "expired": expired, "size": gallery.size}
    if expired:
        err().print(f"Of these the last day is over already, so that nobody finds them: {expired}.")
    say(values | {"refused": done.refused}, as_json)
    if done.refused:
        raise typer.Exit(int(ExitCode.NEGATIVE))
