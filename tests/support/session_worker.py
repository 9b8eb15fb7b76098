"""A process that holds sessions until it is killed, as the pipeline does: the mark, a pause, the record.

    python -m tests.support.session_worker PATH

At its start it records what was cut off before, as every command does. For each line on standard input, a
seed, it forks a child; "PID n" and "END status" tell of it. A child says "begun ID", "done ID" and
"cut off ID", each once the store has promised it.
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

from edge.answers import SessionAnswers, SignedIn, SignInFactor
from edge.model import Decision, Evidence, Outcome, Standing
from edge.outbox.records import BegunSession
from edge.recorder import Recorder
from tests.support.appliance import Appliance, MemorySigner

LONGEST_SESSION_S = 0.004
OPERATOR = SignedIn("op-17", "clerk", frozenset({SignInFactor.PIN}))


def hold_sessions(recorder: Recorder, chance: random.Random, out: int, *, count: int) -> None:
    """Hold ``count`` sessions, one after the other."""
    with recorder.outbox.open_for_sessions():
        for _ in range(count):
            session = SessionAnswers(chance.randbytes(16), operator=OPERATOR)
            recorder.outbox.begin(BegunSession(session, Standing.DEGRADED))
            say(out, "begun", session.session_id)
            time.sleep(chance.random() * LONGEST_SESSION_S)
            recorder.record(
                Evidence(aborted="NO_CARD", session=session),
                Decision(Outcome.ABORTED, ("NO_CARD",)),
                standing=Standing.DEGRADED,
            )
            say(out, "done", session.session_id)


def record_cut_off(recorder: Recorder, out: int) -> None:
    ids = [begun.session.session_id for begun in recorder.outbox.begun()]
    assert len(recorder.record_cut_off()) in (0, len(ids))
    for session_id in ids:
        say(out, "cut off", session_id)


def say(out: int, what: str, session_id: bytes) -> None:
    os.write(out, f"{what} {session_id.hex()}\n".encode())


def run(path: Path, *, seed: int, out: int) -> None:
    recorder = Appliance(path, MemorySigner()).recorder()
    record_cut_off(recorder, out)
    hold_sessions(recorder, random.Random(seed), out, count=10_000)


def serve(path: Path) -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run(path, seed=int(line), out=1)
            os._exit(0)
        os.write(1, f"PID {child}\n".encode())
        _, status = os.waitpid(child, 0)
        os.write(1, f"END {status}\n".encode())


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
