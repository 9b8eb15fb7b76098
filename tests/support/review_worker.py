"""A process that submits papers until it is killed, each with its review task, in one transaction.

    python -m tests.support.review_worker URL FOLDER FIRST COUNT

Papers that are there already were submitted: it goes on with the others, as a client does that repeats. Says
"ready" before the first one.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sqlalchemy import Connection, select

from cloud.reviews.port import Applicant
from tests.support.reviews import Office, office, papers, submit


def submit_once(desk: Office, number: int) -> None:
    subject = f"papers/{number}"

    def work(connection: Connection) -> None:
        found = connection.execute(select(papers.c.subject).where(papers.c.subject == subject)).first()
        if found is None:
            applicant = Applicant(f"0198aaaa-0000-7000-8000-{number:012d}")
            submit(connection, desk.reviews, subject, applicant=applicant)

    desk.run(work)


def main(url: str, folder: str, first: str, count: str) -> None:
    with office(url, Path(folder), fresh=False) as desk:
        print("ready", flush=True)
        for number in range(int(first), int(first) + int(count)):
            submit_once(desk, number)
    print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
