"""For commands that work on the data folder and the database themselves, beside a service or without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cloud.commands.common import err
from cloud.errors import SetupError

if TYPE_CHECKING:
    from cryptography import x509

    from cloud.config import Config
    from cloud.store.database import Store

ConfigOption = Annotated[Path | None, typer.Option("--config", help="The service's TOML file with settings.")]
FolderOption = Annotated[Path | None, typer.Option("--data", help="The service's data directory.")]
DatabaseOption = Annotated[
    str | None, typer.Option("--database", help="SQLAlchemy address; default: from the settings.")
]
RootsOption = Annotated[Path | None, typer.Option("--root", help="Trust root, PEM; default: the service's.")]

Report = Callable[[str, int, int], None]


def settings(config_file: Path | None, data: Path | None, database: str | None = None) -> Config:
    """The settings of the service that the options name.

    Raises:
        SetupError: they are not valid.
    """
    from cloud.config import load_config  # noqa: PLC0415 (pydantic: 0.15 s)

    return load_config(config_file, data=data, database=database)


def require_database(config: Config) -> None:
    """That there is a database: a command that only looks must not make one.

    Raises:
        SetupError: DATABASE_MISSING.
    """
    from sqlalchemy.engine import make_url  # noqa: PLC0415

    url = make_url(config.database_url)
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists():
        raise SetupError(
            "DATABASE_MISSING",
            f"There is no database {url.database}.",
            hint="Name the service's folder with --data, or its settings with --config.",
        )


@contextmanager
def opened_store(config: Config) -> Iterator[Store]:
    """The database as the service opens it: an old schema is refused here, not migrated.

    Raises:
        SetupError: it cannot be used, or ``verifield-cloud migrate`` has to run first.
    """
    from cloud.store.database import Store, StoreOptions  # noqa: PLC0415
    from cloud.store.versions import read_versions  # noqa: PLC0415

    require_database(config)
    versions = read_versions(config.database_url)
    if versions.current != versions.newest:
        raise SetupError(
            "DATABASE_OLD",
            f"The database has schema {versions.current or 'none'}; this version needs {versions.newest}.",
            hint="Run verifield-cloud migrate, or start the service, which does the same.",
        )
    store = Store.open(config.database_url, StoreOptions(require_durable=config.require_durable_database))
    try:
        yield store
    finally:
        store.close()


def read_roots(path: Path) -> list[x509.Certificate]:
    """The trust roots in a PEM file.

    Raises:
        SetupError: ROOT_UNUSABLE.
    """
    from verifield.certificates import load_roots  # noqa: PLC0415
    from verifield.errors import VerifieldError  # noqa: PLC0415

    try:
        return load_roots(path.read_bytes())
    except (OSError, VerifieldError) as error:
        raise SetupError(
            "ROOT_UNUSABLE",
            f"The trust root {path} cannot be used ({type(error).__name__}).",
            hint="Give root.pem of the deployment with --root.",
        ) from error


@contextmanager
def progress_bars() -> Iterator[Report]:
    """Bars on standard error, one for each kind of work; nothing where that is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = err()
    with Progress(*columns, console=console, transient=True, disable=not console.is_interactive) as bars:
        tasks: dict[str, int] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)  # type: ignore[arg-type]  # an int by another name

        yield report
