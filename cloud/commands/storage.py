"""``verifield-cloud storage``: which store has which files, and how what is missing or damaged is mended."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from google.protobuf.timestamp_pb2 import Timestamp

from cloud.commands.common import (
    Connect,
    JsonOption,
    YesOption,
    confirm,
    ends_with_exit_code,
    operator_command,
    print_json,
    print_table,
    print_values,
    show_maybe,
    show_time,
)
from cloud.commands.listing import PageOption, fetch, tell_next, with_next
from cloud.commands.offline import (
    ConfigOption,
    DatabaseOption,
    FolderOption,
    RootsOption,
    opened_store,
    progress_bars,
    read_roots,
    settings,
)
from cloud.errors import ExitCode, SetupError
from verifield.v1 import storage_service_pb2 as pb

if TYPE_CHECKING:
    from cloud.client import OperatorClient

app = typer.Typer(help="Stores of files: how they are, and their repair.", no_args_is_help=True)

STATES = ("ok", "lagging", "corrupt", "repaired", "dropped")

StoreArgument = Annotated[str, typer.Argument(metavar="STORE", help="Name of the store; see storage status.")]
StoresArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[STORE]...", help="Names of stores; all where none is given.")
]
BackupsArgument = Annotated[str, typer.Argument(metavar="STORE", help="Name of a store elsewhere.")]


def parse_state(text: str) -> int:
    """A state's name; typer turns the error into a usage error."""
    if text.lower() not in STATES:
        raise typer.BadParameter(f"states are {', '.join(STATES)}")
    return pb.ReplicaState.Value(f"REPLICA_STATE_{text.upper()}")


@app.command()
@operator_command
def status(connect: Connect, as_json: JsonOption = False) -> None:
    """Show how all stores are; status 1 where one is away or has something damaged.

    Example: verifield-cloud storage status --json
    """
    with connect() as client:
        answer = client.call(client.storage.GetStorageStatus, pb.GetStorageStatusRequest())
    health = pb.StorageHealth.Name(answer.health).removeprefix("STORAGE_HEALTH_").lower()
    stores = [_describe(one) for one in answer.stores]
    if as_json:
        print_json({"health": health, "copies": answer.copies, "stores": stores})
    else:
        columns = ("name", "role", "kind", "provider", "up", "fault", *STATES, "lag_s")
        print_table(
            [column.upper() for column in columns],
            [[_cell(one[column]) for column in columns] for one in stores],
        )
        print_values({"health": health, "copies": answer.copies})
    if answer.health != pb.STORAGE_HEALTH_OK:
        sys.exit(1)


@app.command("list")
@operator_command
def list_replicas(
    connect: Connect,
    store: StoreArgument,
    state: Annotated[
        int | None, typer.Option(parser=parse_state, metavar="STATE", help=f"One of {', '.join(STATES)}.")
    ] = None,
    page: PageOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the files of a store, by digest; whose they are is not shown.

    Example: verifield-cloud storage list second --state corrupt
    """
    request = pb.ListReplicasRequest(store=store, state=pb.ReplicaState.ValueType(state or 0))
    with connect() as client:
        found, more = fetch(client, client.storage.ListReplicas, request, items="replicas", page=page)
    rows = [
        {
            "sha256": one.sha256.hex(),
            "state": pb.ReplicaState.Name(one.state).removeprefix("REPLICA_STATE_").lower(),
            "since_time": show_time(one.since_time),
            "check_time": show_maybe(one, "check_time"),
            "fault": one.fault,
            "tries": one.tries,
        }
        for one in found
    ]
    if as_json:
        print_json(with_next({"replicas": rows}, page, more))
        return
    columns = ("sha256", "state", "since_time", "check_time", "fault", "tries")
    print_table(
        [column.upper() for column in columns], [[_cell(one[column]) for column in columns] for one in rows]
    )
    tell_next(more)


@app.command()
@operator_command
def scrub(connect: Connect, stores: StoresArgument = None, as_json: JsonOption = False) -> None:
    """Read every file of stores now, and mend what is damaged; status 4 where something could not be.

    Example: verifield-cloud storage scrub
    """
    found: list[dict[str, Any]] = []
    with connect() as client, progress_bars() as bars:
        before = Timestamp()
        before.GetCurrentTime()
        for name in _names(client, stores):
            done: dict[str, Any] = {
                "store": name,
                "looked": 0,
                "damaged": 0,
                "mended": 0,
                "failed": 0,
                "left": 0,
            }
            looked = 0
            while True:
                request = pb.ScrubStoreRequest(request_id=str(uuid.uuid4()), store=name, before_time=before)
                answer = client.call(client.storage.ScrubStore, request)
                for field in ("looked", "damaged", "mended", "failed"):
                    done[field] += getattr(answer, field)
                done["left"] = answer.left
                looked += answer.looked
                bars(name, looked, looked + answer.left)
                if not answer.left or not answer.looked:
                    break
            found.append(done)
    _tell(found, as_json=as_json)
    if any(one["failed"] or one["left"] for one in found):
        sys.exit(ExitCode.UNSOUND)


@app.command()
@operator_command
def repair(connect: Connect, stores: StoresArgument = None, as_json: JsonOption = False) -> None:
    """Bring to stores what they lack, now; status 4 where something is left.

    Example: verifield-cloud storage repair second
    """
    found: list[dict[str, Any]] = []
    with connect() as client, progress_bars() as bars:
        for name in _names(client, stores):
            done: dict[str, Any] = {"store": name, "mended": 0, "dropped": 0, "failed": 0, "left": 0}
            mended = 0
            while True:
                request = pb.RepairStoreRequest(request_id=str(uuid.uuid4()), store=name)
                answer = client.call(client.storage.RepairStore, request)
                for field in ("mended", "dropped", "failed"):
                    done[field] += getattr(answer, field)
                done["left"] = answer.left
                mended += answer.mended
                bars(name, mended, mended + answer.left)
                if answer.failed or not answer.mended + answer.dropped:
                    break
            found.append(done)
    _tell(found, as_json=as_json)
    if any(one["failed"] or one["left"] for one in found):
        sys.exit(ExitCode.UNSOUND)


@app.command()
@operator_command
def add(
    connect: Connect,
    store: StoreArgument,
    renew: Annotated[
        bool, typer.Option("--renew", help="It was emptied, or has another disk: it gets everything anew.")
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Take up a store of the settings: a new one, one that is back, or with --renew one that is empty.

    Example: verifield-cloud storage add second --renew
    """
    if renew:
        confirm(f"Is what stands at the store {store} the right disk, and mounted?", yes=yes)
    request = pb.AddStoreRequest(request_id=str(uuid.uuid4()), store=store, renew=renew)
    with connect() as client:
        answer = client.call(client.storage.AddStore, request)
    values = _describe(answer.store) | {"entered": answer.entered}
    if as_json:
        print_json(values)
    else:
        print_values(values)


@app.command()
@operator_command
def remove(
    connect: Connect, store: StoreArgument, yes: YesOption = False, as_json: JsonOption = False
) -> None:
    """Forget a store that the settings name no more; its files stay where they are.

    Example: verifield-cloud storage remove second --yes
    """
    confirm(f"Forget what the store {store} has?", yes=yes)
    request = pb.RemoveStoreRequest(request_id=str(uuid.uuid4()), store=store)
    with connect() as client:
        answer = client.call(client.storage.RemoveStore, request)
    values = {"store": store, "forgotten": answer.forgotten}
    if as_json:
        print_json(values)
    else:
        print_values(values)


@app.command()
@ends_with_exit_code
def restore(
    stores: StoresArgument = None,
    yes: YesOption = False,
    config_file: ConfigOption = None,
    data: FolderOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring back to local stores, also empty ones, every file that the database names; status 4 if not all.

    It takes them from any other store, at other sites too; the service may run meanwhile or stand.

    Example: verifield-cloud storage restore --yes
    """
    from cloud.commands.storage_restore import open_care, restore_one  # noqa: PLC0415

    config = settings(config_file, data, database)
    with opened_store(config) as store:
        replicas, care = open_care(config, store)
        names = stores or [guard.name for guard in replicas.local]
        confirm(f"Is what stands at {', '.join(names)} the right disk, and mounted?", yes=yes)
        with progress_bars() as bars:
            found = [restore_one(replicas, care, name, bars) for name in names]
    _tell(found, as_json=as_json)
    if any(one["failed"] for one in found):
        sys.exit(ExitCode.UNSOUND)


@app.command()
@ends_with_exit_code
def push(
    backup: Annotated[Path, typer.Argument(help="Folder of one backup: backup create.")],
    stores: StoresArgument = None,
    config_file: ConfigOption = None,
    data: FolderOption = None,
    root: RootsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring a backup to stores elsewhere; what is there already is not sent again.

    Example: verifield-cloud storage push backups/NAME
    """
    from cloud.backup.manifest import open_backup  # noqa: PLC0415
    from cloud.backup.places import open_place, push_backup  # noqa: PLC0415

    config = settings(config_file, data)
    opened = open_backup(backup, roots=read_roots(root or config.keys_folder / "root.pem"))
    names = stores or list(config.remote_stores)
    if not names:
        raise SetupError(
            "STORE_UNKNOWN",
            "The settings have no store elsewhere.",
            hint="Give one or two with remote_stores; see docs/storage.md.",
        )
    with progress_bars() as bars:
        found = [
            {
                "store": name,
                "provider": config.remote_stores[name].provider if name in config.remote_stores else "",
                "backup": opened.folder.name,
                "sent": push_backup(opened, open_place(config, name), bars),
            }
            for name in names
        ]
    _tell(found, as_json=as_json)


@app.command()
@ends_with_exit_code
def backups(
    store: BackupsArgument,
    config_file: ConfigOption = None,
    data: FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the backups at a store elsewhere, oldest first.

    Example: verifield-cloud storage backups vault
    """
    from cloud.backup.places import list_backups, open_place  # noqa: PLC0415

    names = list_backups(open_place(settings(config_file, data), store))
    if as_json:
        print_json({"store": store, "backups": names})
    else:
        print_table(["BACKUP"], [[name] for name in names])


@app.command("fetch")
@ends_with_exit_code
def fetch_backup(
    store: BackupsArgument,
    folder: Annotated[Path, typer.Argument(help="Where it is to lie; then: verifield-cloud restore.")],
    root: Annotated[Path, typer.Option("--root", help="Trust root, PEM: a copy that was kept elsewhere.")],
    backup: Annotated[str, typer.Option("--backup", help="Its name; default: the newest.")] = "",
    config_file: ConfigOption = None,
    data: FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch a backup from a store elsewhere, and check every digest; status 4 where files are missing.

    Example: verifield-cloud storage fetch vault fetched --root root.pem
    """
    from cloud.backup.places import fetch_backup as fetch_one  # noqa: PLC0415
    from cloud.backup.places import list_backups, open_place  # noqa: PLC0415

    place = open_place(settings(config_file, data), store)
    name = backup or next(iter(list_backups(place)[::-1]), "")
    if not name:
        raise SetupError(
            "BACKUP_NONE",
            f"There is no backup at the store {store}.",
            hint="Name another store, or bring one there with: verifield-cloud storage push",
        )
    with progress_bars() as bars:
        fetched, lost = fetch_one(place, name, folder, roots=read_roots(root), progress=bars)
    values = {"backup": str(fetched.folder), "files": len(fetched.files), "lost": list(lost)}
    if as_json:
        print_json(values)
    else:
        print_values(values | {"lost": " ".join(lost) or "none"})
    if lost:
        sys.exit(ExitCode.UNSOUND)


def _names(client: OperatorClient, given: list[str] | None) -> list[str]:
    if given:
        return given
    answer = client.call(client.storage.GetStorageStatus, pb.GetStorageStatusRequest())
    return [one.name for one in answer.stores]


def _tell(found: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json({"stores": found})
    elif found:
        columns = list(found[0])
        print_table(
            [column.upper() for column in columns],
            [[_cell(one[column]) for column in columns] for one in found],
        )


def _describe(one: pb.StoreStatus) -> dict[str, Any]:
    return {
        "name": one.name,
        "role": pb.StoreRole.Name(one.role).removeprefix("STORE_ROLE_").lower(),
        "kind": one.kind,
        "provider": one.provider,
        "up": one.up,
        "fault": one.fault,
        "fault_time": show_maybe(one, "fault_time"),
        "seen_time": show_maybe(one, "seen_time"),
        **{state: getattr(one, state) for state in STATES},
        "lag_s": round(one.lag.ToMilliseconds() / 1000, 3),
    }


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value in ("", None) else str(value)
