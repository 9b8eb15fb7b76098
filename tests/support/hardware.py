"""Hardware for tests: PKCS#11 tokens of SoftHSM2 and TPMs of swtpm, each in a folder of its own.

    with soft_hsm() as hsm:
        token = hsm.new_token()
    with soft_tpm() as tpm:
        TpmKeyStore.open_store(folder, tcti=tpm.tcti)

Both are the real thing behind the real interface; ``unplug`` and ``plug`` take it away and bring it back.
``missing`` says in a sentence what is not installed.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SOFT_HSM_MODULES = (
    Path("/usr/lib/softhsm/libsofthsm2.so"),
    Path("/usr/lib64/softhsm/libsofthsm2.so"),
    Path("/usr/local/lib/softhsm/libsofthsm2.so"),
)
SETUP_TIMEOUT_S = 60
START_TIMEOUT_S = 20.0
PIN = "12345678"


def missing(kind: str) -> str | None:
    """What the hardware of this kind (software, pkcs11 or tpm) needs and this machine lacks, or None."""
    commands = {
        "software": (),
        "pkcs11": ("softhsm2-util",),
        "tpm": ("swtpm", "swtpm_setup", "tpm2_getcap", "tpm2_createek"),
    }[kind]
    absent = [command for command in commands if shutil.which(command) is None]
    if kind == "pkcs11" and soft_hsm_module() is None:
        absent.append("libsofthsm2.so")
    return f"not installed: {', '.join(absent)}; scripts/debian.sh installs it" if absent else None


def soft_hsm_module() -> Path | None:
    return next((path for path in SOFT_HSM_MODULES if path.exists()), None)


@dataclass(frozen=True)
class Token:
    label: str
    pin_file: Path


class SoftHsm:
    """Tokens in one folder, which SoftHSM2 finds through its configuration file."""

    def __init__(self, folder: Path, module: Path) -> None:
        self._folder = folder
        self._tokens = folder / "tokens"
        self._tokens.mkdir()
        self.module = module
        self.configuration = folder / "softhsm2.conf"
        self.configuration.write_text(
            f"directories.tokendir = {self._tokens}\nobjectstore.backend = file\nlog.level = ERROR\n"
        )

    def new_token(self, label: str | None = None) -> Token:
        label = label or f"device-{secrets.token_hex(4)}"
        pin_file = self._folder / f"{label}.pin"
        pin_file.write_text(f"{PIN}\n")
        pin_file.chmod(0o600)
        _run(
            "softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "87654321"
        )
        return Token(label, pin_file)

    def unplug(self) -> None:
        self._tokens.rename(self._folder / "unplugged")

    def plug(self) -> None:
        (self._folder / "unplugged").rename(self._tokens)


@contextmanager
def soft_hsm() -> Iterator[SoftHsm]:
    module = soft_hsm_module()
    assert module is not None
    with tempfile.TemporaryDirectory(prefix="verifield-hsm-") as folder:
        hsm = SoftHsm(Path(folder), module)
        before = os.environ.get("SOFTHSM2_CONF")
        os.environ["SOFTHSM2_CONF"] = str(hsm.configuration)  # read when the module starts, in C
        try:
            yield hsm
        finally:
            if before is None:
                del os.environ["SOFTHSM2_CONF"]
            else:
                os.environ["SOFTHSM2_CONF"] = before


class SoftTpm:
    """A TPM 2.0 with certificates of its endorsement keys, from a maker of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._state = folder / "state"
        self._socket = folder / "tpm"
        self._process: subprocess.Popen[bytes] | None = None
        self.tcti = f"swtpm:path={self._socket}"
        self._manufacture()

    @property
    def maker_certificates(self) -> list[bytes]:
        """PEM: the one that issued the certificates in the TPM, and its root."""
        authority = self._folder / "maker"
        names = ("issuercert.pem", "swtpm-localca-rootca-cert.pem")
        return [(authority / name).read_bytes() for name in names]

    def plug(self) -> None:
        """Power on: as after a restart of the machine, saved contexts are worthless."""
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
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.answers():
            assert self._process.poll() is None, "swtpm ended"
            assert time.monotonic() < deadline, "swtpm does not answer"
            time.sleep(0.02)

    def unplug(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None
        for path in (self._socket, self._socket.with_name(self._socket.name + ".ctrl")):
            path.unlink(missing_ok=True)

    def answers(self) -> bool:
        return self._tool("tpm2_getcap", "properties-fixed").returncode == 0

    def places(self) -> set[int]:
        """The NV indexes that are defined."""
        listed = self.tool("tpm2_getcap", "handles-nv-index")
        return {int(line.removeprefix("- "), 16) for line in listed.splitlines()}

    def tool(self, *command: str) -> str:
        """Run one of tpm2-tools against this TPM and return what it says."""
        result = self._tool(*command)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def send(self, command: bytes) -> bytes:
        """Send a raw command as a program would that has the TPM for itself."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(START_TIMEOUT_S)
            connection.connect(str(self._socket))
            connection.sendall(command)
            return connection.recv(4096)

    def _tool(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env={**os.environ, "TPM2TOOLS_TCTI": self.tcti},
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
            check=False,
        )

    def _manufacture(self) -> None:
        authority = self._folder / "maker"
        authority.mkdir()
        self._state.mkdir()
        (self._folder / "localca.conf").write_text(
            f"statedir = {authority}\nsigningkey = {authority}/signkey.pem\n"
            f"issuercert = {authority}/issuercert.pem\ncertserial = {authority}/certserial\n"
        )
        (self._folder / "options").write_text(
            "--platform-manufacturer Test\n--platform-version 1\n--platform-model Test\n"
        )
        (self._folder / "setup.conf").write_text(
            f"create_certs_tool = {shutil.which('swtpm_localca')}\n"
            f"create_certs_tool_config = {self._folder}/localca.conf\n"
            f"create_certs_tool_options = {self._folder}/options\nactive_pcr_banks = sha256\n"
        )
        _run(
            *("swtpm_setup", "--tpm2", "--tpm-state", f"dir://{self._state}", "--create-ek-cert"),
            *("--config", f"{self._folder}/setup.conf"),
        )


@contextmanager
def soft_tpm() -> Iterator[SoftTpm]:
    with tempfile.TemporaryDirectory(prefix="verifield-tpm-") as folder:  # short: names of sockets are
        tpm = SoftTpm(Path(folder))
        tpm.plug()
        try:
            yield tpm
        finally:
            tpm.unplug()


def _run(*command: str) -> None:
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=SETUP_TIMEOUT_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert result.returncode == 0, result.stdout + result.stderr
