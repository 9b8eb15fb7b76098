"""Several programs as one: started together, started again where one fails, ended together.

On an installed device systemd does this, with a unit for each (docs/operations.md); here is the same for a
terminal or a container: one process tree, one stop.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from edge.errors import ExitCode

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Before a program is started again; doubled each time that it ends soon after."""

STEADY_S = 60.0
"""Who has run so long is no longer counted as failing at its start."""

GRACE_S = 60.0
"""To end in: a session under way is recorded first."""

POLL_S = 0.2
HOPELESS = frozenset({int(ExitCode.USAGE), int(ExitCode.SETUP)})
"""A set-up that is wrong does not get right by trying again."""

Told = Callable[[str, str, int | None], None]
"""Name of the program; ``started``, ``ended``, ``stopped`` or ``killed``; its exit status, if it has one."""


@dataclass(slots=True)
class _Child:
    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    again_at: float = 0.0
    pause_s: float = field(default=FIRST_PAUSE_S)


def supervise(
    programs: Sequence[tuple[str, Sequence[str]]],
    *,
    stop: threading.Event,
    tell: Told,
    first_pause_s: float = FIRST_PAUSE_S,
    grace_s: float = GRACE_S,
) -> int:
    """Keep the programs (name and command) running until ``stop``; return an exit status.

    It is 0 after a stop, and a program's own where that can never run: all others are ended then.
    """
    children = [_Child(name, command, pause_s=first_pause_s) for name, command in programs]
    try:
        while not stop.is_set():
            for child in children:
                status = _look_after(child, tell, first_pause_s)
                if status in HOPELESS:
                    return status
            stop.wait(POLL_S)
        return int(ExitCode.OK)
    finally:
        _end(children, tell, grace_s)


def _look_after(child: _Child, tell: Told, first_pause_s: float) -> int | None:
    """Start it where it is time; return its status where it has just ended."""
    now = time.monotonic()
    if child.process is None:
        if now >= child.again_at:
            child.process = subprocess.Popen(child.command)
            child.started = now
            tell(child.name, "started", None)
        return None
    status = child.process.poll()
    if status is None:
        return None
    tell(child.name, "ended", status)
    child.process = None
    if now - child.started >= STEADY_S:
        child.pause_s = first_pause_s
    child.again_at = now + child.pause_s
    child.pause_s = min(LONGEST_PAUSE_S, 2 * child.pause_s)
    return status


def _end(children: Sequence[_Child], tell: Told, grace_s: float) -> None:
    running = [(child, child.process) for child in children if child.process is not None]
    for _, process in running:
        with suppress(ProcessLookupError):
            process.terminate()
    until = time.monotonic() + grace_s
    for child, process in running:
        try:
            status = process.wait(max(0.0, until - time.monotonic()))
            tell(child.name, "stopped", status)
        except subprocess.TimeoutExpired:
            process.kill()
            tell(child.name, "killed", process.wait())
