"""``verifield-cloud config``: what is set, where it comes from, and whether a service could start with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloud.commands.common import JsonOption, ends_with_exit_code, print_json, print_table
from cloud.errors import SetupError

if TYPE_CHECKING:
    from cloud.config import Config, Setting

app = typer.Typer(help="The service's settings.", no_args_is_help=True)

FileOption = Annotated[Path | None, typer.Option("--config", help="TOML file with settings.")]


@app.command()
@ends_with_exit_code
def show(config_file: FileOption = None, as_json: JsonOption = False) -> None:
    """Print every setting with its value and where it comes from; passwords are masked.

    Example: verifield-cloud config show --config cloud.toml --json
    """
    from cloud.config import load_config, settings_of  # noqa: PLC0415 (pydantic: 0.15 s)

    settings = settings_of(load_config(config_file), config_file)
    if as_json:
        print_json({one.name: {"value": shown(one), "source": one.source} for one in settings})
        return
    rows = [[one.name, _as_text(shown(one)), one.source] for one in settings]
    print_table(["SETTING", "VALUE", "FROM"], rows)


@app.command()
@ends_with_exit_code
def check(config_file: FileOption = None, as_json: JsonOption = False) -> None:
    """Check all settings and the files and addresses that they name; nothing is started or changed.

    Example: verifield-cloud config check --config cloud.toml
    """
    from cloud.config import load_config  # noqa: PLC0415

    check_settings(load_config(config_file))
    if as_json:
        print_json({"valid": True})
    else:
        print("The settings can be used.")


def shown(setting: Setting) -> Any:
    """The value as JSON has it, without its secrets."""
    value = setting.value
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, tuple):
        return list(value)
    return hide_password(str(value)) if setting.told.secret else str(value)


def hide_password(address: str) -> str:
    """A database's address without its password; MASK for what cannot be read as one."""
    from sqlalchemy.engine import make_url  # noqa: PLC0415 (a third of a second)
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    from cloud.config import MASK  # noqa: PLC0415

    try:
        url = make_url(address)
    except ArgumentError:
        return MASK
    secret = [key for key in url.query if "pass" in key.lower()]
    return url.update_query_dict(dict.fromkeys(secret, MASK)).render_as_string(hide_password=True)


def check_settings(config: Config) -> None:
    """Check what a start would trip over.

    Raises:
        SetupError: the first thing that cannot be used, with what to do.
    """
    from sqlalchemy import create_engine  # noqa: PLC0415 (a third of a second)
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    from cloud.authorities.bundle import check_files  # noqa: PLC0415
    from cloud.config import parse_address  # noqa: PLC0415
    from cloud.messages.ways import open_ways  # noqa: PLC0415
    from cloud.telemetry.scrape import check_exposure  # noqa: PLC0415

    if config.data.exists() and (not config.data.is_dir() or config.data.stat().st_mode & 0o022):
        raise SetupError(
            "DATA_UNUSABLE",
            f"The data directory {config.data} is no folder, or can be written by others.",
            hint=f"If it is for this service alone: chmod 700 {config.data}.",
        )
    for name in ("tpm_roots", "otlp_ca"):
        _check_pem(name, getattr(config, name))
    check_files(config)
    if config.metrics_listen is not None:
        check_exposure(parse_address(config.metrics_listen)[0], exposed=config.metrics_exposed)
    open_ways(config)  # reads files, calls nobody
    try:
        create_engine(config.database_url)  # connects to nothing
    except (ArgumentError, ModuleNotFoundError) as error:
        raise SetupError(
            "DATABASE_URL",
            "The database address cannot be used.",
            hint="Use an SQLAlchemy address whose driver is installed, "
            "for example postgresql+psycopg://USER@HOST/NAME.",
        ) from error


def _check_pem(name: str, file: Path | None) -> None:
    from cryptography import x509  # noqa: PLC0415

    if file is None:
        return
    try:
        x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError) as error:
        raise SetupError(
            name.upper(),
            f"The certificates in {file} cannot be used ({type(error).__name__}).",
            hint=f"Let {name} name a PEM file with certificates that this user may read.",
        ) from error


def _as_text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return str(value).lower() if isinstance(value, bool) else str(value)
