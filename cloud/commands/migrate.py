"""``verifield-cloud migrate``: bring a database to the schema of this version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cloud.commands.common import (
    JsonOption,
    YesOption,
    confirm,
    ends_with_exit_code,
    print_json,
    print_values,
)
from cloud.commands.offline import (
    ConfigOption,
    DatabaseOption,
    FolderOption,
    progress_bars,
    require_database,
    settings,
)
from cloud.errors import SetupError

if TYPE_CHECKING:
    from cloud.config import Config


@ends_with_exit_code
def migrate(
    config_file: ConfigOption = None,
    data: FolderOption = None,
    database: DatabaseOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show the database's schema and the newest one, and bring it there after asking.

    A copy of a SQLite database is kept beside it first. Of PostgreSQL make a backup: backup create, or with
    its own tools where its schema is too old for that. All in one transaction: it is done, or nothing is.

    Example: verifield-cloud migrate --data data --yes
    """
    from cloud.store.database import Store, StoreOptions  # noqa: PLC0415 (half a second)
    from cloud.store.versions import read_versions  # noqa: PLC0415

    config = settings(config_file, data, database)
    require_database(config)
    versions = read_versions(config.database_url)
    values = {"current": versions.current, "newest": versions.newest, "copy": None, "migrated": False}
    if versions.current != versions.newest:
        confirm(f"Bring the schema from {versions.current or 'none'} to {versions.newest}?", yes=yes)
        values["copy"] = _copy(config, versions.current or "0")
        options = StoreOptions(require_durable=config.require_durable_database)
        Store.open(config.database_url, options).close()
        values |= {"current": read_versions(config.database_url).current, "migrated": True}
    if as_json:
        print_json(values)
    else:
        print_values(values)


def _copy(config: Config, version: str) -> str | None:
    from sqlalchemy.engine import make_url  # noqa: PLC0415

    from cloud.backup.sqlite import copy_database  # noqa: PLC0415

    url = make_url(config.database_url)
    if url.get_backend_name() != "sqlite":
        return None
    source = Path(str(url.database))
    target = source.with_name(f"{source.name}.before-{version}")
    if target.exists():
        raise SetupError(
            "COPY_EXISTS",
            f"There is a copy {target} already.",
            hint="Move it away: it may be the only good one.",
        )
    with progress_bars() as bars:
        target.touch(mode=0o600)
        copy_database(source, target, progress=bars)
    return str(target)
