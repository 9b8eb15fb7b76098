"""The appliance's configuration: a TOML file and VERIFIELD_EDGE_* variables; unknown keys are refused.

The file is ``verifield-edge.toml`` in the data directory unless another is named, by --config or by the
variable VERIFIELD_EDGE_CONFIG. A command-line option beats a variable, a variable beats the file, the file
beats the default.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from edge.errors import SetupError

ENV_PREFIX = "VERIFIELD_EDGE_"
CONFIG_NAME = "verifield-edge.toml"
CONFIG_VARIABLE = f"{ENV_PREFIX}CONFIG"
"""Names the file, for a device whose settings lie apart from its data."""

MAX_CONFIG_BYTES = 64 * 1024  # a page of text; a device or a disk image named by mistake is not read whole
DEFAULT_DATA_DIR = Path.home() / ".local" / "share" / "verifield"


def _number(value: object) -> object:
    """A variable is a text; whole numbers among them are meant as such."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else value


@dataclass(frozen=True, slots=True)
class Told:
    """What docs/configuration.md and the default file say of a setting.

    ``unset``: what happens where it has no value; ``example``: one that is shown where there is no default.
    """

    what: str
    why: str
    unit: str = ""
    unset: str = ""
    example: object = None


class EdgeConfig(BaseSettings):
    """All settings, with units in their names. Frozen; passed in, never read from a global."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True)

    data_dir: Annotated[
        Path,
        Told(
            "Folder of keys, certificates, records and the gallery.",
            "One folder to protect and to wipe; nobody but the device's own user may read it.",
            example="/var/lib/verifield",
        ),
    ] = DEFAULT_DATA_DIR
    run_dir: Annotated[
        Path | None,
        Told(
            "Folder of the daemons' signs of life.",
            "They are written every ten seconds: best on a memory disk, which spares the flash.",
            unset="`run` in the data directory",
            example="/run/verifield",
        ),
    ] = None
    models_dir: Annotated[
        Path | None,
        Told(
            "Folder of the face models.",
            "A package brings them along; without one each user fetches their own.",
            unset="the user's cache folder",
            example="/opt/verifield/share/models",
        ),
    ] = None
    camera: Annotated[
        str,
        Told(
            "`v4l2:N`, `v4l2:serial=NUMBER`, `/dev/video0`, `rtsp://...`, `http://...`, `sim+http://...`, "
            "`video:FILE` or `folder:FOLDER`: docs/cameras.md.",
            "A serial number stays the camera's own, wherever it is plugged in.",
        ),
    ] = "v4l2:0"
    allow_simulated_camera: Annotated[
        bool,
        Told(
            "Whether a file, a stream or the simulator may be judged at all.",
            "Their pictures could be made up: only trials have a reason to switch this on.",
        ),
    ] = False
    reader_port: Annotated[
        str,
        Told(
            "Serial port of the card reader; `auto` takes the one under `/dev/serial/by-id` that answers.",
            "Names there stay the same wherever the reader is plugged in.",
        ),
    ] = "auto"
    reader_baud: Annotated[
        Literal["auto", 115200, 57600, 38400, 19200, 9600],
        BeforeValidator(_number),
        Told(
            "Speed of the reader in baud; `auto` asks at each.",
            "The speed is never set: a change that breaks off half-way strands a reader.",
        ),
    ] = "auto"
    reader_sam_id: Annotated[
        str | None,
        Told(
            "The one reader module that is used; beats what `doctor --pin` wrote down.",
            "A reader that was swapped could show any card.",
            unset="the pinned one, else any",
            example="05.03-20240115-0000123456-0987654321",
        ),
    ] = None
    photo_decoder: Annotated[
        Literal["none", "pictures", "unpack", "getbmp", "simulator"],
        Told(
            "How photos on cards become pictures: `pictures` where the reader gives a JPEG, JPEG 2000, WebP, "
            "AVIF or BMP; `unpack` or `getbmp` for a vendor's library with a function of that form; "
            "`simulator` for the simulator's cards.",
            "The format on the card has no open decoder.",
        ),
    ] = "none"
    photo_library: Annotated[
        Path | None,
        Told(
            "The vendor's library: a file for this machine's processor.",
            "It runs in a limited process of its own.",
            unset="`unpack` and `getbmp` cannot be used",
            example="/opt/vendor/libdewlt.so",
        ),
    ] = None
    photo_library_symbol: Annotated[
        str | None,
        Told(
            "The name of its function.",
            "Vendors name it differently.",
            unset="`unpack` and `getbmp` cannot be used",
            example="GetBmp",
        ),
    ] = None
    screen_url: Annotated[
        str | None,
        Told(
            "An address on this machine where prompts are posted as well as printed.",
            "For a screen of one's own beside the terminal; the office screen needs none.",
            unset="prompts are printed",
            example="http://127.0.0.1:9000/screen",
        ),
    ] = None
    language: Annotated[
        Literal["zh", "es", "en"],
        Told(
            "Language in which the device begins: `zh`, `es` or `en`.",
            "People can change it at any time on the screen.",
        ),
    ] = "en"
    threads: Annotated[
        int,
        Told("Threads of the networks.", "Two are what a small device has; more cores, more threads."),
    ] = Field(default=2, ge=1, le=64)
    key_store: Annotated[
        Literal["software", "pkcs11", "tpm"],
        Told(
            "Where keys live: `software`, `pkcs11` or `tpm`.",
            "Stays as it was when the device was enrolled: a device never works on with weaker keys.",
        ),
    ] = "software"
    pkcs11_module: Annotated[
        Path | None,
        Told(
            "The token maker's library.",
            "Each maker has one.",
            unset="needed with `pkcs11`",
            example="/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so",
        ),
    ] = None
    pkcs11_token: Annotated[
        str | None,
        Told(
            "The token's label.",
            "Several may be plugged in.",
            unset="needed with `pkcs11`",
            example="kiosk-7",
        ),
    ] = None
    pkcs11_pin_file: Annotated[
        Path | None,
        Told(
            "A private file with the PIN; systemd's credential `verifield-pkcs11-pin` beats it.",
            "A secret does not belong into the settings.",
            unset="the credential is needed with `pkcs11`",
            example="/etc/verifield/token.pin",
        ),
    ] = None
    tpm_tcti: Annotated[
        str,
        Told("How tpm2-tools reach the TPM.", "The kernel's resource manager lets several programs use it."),
    ] = "device:/dev/tpmrm0"
    card_timeout_s: Annotated[
        float, Told("How long a card is waited for.", "Time to look for it in a bag.", unit="s")
    ] = Field(default=30.0, gt=0, le=600)
    capture_timeout_s: Annotated[
        float,
        Told("How long a person may take before the camera.", "Slow people need twenty seconds.", unit="s"),
    ] = Field(default=30.0, gt=0, le=600)
    gallery_fpir: Annotated[
        float,
        Told(
            "How often a stranger may be taken for somebody of the gallery.",
            "The cut-off of searches is chosen for it: docs/gallery.md.",
        ),
    ] = Field(default=0.01, gt=0, lt=1)
    retention_days: Annotated[
        float,
        Told(
            "How long a delivered and receipted record stays.",
            "The policy's word beats it. What has no receipt stays for ever.",
            unit="d",
        ),
    ] = Field(default=30.0, ge=0, le=3650)

    def run_folder(self) -> Path:
        """Where daemons leave their signs of life."""
        return self.run_dir or self.data_dir / "run"

    def sha256(self) -> bytes:
        """Digest of all settings (32 bytes), for the statement."""
        return hashlib.sha256(self.model_dump_json().encode()).digest()


def load_config(path: Path | None, **options: Any) -> EdgeConfig:
    """Read the configuration; ``options`` that are not None win over everything.

    Raises:
        SetupError: CONFIG_UNREADABLE or CONFIG_INVALID, naming every offending key.
    """
    given = {key: value for key, value in options.items() if value is not None}
    named = os.environ.get(CONFIG_VARIABLE)
    path = path or (Path(named) if named else None)
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
        if name == CONFIG_VARIABLE:
            continue
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
