"""Settings of the service: command line over environment over TOML file over defaults; frozen.

Environment variables are ``VERIFIELD_CLOUD_`` and the upper-case name of a field. A key that no field
has is an error, in the file and in the environment: a typing error must not switch a setting off.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from cloud.errors import SetupError

ENV_PREFIX = "VERIFIELD_CLOUD_"

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


class Config(BaseSettings):
    """What can be set. Limits that nobody should turn are constants beside the code that keeps them."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True)

    data: Path = Path("verifield-cloud-data")  # folder of keys, tokens and the SQLite database
    listen: Address = "127.0.0.1:7443"  # for operators and enrolment
    device_listen: Address | None = None  # for devices; None: the same host and the next port
    database: str | None = None  # SQLAlchemy address; None: SQLite in the data folder
    server_names: tuple[Host, ...] = ()  # further host names of the TLS certificate
    tpm_roots: Path | None = None  # PEM: CA certificates of TPM makers; None: no TPM can prove itself
    stop_grace_s: float = Field(default=10.0, gt=0, le=300)  # for running calls at the end

    @model_validator(mode="after")
    def _check_next_port(self) -> Config:
        if not self.device_listen and parse_address(self.listen)[1] == _LAST_PORT:
            raise ValueError(f"device_listen is needed, because no port comes after {_LAST_PORT}")
        return self

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{self.data.absolute() / 'verifield.db'}"

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
