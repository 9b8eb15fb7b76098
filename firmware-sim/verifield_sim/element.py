"""The secure element: a TPM 2.0 (swtpm) or a PKCS#11 token (SoftHSM2) in a folder of its own.

Both are the real interface with software behind it. A TPM is a process of its own that speaks over a socket;
a token is a library that the appliance loads, and that finds its folder through an environment variable.
Neither is drawn from the seed: keys must not be.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from pathlib import Path
from typing import Literal, Protocol, get_args

from verifield_sim.errors import SimError

ElementKind = Literal["none", "tpm", "pkcs11"]
KINDS: tuple[ElementKind, ...] = get_args(ElementKind)

SOFT_HSM_MODULES = (
    Path("/usr/lib/softhsm/libsofthsm2.so"),
    Path("/usr/lib64/softhsm/libsofthsm2.so"),
    Path("/usr/local/lib/softhsm/libsofthsm2.so"),
)
SETUP_TIMEOUT_S = 60.0  # making a TPM takes a second on a quiet machine
MAX_SOCKET_PATH = 107  # bytes in a sockaddr_un
TOKEN = "verifield-sim"  # noqa: S105 - a label


class Element(Protocol):
    """A secure element that can be pulled out and put back."""

    def endpoint(self) -> dict[str, str]:
        """What an appliance's configuration needs to know of it."""

    def unplug(self) -> None:
        """Take it away; keys stay in it."""

    def plug(self) -> None:
        """Put it back."""

    def close(self) -> None:
        """End it; its keys go with it."""


def open_element(kind: ElementKind, folder: Path) -> Element | None:
    """Make a new element, whose files lie in ``folder``; None where there is to be none.

    Raises:
        SimError: the programs that stand in for it are not installed, or do not work.
    """
    if kind == "none":
        return None
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError as error:
        raise SimError("there is a secure element in this folder already") from error
    except OSError as error:
        raise SimError(f"the secure element has no place: {error.strerror}") from error
    try:
        return _Tpm(folder) if kind == "tpm" else _Token(folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


class _Tpm:
    """An swtpm process with a simulated maker's endorsement keys."""

    def __init__(self, folder: Path) -> None:
        _check_installed("swtpm", "swtpm_setup")
        self._folder, self._state, self._socket = folder, folder / "state", folder / "tpm"
        if len(f"{self._socket}.ctrl") > MAX_SOCKET_PATH:
            raise SimError("the folder's path is too long for a TPM's socket")
        self._process: subprocess.Popen[bytes] | None = None
        self._state.mkdir()
        _run("swtpm_setup", "--tpm2", "--tpm-state", f"dir://{self._state}")
        self.plug()

    def endpoint(self) -> dict[str, str]:
        return {"kind": "tpm", "tpm_tcti": f"swtpm:path={self._socket}"}

    def plug(self) -> None:
        if self._process is not None:
            return
        self._process = subprocess.Popen(
            [
                *("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self._state}"),
                *("--server", f"type=unixio,path={self._socket}"),
                *("--ctrl", f"type=unixio,path={self._socket}.ctrl"),
                *("--flags", "not-need-init,startup-clear"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + SETUP_TIMEOUT_S
        while not self._socket.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.unplug()
                raise SimError("swtpm does not start")
            time.sleep(0.02)

    def unplug(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None
        for path in (self._socket, self._socket.with_name(f"{self._socket.name}.ctrl")):
            path.unlink(missing_ok=True)

    def close(self) -> None:
        self.unplug()
        shutil.rmtree(self._folder, ignore_errors=True)


class _Token:
    """A SoftHSM2 token. Whoever loads the module needs the ``environment`` of its endpoint."""

    def __init__(self, folder: Path) -> None:
        _check_installed("softhsm2-util")
        module = next((path for path in SOFT_HSM_MODULES if path.exists()), None)
        if module is None:
            raise SimError("libsofthsm2.so is not installed")
        self._module, self._folder = module, folder
        self._tokens = folder / "tokens"
        self._tokens.mkdir()
        self._configuration = folder / "softhsm2.conf"
        self._configuration.write_text(
            f"directories.tokendir = {self._tokens}\nobjectstore.backend = file\nlog.level = ERROR\n"
        )
        pin = secrets.token_hex(8)
        self._pin_file = folder / "pin"
        self._pin_file.touch(mode=0o600)
        self._pin_file.write_text(f"{pin}\n")
        words = ("--init-token", "--free", "--label", TOKEN, "--pin", pin, "--so-pin", secrets.token_hex(8))
        _run("softhsm2-util", *words, configuration=self._configuration)

    def endpoint(self) -> dict[str, str]:
        return {
            "kind": "pkcs11",
            "pkcs11_module": str(self._module),
            "pkcs11_token": TOKEN,
            "pkcs11_pin_file": str(self._pin_file),
            "environment": f"SOFTHSM2_CONF={self._configuration}",
        }

    def plug(self) -> None:
        if (away := self._folder / "unplugged").exists():
            away.rename(self._tokens)

    def unplug(self) -> None:
        if self._tokens.exists():
            self._tokens.rename(self._folder / "unplugged")

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def _check_installed(*commands: str) -> None:
    absent = [command for command in commands if shutil.which(command) is None]
    if absent:
        raise SimError(f"the secure element needs {', '.join(absent)}; scripts/debian.sh installs it")


def _run(*command: str, configuration: Path | None = None) -> None:
    environment = dict(os.environ)
    if configuration is not None:
        environment["SOFTHSM2_CONF"] = str(configuration)
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            timeout=SETUP_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise SimError(f"{command[0]} does not end") from error
    if done.returncode != 0:
        raise SimError(f"{command[0]} failed with status {done.returncode}")
