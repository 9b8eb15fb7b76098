"""Dumps of a PostgreSQL database by its own tools, at the moment of a transaction that holds it still."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, Connection

from cloud.errors import SetupError

_SNAPSHOT = re.compile(r"[0-9A-Fa-f-]{1,64}")
_PIPE_BYTES = 64 * 1024


def find_tool(name: str) -> str:
    """Path of one of PostgreSQL's programs, the newest where there are several.

    Raises:
        SetupError: BACKUP_TOOL: it is not here.
    """
    debian = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: path.parent.parent.name.zfill(4)
    )
    found = str(debian[-1]) if debian else shutil.which(name)
    if found is None:
        raise SetupError(
            "BACKUP_TOOL",
            f"PostgreSQL's program {name} is not on this machine.",
            hint="Install the client programs of the server's version, for example: apt-get install "
            "postgresql-client. CockroachDB, YugabyteDB and others have backup tools of their own.",
        )
    return found


def export_snapshot(connection: Connection) -> str:
    """Name of the view that ``connection``'s transaction has, for another process to share.

    Raises:
        SetupError: BACKUP_TOOL: the engine has none.
    """
    if connection.dialect.name != "postgresql":
        raise ValueError("only PostgreSQL hands out its views")
    name = str(connection.exec_driver_sql("SELECT pg_export_snapshot()").scalar_one())
    if not _SNAPSHOT.fullmatch(name):
        raise SetupError(
            "BACKUP_TOOL",
            "The database server gave its snapshot a name that cannot be used.",
            hint="Use the backup tools of the engine.",
        )
    return name


@contextmanager
def dumping(url: URL, snapshot: str) -> Iterator[IO[bytes]]:
    """The output of pg_dump in its custom format, of the view called ``snapshot``.

    Raises:
        SetupError: BACKUP_TOOL or BACKUP_FAILED.
    """
    options = ("--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}")
    command = [find_tool("pg_dump"), *options, "--dbname", conninfo(url)]
    with _running(command, url, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None  # noqa: S101 (it was asked for)
        yield process.stdout


def load_dump(url: URL, pieces: Iterator[bytes]) -> None:
    """Read a dump into the empty database at ``url``, in one transaction.

    Raises:
        SetupError: BACKUP_TOOL or BACKUP_FAILED; nothing was changed then.
    """
    options = ("--format=custom", "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error")
    command = [find_tool("pg_restore"), *options, "--dbname", conninfo(url)]
    with _running(command, url, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None  # noqa: S101
        with _ended_by_its_reader(process.stdin) as stdin:
            for piece in pieces:
                stdin.write(piece)


def conninfo(url: URL) -> str:
    """What libpq needs to know, without the password: command lines are for everybody to see."""
    given = url.translate_connect_args(username="user", database="dbname")
    given.pop("password", None)
    query = {key: value if isinstance(value, str) else ",".join(value) for key, value in url.query.items()}
    return make_conninfo("", **given, **query)


@contextmanager
def _ended_by_its_reader(stdin: IO[bytes]) -> Iterator[IO[bytes]]:
    with suppress(BrokenPipeError):  # why it stopped to read is told by its status
        yield stdin
        stdin.close()


@contextmanager
def _running(command: Sequence[str], url: URL, *, stdin: int) -> Iterator[subprocess.Popen[bytes]]:
    secret = {"PGPASSWORD": str(url.password)} if url.password else {}
    process = subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | secret | {"PGAPPNAME": "verifield-backup"},
    )
    drain = _Drain(process.stderr)
    try:
        yield process
        status = process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        problem = drain.text()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                _close_quietly(pipe.close)
    if status:
        raise SetupError(
            "BACKUP_FAILED",
            f"{Path(command[0]).name} ended with status {status}: {problem or 'it does not say why'}.",
            hint="Check the database's address, that its server runs, and that the tool is as new as it.",
        )


class _Drain:
    """Reads what a program says on its standard error beside the work, so that it never waits for us."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        self._said = b""
        self._pipe = pipe
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def text(self) -> str:
        """The first line of what was said, once the program has ended."""
        self._thread.join()
        lines = self._said.decode(errors="replace").strip().splitlines()
        return lines[0].rstrip(".") if lines else ""

    def _read(self) -> None:
        while self._pipe and (piece := self._pipe.read(_PIPE_BYTES)):
            self._said = (self._said + piece)[:_PIPE_BYTES]


def _close_quietly(close: Callable[[], None]) -> None:
    with suppress(BrokenPipeError):
        close()
