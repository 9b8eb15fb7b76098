"""A process that does one thing again and again, and kills itself at one statement further each time.

    python -m tests.support.certification_worker URL FOLDER ACTION ACCOUNT APPLICATION

It writes the number of the statement at which a child died, waits for a line, and ends when one came through.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from sqlalchemy import event
from sqlalchemy.engine import Engine

from cloud.reviews.port import Decision, Outcome
from tests.support.certification_desk import Bench, open_bench


def main() -> None:
    url, folder, action, account_id, application_id = sys.argv[1:]
    number = 0
    while True:
        number += 1
        child = os.fork()
        if child == 0:
            _do(url, Path(folder), action, account_id, application_id, number)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        died = os.WIFSIGNALED(status)
        print(number if died else f"through {status}", flush=True)
        if not died:
            return
        sys.stdin.readline()


def _do(url: str, folder: Path, action: str, account_id: str, application_id: str, number: int) -> None:
    with open_bench(url, folder) as bench:
        left = [number]

        def step(*_arguments: object) -> None:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(Engine, "before_cursor_execute", step)
        event.listen(Engine, "commit", step)
        _act(bench, action, account_id, application_id)


def _act(bench: Bench, action: str, account_id: str, application_id: str) -> None:
    if action == "submit":
        bench.run(lambda connection: bench.desk.submit(connection, account_id, application_id, etag=""))
        return
    task = bench.task(application_id, account_id)
    bench.run(lambda connection: bench.handler.decided(connection, task, Decision(Outcome.PASSED)))


if __name__ == "__main__":
    main()
