"""Starting, asking and stopping the commands that take part."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

START_TIMEOUT_S = 60.0  # the first start compiles and loads models on a slow machine
STOP_TIMEOUT_S = 20.0
COMMAND_TIMEOUT_S = 180.0


class StoryError(Exception):
    """A step did not go as said."""


def command_path(name: str) -> str:
    """The command beside the Python that runs this."""
    return str(Path(sys.executable).parent / name)


def ask(
    *args: str, cwd: Path, expect: tuple[int, ...] = (0,), stdin: str = "", show_stderr: bool = False
) -> dict[str, Any]:
    """Run a command with ``--json`` to its end and return its one object.

    Raises:
        StoryError: an exit status that is not in ``expect``, output that is not one JSON object, or no end.
    """
    answers = ask_lines(*args, cwd=cwd, expect=expect, stdin=stdin, show_stderr=show_stderr)
    if len(answers) != 1:
        raise StoryError(f"`{' '.join(args)}` printed {len(answers)} JSON objects, not one")
    return answers[0]


def ask_lines(
    *args: str, cwd: Path, expect: tuple[int, ...] = (0,), stdin: str = "", show_stderr: bool = False
) -> list[dict[str, Any]]:
    """Run a command with ``--json`` to its end and return its objects, one from each line.

    Raises:
        StoryError: as ``ask``.
    """
    try:
        done = subprocess.run(
            [command_path(args[0]), *args[1:], "--json"],
            cwd=cwd,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=None if show_stderr else subprocess.PIPE,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StoryError(f"`{' '.join(args)}` did not end within {COMMAND_TIMEOUT_S:.0f} s") from None
    if done.returncode not in expect:
        raise StoryError(
            f"`{' '.join(args)}` ended with {done.returncode}:\n{done.stdout}{done.stderr or ''}"
        )
    return [_parse(line, args) for line in done.stdout.splitlines()]


def ask_and_stop(*args: str, cwd: Path, when: str, expect: int) -> dict[str, Any]:
    """Start a command, interrupt it once ``when`` stands on its standard error, and return its one object.

    Raises:
        StoryError: ``when`` never came, or as ``ask``.
    """
    with subprocess.Popen(
        [command_path(args[0]), *args[1:], "--json"],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            seen = process.stderr is not None and any(when in line for line in process.stderr)
            process.send_signal(signal.SIGINT)
            stdout, _ = process.communicate(timeout=COMMAND_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise StoryError(f"`{' '.join(args)}` did not obey Ctrl-C") from None
    if not seen or process.returncode != expect:
        raise StoryError(f"`{' '.join(args)}` ended with {process.returncode} before Ctrl-C:\n{stdout}")
    return _parse(stdout, args)


def _parse(text: str, args: tuple[str, ...]) -> dict[str, Any]:
    try:
        answer = json.loads(text)
    except json.JSONDecodeError:
        raise StoryError(f"`{' '.join(args)}` did not print one JSON object:\n{text}") from None
    if not isinstance(answer, dict):
        raise StoryError(f"`{' '.join(args)}` printed {type(answer).__name__}, not an object")
    return answer


class Service:
    """A command that runs until it is stopped; its errors go to a log file."""

    def __init__(self, process: subprocess.Popen[str], name: str, log: Path) -> None:
        self._process = process
        self._name = name
        self._log = log

    @classmethod
    def start(cls, *args: str, cwd: Path, log: Path) -> Service:
        """Start; standard output stays a pipe for ``endpoints``."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as errors:
            process = subprocess.Popen(
                [command_path(args[0]), *args[1:]],
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
        return cls(process, args[0], log)

    def endpoints(self) -> dict[str, Any]:
        """Wait for the one JSON line that says where the service listens."""
        stdout = self._process.stdout
        if stdout is None:
            raise StoryError(f"{self._name} has no output")
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            if not selector.select(START_TIMEOUT_S):
                raise StoryError(
                    f"{self._name} did not start within {START_TIMEOUT_S:.0f} s; see {self._log}"
                )
        line = stdout.readline()
        if not line:
            raise StoryError(f"{self._name} ended at once:\n{self._log.read_text()[-2000:]}")
        endpoints = json.loads(line)
        if not isinstance(endpoints, dict):
            raise StoryError(f"{self._name} printed {line!r}")
        return endpoints

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """Ask to end, and wait; a service that does not obey is killed and the story fails."""
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise StoryError(f"{self._name} did not stop within {STOP_TIMEOUT_S:.0f} s") from None
        finally:
            if self._process.stdout is not None:
                self._process.stdout.close()


def wait_until(what: str, condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Poll until ``condition()`` is true.

    Raises:
        StoryError: it did not become true in time.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise StoryError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(0.2)
