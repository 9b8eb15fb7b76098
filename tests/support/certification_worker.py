"""A process that does one thing again and again, and kills itself at another statement each time.

    python -m tests.support.certification_worker URL FOLDER ACTION ACCOUNT APPLICATION PLACES

It is killed first before the commit, then at about PLACES statements that are spread over all. It writes the
number of the statement at which a child died, waits for a line, and ends when one came through.
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
    url, folder, action, account_id, application_id, places = sys.argv[1:]

    def run(number: int) -> int:
        """The child's status; ``number`` 0: killed before it commits."""
        child = os.fork()
        if child == 0:
            _do(url, Path(folder), action, account_id, application_id, number)
            os._exit(0)
        return os.waitpid(child, 0)[1]

    counted = Path(folder) / "counted"
    run(0)
    last = int(counted.read_text())
    print(last, flush=True)
    sys.stdin.readline()
    stride = max(1, round(last / int(places)))
    for number in range(1, last, stride):
        status = run(number)
        assert os.WIFSIGNALED(status), f"not killed at {number}"
        print(number, flush=True)
        sys.stdin.readline()
    print(f"through {run(last + 1000)}", flush=True)


def _do(url: str, folder: Path, action: str, account_id: str, application_id: str, number: int) -> None:
    with open_bench(url, folder) as bench:
        done = [0]

        def step(*_arguments: object) -> None:
            done[0] += 1
            if done[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)

        def commit(*_arguments: object) -> None:
            step()
            if number == 0:
                (folder / "counted").write_text(str(done[0]))
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(Engine, "before_cursor_execute", step)
        event.listen(Engine, "commit", commit)
        _act(bench, action, account_id, application_id)


def _act(bench: Bench, action: str, account_id: str, application_id: str) -> None:
    if action == "submit":
        bench.run(lambda connection: bench.desk.submit(connection, account_id, application_id, etag=""))
        return
    task = bench.task(application_id, account_id)
    bench.run(lambda connection: bench.handler.decided(connection, task, Decision(Outcome.PASSED)))


if __name__ == "__main__":
    main()
