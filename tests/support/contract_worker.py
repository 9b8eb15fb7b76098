"""A process that sends a contract again and again, and kills itself at another statement each time.

    python -m tests.support.contract_worker URL FOLDER ACCOUNT CONTRACT PLACES

It is killed first before the commit, then at about PLACES statements that are spread over all. It writes the
number of the statement at which a child died, waits for a line, and ends when one came through and was killed
right behind its commit.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from sqlalchemy import event
from sqlalchemy.engine import Engine

from tests.support.contract_desk import open_bench

NEVER = 1_000_000


def main() -> None:
    url, folder, account_id, contract_id, places = sys.argv[1:]

    def run(number: int) -> int:
        """The child's status; ``number`` 0: killed before it commits."""
        child = os.fork()
        if child == 0:
            _do(url, Path(folder), account_id, contract_id, number)
            os.kill(os.getpid(), signal.SIGKILL)  # sent, and then nothing more
        return os.waitpid(child, 0)[1]

    run(0)
    last = int((Path(folder) / "counted").read_text())
    print(last, flush=True)
    sys.stdin.readline()
    for number in range(1, last, max(1, round(last / int(places)))):
        assert os.WIFSIGNALED(run(number)), f"not killed at {number}"
        print(number, flush=True)
        sys.stdin.readline()
    run(NEVER)
    print("through", flush=True)


def _do(url: str, folder: Path, account_id: str, contract_id: str, number: int) -> None:
    with open_bench(url, folder) as bench:
        done = [0]

        def step(*_arguments: object) -> None:
            done[0] += 1
            if done[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)

        def commit(*_arguments: object) -> None:
            if number == 0:
                (folder / "counted").write_text(str(done[0]))
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(Engine, "before_cursor_execute", step)
        event.listen(Engine, "commit", commit)
        bench.send(account_id, contract_id)


if __name__ == "__main__":
    main()
