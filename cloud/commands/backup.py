"""``verifield-cloud backup`` and ``restore``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloud.commands.common import (
    JsonOption,
    ends_with_exit_code,
    print_json,
    print_table,
    print_values,
)
from cloud.commands.files import check_free, write_new, write_output
from cloud.commands.offline import (
    ConfigOption,
    DatabaseOption,
    FolderOption,
    RootsOption,
    progress_bars,
    read_roots,
    settings,
)
from cloud.errors import ExitCode, SetupError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    from cloud.backup.manifest import Backup

app = typer.Typer(help="Backups: made while the service runs, checked, listed.", no_args_is_help=True)

BackupArgument = Annotated[Path, typer.Argument(help="Folder of one backup.")]
IdentityOption = Annotated[
    Path | None, typer.Option("--identity", help="Private key of the backup's recipient, PEM.")
]


@app.command()
@ends_with_exit_code
def create(
    folder: Annotated[Path, typer.Argument(help="Where backups lie; best on another machine's disk.")],
    recipient: Annotated[
        Path | None, typer.Option("--recipient", help="Public key that alone can open it: backup keygen.")
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Do not encrypt: it holds all keys of the service.")
    ] = False,
    keep: Annotated[
        int | None, typer.Option("--keep", min=1, help="Delete the oldest beyond so many.")
    ] = None,
    config_file: ConfigOption = None,
    data: FolderOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a backup of database, keys and media, of a service that runs or stands.

    Example: verifield-cloud backup create backups --recipient backup.key.pub --keep 30
    """
    from cloud.backup.create import Terms, create_backup, prune  # noqa: PLC0415 (half a second)
    from cloud.sources import Sources  # noqa: PLC0415

    if (recipient is None) != plain:
        raise SetupError(
            "BACKUP_RECIPIENT",
            "A backup needs either a recipient or --plain.",
            hint="Make a key pair with verifield-cloud backup keygen, keep the private key elsewhere, and "
            "give the public one with --recipient.",
        )
    key = _read_public(recipient) if recipient else None
    config = settings(config_file, data, database)
    with progress_bars() as bars:
        made = create_backup(config, folder, Terms(key, bars), Sources.system())
    values = _describe(made) | {"deleted": prune(folder, keep, made=made.folder.name) if keep else []}
    _show(values, as_json=as_json)


@app.command("list")
@ends_with_exit_code
def list_backups(
    folder: Annotated[Path, typer.Argument(help="Where backups lie.")],
    config_file: ConfigOption = None,
    data: FolderOption = None,
    root: RootsOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the backups of a folder, the oldest first; each is a point in time to go back to.

    Example: verifield-cloud backup list backups
    """
    from cloud.backup.create import list_names  # noqa: PLC0415
    from cloud.backup.manifest import open_backup  # noqa: PLC0415

    roots = read_roots(root or settings(config_file, data).keys_folder / "root.pem")
    found = []
    for name in list_names(folder):
        try:
            found.append(_describe(open_backup(folder / name, roots=roots)) | {"fault": None})
        except SetupError as error:
            found.append({"backup": str(folder / name), "fault": error.code})
    if as_json:
        print_json({"backups": found})
        return
    columns = ("backup", "taken", "engine", "encrypted", "log_size", "bytes", "fault")
    rows = [[_cell(one.get(column)) for column in columns] for one in found]
    print_table([column.upper() for column in columns], rows)


@app.command()
@ends_with_exit_code
def verify(
    backup: BackupArgument,
    identity: IdentityOption = None,
    config_file: ConfigOption = None,
    data: FolderOption = None,
    root: RootsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a backup: signature, every digest, and where it can be opened also its database's structure.

    Example: verifield-cloud backup verify backups/NAME --identity backup.key
    """
    from cloud.backup.aside import place_of  # noqa: PLC0415
    from cloud.backup.restore import Check, verify_backup  # noqa: PLC0415

    config = settings(config_file, data)
    roots, place = read_roots(root or config.keys_folder / "root.pem"), place_of(config)
    with progress_bars() as bars:
        check = Check(roots, _read_identity(identity), bars)
        found, state = verify_backup(backup, check, place=place if place.is_dir() else None)
    opened = state is not None or not found.is_sealed or identity is not None
    _show(_describe(found) | {"holds": True, "opened": opened}, as_json=as_json)


@app.command()
@ends_with_exit_code
def keygen(
    output: Annotated[Path, typer.Argument(help="File for the private key; the public one is FILE.pub.")],
    as_json: JsonOption = False,
) -> None:
    """Make a key pair for backups. Take the private key away from the service's machine.

    Example: verifield-cloud backup keygen backup.key
    """
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey  # noqa: PLC0415

    if not output.name:
        raise typer.BadParameter(f"{output} is no name of a file")
    public = output.with_name(f"{output.name}.pub")
    check_free(public)  # a key that is overwritten opens its backups no more
    key = X25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_new(output, pem)
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    write_output(public, key.public_key().public_bytes(serialization.Encoding.PEM, spki))
    _show({"private_key": str(output), "public_key": str(public)}, as_json=as_json)


@ends_with_exit_code
def restore(
    backup: BackupArgument,
    data: Annotated[
        Path, typer.Option("--data", help="New folder for the service; must be empty or absent.")
    ],
    root: Annotated[Path, typer.Option("--root", help="Trust root, PEM: a copy that was kept elsewhere.")],
    identity: IdentityOption = None,
    database: Annotated[
        str | None, typer.Option("--database", help="An empty PostgreSQL database, for a backup of one.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Restore a backup into an empty folder, and check its whole log and audit chain; status 4 if they fail.

    Nothing is overwritten, and nothing is left behind where something is wrong.

    Example: verifield-cloud restore backups/NAME --data restored --root root.pem --identity backup.key
    """
    from cloud.backup.restore import Check, restore_backup  # noqa: PLC0415
    from cloud.commands.audit import report_values  # noqa: PLC0415
    from cloud.sources import Sources  # noqa: PLC0415

    check_roots, key = read_roots(root), _read_identity(identity)
    with progress_bars() as bars:
        check = Check(check_roots, key, bars)
        done = restore_backup(backup, data, check, Sources.system(), database=database)
    values = {
        "data": str(data),
        "restored": done.holds,
        "log_sound": done.log.sound,
        "log_size": done.log.tree_size,
        "audit": report_values(done.audit),
        "lost_media": list(done.lost_media),
    }
    if as_json:
        print_json(values)
    else:
        print_values(
            values
            | {
                "audit": "holds" if done.audit.holds else "DOES NOT HOLD",
                "lost_media": " ".join(done.lost_media) or "none",
            }
        )
    if not done.holds:
        sys.exit(ExitCode.UNSOUND)


def _describe(backup: Backup) -> dict[str, Any]:
    from cloud.backup.media import is_damaged  # noqa: PLC0415
    from cloud.sources import from_us  # noqa: PLC0415
    from verifield.note import parse_checkpoint  # noqa: PLC0415
    from verifield.v1 import backup_pb2  # noqa: PLC0415

    said = backup.manifest
    return {
        "backup": str(backup.folder),
        "taken": from_us(said.taken_us).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "engine": backup_pb2.BackupEngine.Name(said.engine).removeprefix("BACKUP_ENGINE_").lower(),
        "schema": said.schema_version,
        "encrypted": backup.is_sealed,
        "log_size": parse_checkpoint(said.checkpoint).size if said.checkpoint else 0,
        "audit_seq": said.audit_seq,
        "files": len(backup.files),
        "damaged_media": sum(map(is_damaged, backup.files)),
        "targets": [
            {
                "name": one.name,
                "provider": one.provider,
                "role": one.role,
                "files": one.files,
                "behind": one.behind,
            }
            for one in said.targets
        ],
        "bytes": backup.size,
    }


def _read_public(path: Path) -> X25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, TypeError) as error:
        raise _useless_key(path) from error
    if not isinstance(key, X25519PublicKey):
        raise _useless_key(path)
    return key


def _read_identity(path: Path | None) -> X25519PrivateKey | None:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    if path is None:
        return None
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise _useless_key(path) from error
    if not isinstance(key, X25519PrivateKey):
        raise _useless_key(path)
    return key


def _useless_key(path: Path) -> SetupError:
    return SetupError(
        "BACKUP_KEY",
        f"The file {path} does not hold a key for backups.",
        hint="Make a pair with verifield-cloud backup keygen FILE: --recipient takes FILE.pub.",
    )


def _show(values: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(values)
    else:
        targets = ", ".join(f"{one['name']} ({one['provider']})" for one in values.get("targets", ()))
        print_values(values | ({"targets": targets or "none"} if "targets" in values else {}))


def _cell(value: object) -> str:
    return "" if value is None else str(value)
