"""Settings of the service: command line over environment over TOML file over defaults; frozen.

Environment variables are ``VERIFIELD_CLOUD_`` and the upper-case name of a field. A key that no field
has is an error, in the file and in the environment: a typing error must not switch a setting off.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from cloud.contract_settings import ContractSettings
from cloud.document_settings import DocumentSettings
from cloud.errors import SetupError
from cloud.layout import MEDIA_FOLDER, OBJECTS_FOLDER
from cloud.message_settings import MessageSettings
from cloud.settings import AccessSettings, AuthoritySettings, PasswordSettings, Told
from cloud.signing_settings import SigningSettings
from cloud.storage_settings import StorageSettings

ENV_PREFIX = "VERIFIELD_CLOUD_"

MASK = "***"
"""In the place of secrets, wherever settings are shown."""

_LAST_PORT = 65535
_HOST = re.compile(r"[A-Za-z0-9._:%-]+")
_PORT = re.compile(r"[0-9]{1,5}")


def _check_address(text: str) -> str:
    parse_address(text)
    return text


def _check_host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError("a host is a name in ASCII, for example cloud.example, or an IP address")
    return text


Address = Annotated[str, AfterValidator(_check_address)]
Host = Annotated[str, AfterValidator(_check_host)]


Ratio = Annotated[float, Field(ge=0, le=1)]


class Config(
    AccessSettings,
    PasswordSettings,
    AuthoritySettings,
    MessageSettings,
    ContractSettings,
    DocumentSettings,
    SigningSettings,
    StorageSettings,
    BaseSettings,
):
    """What can be set. Limits that nobody should turn are constants beside the code that keeps them."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True)

    data: Annotated[
        Path,
        Told(
            "Folder of keys, tokens, the SQLite database and the files that devices delivered.",
            "One folder to back up and to protect; a service refuses one that others may write to.",
        ),
    ] = Path("verifield-cloud-data")
    listen: Annotated[
        Address,
        Told(
            "Where operators and devices that enrol call, `HOST:PORT`.",
            "This machine alone, until somebody decides otherwise.",
        ),
    ] = "127.0.0.1:7443"
    device_listen: Annotated[
        Address | None,
        Told(
            "Where enrolled devices call, with mutual TLS, `HOST:PORT`.",
            "A port of its own, because TLS asks for certificates before it knows who calls.",
            unset="the host of `listen` and the next port",
        ),
    ] = None
    database: Annotated[
        str | None,
        Told(
            "SQLAlchemy address of the database, for example `postgresql+psycopg://verifield@db/verifield`.",
            "SQLite needs no care; PostgreSQL lets several servers share the work.",
            unset="SQLite in the data folder",
            secret=True,
        ),
    ] = None
    database_connections: Annotated[
        int,
        Field(ge=4, le=500),
        Told(
            "The most connections of this server to PostgreSQL, besides one for single rows.",
            "A PostgreSQL allows 100 in all by default; each server needs one for each call under way.",
        ),
    ] = 16
    require_durable_database: Annotated[
        bool,
        Told(
            "Refuse a PostgreSQL whose settings let it forget what it has committed.",
            "A receipt promises that a record is durable. Only tests have a reason to switch this off.",
        ),
    ] = True
    keys: Annotated[
        Path | None,
        Told(
            "Folder of `root.pem` and `keys/`: the keys of the deployment.",
            "Servers that share one database must share their keys, or they sign different histories.",
            unset="the data folder",
        ),
    ] = None
    media: Annotated[
        Path | None,
        Told(
            "Folder of the encrypted files that devices deliver.",
            "Servers that share one database must share it: a device sends its next chunk to any of them.",
            unset="`media` in the data folder",
        ),
    ] = None
    objects: Annotated[
        Path | None,
        Told(
            "Folder of the encrypted files of persons: material, documents, pictures.",
            "Servers that share one database must share it: what one keeps, another opens.",
            unset="`objects` in the data folder",
        ),
    ] = None
    allow_simulated_cameras: Annotated[
        bool,
        Told(
            "Let records of simulated cameras count as evidence of who somebody is.",
            "Their pictures could be made up. Only trials without a camera have a reason to switch this on.",
        ),
    ] = False
    paper_font: Annotated[
        Path | None,
        Told(
            "TrueType font with Chinese characters that is put into papers (PDF).",
            "A paper must look the same everywhere, for as long as it is kept.",
            unset="that of Debian's fonts-droid-fallback where it is installed, else what readers bring",
        ),
    ] = None
    server_names: Annotated[
        tuple[Host, ...],
        Told(
            "Further host names and addresses of the TLS certificate.",
            "Callers check the name that they called; `localhost` and the hosts of both ports are in it.",
        ),
    ] = ()
    tpm_roots: Annotated[
        Path | None,
        Told(
            "PEM file with CA certificates of the TPM makers to believe.",
            "Whom to believe is the operator's decision.",
            unset="no TPM can prove itself, every device is approved by a person",
        ),
    ] = None
    stop_grace_s: Annotated[
        float,
        Field(gt=0, le=300),
        Told(
            "How long calls that run at the end may go on.",
            "A batch is verified and durable within a second; a supervisor waits 90 s before it kills.",
            unit="s",
        ),
    ] = 10.0
    verify_processes: Annotated[
        int | None,
        Field(ge=0, le=64),
        Told(
            "Processes that check the signatures of delivered records; 0 for a thread of the service.",
            "A signature costs more than all else that is done with a record, and a process uses one core.",
            unset="one for each core, and 0 where there is only one",
        ),
    ] = None
    metrics_listen: Annotated[
        Address | None,
        Told(
            "Where Prometheus reads figures, `HOST:PORT`, plain HTTP at `/metrics`.",
            "Figures have no password: they are off until somebody wants them, and then for this machine.",
            unset="off",
        ),
    ] = None
    metrics_exposed: Annotated[
        bool,
        Told(
            "Let `metrics_listen` be an address that other machines reach.",
            "Only where a firewall or a mesh guards the port.",
        ),
    ] = False
    otlp_endpoint: Annotated[
        str | None,
        Field(pattern=r"^https?://[A-Za-z0-9._:\[\]-]+$"),
        Told(
            "OpenTelemetry collector for traces (OTLP over gRPC), `http://HOST:4317` or `https://HOST:4317`.",
            "Traces cost memory and network, and not everybody has a collector.",
            unset="off",
        ),
    ] = None
    otlp_ca: Annotated[
        Path | None,
        Told(
            "PEM file with the CA of the collector behind `https:`.",
            "A collector inside often has a CA of its own.",
            unset="the system's CAs",
        ),
    ] = None
    otlp_ratio: Annotated[
        Ratio,
        Told(
            "Share of traces that are kept, 0 to 1; a caller's wish to be traced counts no more.",
            "One in a hundred shows where time goes at full load, for a hundredth of the cost.",
        ),
    ] = 0.01
    log_format: Annotated[
        Literal["json", "console"],
        Told("`json` for machines, `console` for people; on standard error.", "Logs are read by machines."),
    ] = "json"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Told(
            "The least important lines that are written; `info` has one line for each call.",
            "Who called what is the first question of every incident.",
        ),
    ] = "info"

    @model_validator(mode="after")
    def _check_next_port(self) -> Config:
        if not self.device_listen and parse_address(self.listen)[1] == _LAST_PORT:
            raise ValueError(f"device_listen is needed, because no port comes after {_LAST_PORT}")
        return self

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{self.data.absolute() / 'verifield.db'}"

    @property
    def keys_folder(self) -> Path:
        return (self.keys or self.data).absolute()

    @property
    def media_folder(self) -> Path:
        return (self.media or self.data / MEDIA_FOLDER).absolute()

    @property
    def objects_folder(self) -> Path:
        return (self.objects or self.data / OBJECTS_FOLDER).absolute()

    @property
    def device_address(self) -> tuple[str, int]:
        """Host and port for devices: the given one, or the public host and the next port."""
        if self.device_listen:
            return parse_address(self.device_listen)
        host, port = parse_address(self.listen)
        return host, port + 1 if port else 0


def load_config(file: Path | None, **options: Any) -> Config:
    """Merge the sources; ``options`` that are None are not set.

    Raises:
        SetupError: CONFIG_UNREADABLE or CONFIG_INVALID, naming every offending key.
    """
    given = {key: value for key, value in options.items() if value is not None}
    unknown = [name for name in os.environ if name.startswith(ENV_PREFIX) and _field_of(name) not in _known()]
    if unknown:
        raise _invalid(f"the variable {unknown[0]} sets nothing that is known")
    values = _read_toml(file) if file is not None else {}
    from_file = {key: value for key, value in values.items() if ENV_PREFIX + key.upper() not in os.environ}
    try:
        return Config(**(from_file | given))  # what is given here beats the variables
    except SettingsError as error:
        raise _invalid(f"a variable {ENV_PREFIX}* is not of the form that its setting needs") from error
    except ValidationError as error:
        raise _invalid("; ".join(map(_describe, error.errors()))) from error


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as it is in force. ``source``: default, file, variable or option."""

    name: str
    value: Any
    default: Any
    told: Told
    source: str


def settings_of(config: Config, file: Path | None, *, options: Collection[str] = ()) -> list[Setting]:
    """All settings in their order; ``file`` and ``options`` are those that ``config`` was loaded with.

    Raises:
        SetupError: CONFIG_UNREADABLE.
    """
    in_file = _read_toml(file) if file is not None else {}

    def source(name: str) -> str:
        if name in options:
            return "option"
        if ENV_PREFIX + name.upper() in os.environ:
            return "variable"
        return "file" if name in in_file else "default"

    return [
        Setting(name, getattr(config, name), field.default, _told(field), source(name))
        for name, field in Config.model_fields.items()
    ]


def _told(field: FieldInfo) -> Told:
    [told] = [one for one in field.metadata if isinstance(one, Told)]
    return told


def _describe(problem: ErrorDetails) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    unknown = problem["type"] == "extra_forbidden"
    what = "there is no such setting" if unknown else problem["msg"].removeprefix("Value error, ")
    return f"{place}: {what}" if place else what


def _known() -> list[str]:
    return sorted(Config.model_fields)


def _field_of(variable: str) -> str:
    return variable.removeprefix(ENV_PREFIX).lower()


def _invalid(problems: str) -> SetupError:
    return SetupError(
        "CONFIG_INVALID",
        f"The configuration is not valid: {problems}.",
        hint=f"Settings are: {', '.join(_known())}.",
    )


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SetupError(
            "CONFIG_UNREADABLE",
            f"The configuration file {file} cannot be read ({type(error).__name__}).",
            hint="Check its path, and that it is TOML.",
        ) from error


def parse_address(text: str) -> tuple[str, int]:
    """``HOST:PORT`` or ``[IPV6]:PORT`` to host (without brackets) and port.

    Raises:
        ValueError: not of that form, or the port is out of range.
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not _HOST.fullmatch(host) or not _PORT.fullmatch(port) or int(port) > _LAST_PORT:
        raise ValueError("an address is HOST:PORT, for example 127.0.0.1:7443")
    return host, int(port)


def format_address(host: str, port: int) -> str:
    """``HOST:PORT``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
