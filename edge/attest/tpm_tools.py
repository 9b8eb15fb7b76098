"""Runs the commands of tpm2-tools against one TPM: the only place that starts them.

Arguments are lists, never a shell's line. Everything that goes in or comes out, secrets above all,
passes through files in memory (memfd_create(2)): nothing is on a command line or on the disk, and
nothing is left behind by a process that is killed.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edge.attest.keys import taking_turns
from edge.attest.keystore_rules import store_away
from edge.errors import SetupError

TOOL_TIMEOUT_S = 30.0
"""A discrete TPM may take seconds to make a key; one that says nothing for this long hangs."""
PRIME_TIMEOUT_S = 180.0
"""An RSA primary key is found by search: up to minutes on the slowest TPMs."""
MAX_OUTPUT_BYTES = 64 * 1024
"""Contexts and certificates have a few thousand bytes."""

RC_HANDLE = 0x08B
RC_BAD_AUTH = 0x0A2
RC_NV_UNINITIALIZED = 0x14A
RC_NV_DEFINED = 0x14C
RC_OBJECT_MEMORY = 0x902
RC_SESSION_MEMORY = 0x903
RC_OTHER = 0
"""The tool failed without a code of the TPM."""

_LEFT_OVER = {RC_OBJECT_MEMORY: "--transient-object", RC_SESSION_MEMORY: "--loaded-session"}
"""What fills a TPM without a resource manager: objects that tools loaded, sessions of tools that were
killed. What is still needed is saved in contexts, so all of it may go."""
_EXIT_TCTI = 4  # tpm2(1), exit codes: the transmission interface failed
_LAYER_TCTI = 0xA
_CODE = re.compile(r"\(0x([0-9A-Fa-f]{1,8})\)")
_HINT_AWAY = (
    "Check that the TPM is enabled in the firmware, that tpm2-tools is installed, that this user may open "
    "it (group tss), and the setting tpm_tcti. Keys in hardware are never replaced by keys in software."
)


@dataclass(frozen=True, slots=True)
class Given:
    """An argument that names a file with these bytes; ``prefix`` stands before its name."""

    content: bytes = field(repr=False)
    prefix: str = ""


class _Wanted:
    """An argument that names an empty file, whose content is wanted afterwards."""


WANTED = _Wanted()

Argument = str | Given | _Wanted


class TpmRefusedError(SetupError):
    """The TPM, or the tool, said no. ``rc``: its response code without the parts that vary (Part 2, 6.6)."""

    def __init__(self, tool: str, rc: int) -> None:
        said = f"response code {rc:#05x}" if rc else "without a code"
        super().__init__(
            "KEY_STORE_REFUSED",
            f"The TPM refused {tool} ({said}).",
            hint="Look the code up with tpm2_rc_decode. 0x0a2: the owner has a password, which this "
            "device must not have; 0x09f: the key is of another TPM, or the TPM was cleared.",
        )
        self.rc = rc


def authorised_by(auth: str) -> Given:
    """Return the argument that hands ``auth`` to a tool."""
    return Given(auth.encode(), prefix="file:")


@dataclass(frozen=True, slots=True)
class TpmTools:
    """One TPM, reached through ``tcti`` (tpm2-tools' name for it, such as ``device:/dev/tpmrm0``).

    A TPM without a resource manager has room for the work of one tool: they take turns at ``lock``, over
    all threads and processes of the device.
    """

    tcti: str
    lock: Path

    def run(self, tool: str, *arguments: Argument, timeout_s: float = TOOL_TIMEOUT_S) -> list[bytes]:
        """Run ``tool`` and return what it wrote into each WANTED file, in their order.

        Raises:
            TpmRefusedError: the TPM said no.
            SetupError: KEY_STORE_AWAY.
        """
        with ExitStack() as stack:
            wanted: list[int] = []
            passed: list[int] = []
            command = [tool]
            for argument in arguments:
                if isinstance(argument, str):
                    command.append(argument)
                    continue
                given = argument if isinstance(argument, Given) else Given(b"")
                descriptor = stack.enter_context(memory_file(given.content))
                passed.append(descriptor)
                if isinstance(argument, _Wanted):
                    wanted.append(descriptor)
                command.append(given.prefix + file_name(descriptor))
            self._start(command, passed, timeout_s)
            return [read_memory(descriptor) for descriptor in wanted]

    def ask(self, tool: str, *arguments: str) -> str:
        """Run ``tool`` and return what it says; errors as :meth:`run`."""
        return self._start([tool, *arguments], [], TOOL_TIMEOUT_S)

    def run_with(self, tool: str, *arguments: str, files: tuple[int, ...]) -> None:
        """As :meth:`run`, over files in memory that several commands share; arguments name them already."""
        self._start([tool, *arguments], list(files), TOOL_TIMEOUT_S)

    def _start(self, command: list[str], passed: list[int], timeout_s: float) -> str:
        with taking_turns(self.lock):
            try:
                return self._start_once(command, passed, timeout_s)
            except TpmRefusedError as error:
                if error.rc not in _LEFT_OVER:
                    raise
                self._start_once(["tpm2_flushcontext", _LEFT_OVER[error.rc]], [], timeout_s)
                return self._start_once(command, passed, timeout_s)

    def _start_once(self, command: list[str], passed: list[int], timeout_s: float) -> str:
        tool = command[0]
        try:
            result = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout_s,
                check=False,
                pass_fds=passed,
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TPM2TOOLS_TCTI": self.tcti},
            )
        except FileNotFoundError:
            raise store_away("The TPM", f"the command {tool} is not installed", hint=_HINT_AWAY) from None
        except OSError as error:
            raise store_away(
                "The TPM", f"{tool} cannot be started: {error.strerror}", hint=_HINT_AWAY
            ) from None
        except subprocess.TimeoutExpired:
            raise store_away(
                "The TPM", f"{tool} had no answer for {timeout_s:.0f} s", hint=_HINT_AWAY
            ) from None
        if result.returncode != 0:
            raise _to_error(tool, result.returncode, result.stderr.decode("utf-8", "replace"))
        return result.stdout.decode("utf-8", "replace")


@contextmanager
def memory_file(content: bytes) -> Iterator[int]:
    """Yield the descriptor of a file in memory with ``content``, gone at the end."""
    descriptor = os.memfd_create("verifield")
    try:
        os.write(descriptor, content)
        yield descriptor
    finally:
        os.close(descriptor)


def read_memory(descriptor: int) -> bytes:
    """Return what the file in memory holds now."""
    return os.pread(descriptor, MAX_OUTPUT_BYTES, 0)


def file_name(descriptor: int) -> str:
    """Return the name under which a child process that inherits it opens the file."""
    return f"/dev/fd/{descriptor}"


def judge_code(code: int) -> int:
    """Return a response code without the number of the handle, parameter or session that it is about."""
    return code & 0x0BF if code & 0x080 else code & 0x97F


def _to_error(tool: str, status: int, text: str) -> SetupError:
    codes = [int(found, 16) for found in _CODE.findall(text)]
    code = codes[-1] if codes else RC_OTHER
    if status == _EXIT_TCTI or code >> 16 == _LAYER_TCTI or "Could not load tcti" in text:
        return store_away("The TPM", f"{tool} cannot reach it", hint=_HINT_AWAY)
    return TpmRefusedError(tool, judge_code(code & 0xFFF) if code else RC_OTHER)
