"""The appliance's configuration: a TOML file and VERIFIELD_EDGE_* variables; unknown keys are refused.

The file is ``verifield-edge.toml`` in the data directory unless another is named. A command-line option
beats a variable, a variable beats the file, the file beats the default.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from edge.errors import SetupError

ENV_PREFIX = "VERIFIELD_EDGE_"
CONFIG_NAME = "verifield-edge.toml"
MAX_CONFIG_BYTES = 64 * 1024  # a page of text; a device or a disk image named by mistake is not read whole
DEFAULT_DATA_DIR = Path.home() / ".local" / "share" / "verifield"


def _number(value: object) -> object:
    """A variable is a text; whole numbers among them are meant as such."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else value


class EdgeConfig(BaseSettings):
    """All settings, with units in their names. Frozen; passed in, never read from a global."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True)

    data_dir: Path = DEFAULT_DATA_DIR
    models_dir: Path | None = None  # None: the user's cache folder
    camera: str = "v4l2:0"
    allow_simulated_camera: bool = False  # production refuses files and streams
    reader_port: str = "auto"  # auto: the card reader among the devices under /dev/serial/by-id
    reader_baud: Annotated[Literal["auto", 115200, 57600, 38400, 19200, 9600], BeforeValidator(_number)] = (
        "auto"  # looked for
    )
    reader_sam_id: str | None = None  # pinned reader; None accepts any
    # pictures: the reader decodes by itself; unpack, getbmp: a vendor's library by its ABI
    photo_decoder: Literal["none", "pictures", "unpack", "getbmp", "simulator"] = "none"
    photo_library: Path | None = None
    photo_library_symbol: str | None = None  # the function's name in the library
    screen_url: str | None = None  # where prompts are posted as well as printed
    language: Literal["zh", "es", "en"] = "en"
    threads: int = Field(default=2, ge=1, le=64)
    key_store: Literal["software", "pkcs11", "tpm"] = "software"  # never changes for an enrolled device
    pkcs11_module: Path | None = None  # the token maker's library
    pkcs11_token: str | None = None  # the token's label
    pkcs11_pin_file: Path | None = None  # private to the user; systemd's verifield-pkcs11-pin beats it
    tpm_tcti: str = "device:/dev/tpmrm0"  # how tpm2-tools reach the TPM
    card_timeout_s: float = Field(default=30.0, gt=0, le=600)
    capture_timeout_s: float = Field(default=30.0, gt=0, le=600)
    gallery_fpir: float = Field(default=0.01, gt=0, lt=1)  # how often a stranger may be taken for somebody
    retention_days: float = Field(default=30.0, ge=0, le=3650)  # of delivered and receipted records

    def sha256(self) -> bytes:
        """Digest of all settings (32 bytes), for the statement."""
        return hashlib.sha256(self.model_dump_json().encode()).digest()


def load_config(path: Path | None, **options: Any) -> EdgeConfig:
    """Read the configuration; ``options`` that are not None win over everything.

    Raises:
        SetupError: CONFIG_UNREADABLE or CONFIG_INVALID, naming every offending key.
    """
    given = {key: value for key, value in options.items() if value is not None}
    data_dir = given.get("data_dir") or os.environ.get(f"{ENV_PREFIX}DATA_DIR") or DEFAULT_DATA_DIR
    source = path or Path(data_dir) / CONFIG_NAME
    _refuse_unknown_variables()
    values = _read_toml(source, optional=path is None)
    from_file = {key: value for key, value in values.items() if ENV_PREFIX + key.upper() not in os.environ}
    try:
        return EdgeConfig(**(from_file | given))  # what is given here beats the variables
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()
        )
        raise SetupError(
            "CONFIG_INVALID",
            f"The configuration is not valid: {problems}.",
            hint=f"Known keys: {_known_keys()}. Edit {source} or the variables {ENV_PREFIX}*.",
        ) from None


def _known_keys() -> str:
    return ", ".join(sorted(EdgeConfig.model_fields))


def _refuse_unknown_variables() -> None:
    """A misspelt variable would otherwise be ignored without a word."""
    for name in os.environ:
        key = name.removeprefix(ENV_PREFIX).lower()
        if name.startswith(ENV_PREFIX) and key not in EdgeConfig.model_fields:
            raise SetupError(
                "CONFIG_INVALID",
                f"The variable {name} sets nothing that is known.",
                hint=f"Known keys: {_known_keys()}.",
            )


def _read_toml(path: Path, *, optional: bool) -> dict[str, Any]:
    """The file's values; none where ``optional`` and there is no file."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CONFIG_BYTES + 1)
        if len(data) > MAX_CONFIG_BYTES:
            raise _unreadable(path, f"it has more than {MAX_CONFIG_BYTES} bytes")
        return tomllib.loads(data.decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        if optional:
            return {}
        raise _unreadable(path, str(error.strerror)) from None
    except OSError as error:
        raise _unreadable(path, str(error.strerror)) from None
    except RecursionError:
        raise _unreadable(path, "it is nested too deeply") from None
    except ValueError as error:  # not UTF-8, not TOML
        raise _unreadable(path, str(error)) from None


def _unreadable(path: Path, why: str) -> SetupError:
    return SetupError(
        "CONFIG_UNREADABLE",
        f"The configuration file {path} cannot be read: {why}.",
        hint="Give a readable TOML file with --config, or leave it out to use the defaults.",
    )
