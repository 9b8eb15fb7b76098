"""What faults of a database mean: for a start, in plain words; for a transaction, whether to run it again."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from cloud.errors import SetupError

# Codes of SQLSTATE (PostgreSQL, appendix A); CockroachDB and YugabyteDB use the same ones.
_RERUN = {
    "40001",  # serialisation failure: CockroachDB and YugabyteDB ask for the whole transaction again
    "40P01",  # deadlock: another transaction went on, this one may now
    "55P03",  # a lock was not had in time
    "23505",  # another transaction was first with this key: the next run sees its row
    "53300",  # too many connections
    "57P03",  # the server starts, or recovers
}
_AWAY = {
    "57P01",  # the server, or this connection, was ended by its administrator
    "57P02",  # another process of the server crashed
    "25006",  # after a failover this is a replica: the address leads to the new primary
}
_LOST_CLASS = "08"  # of all codes of a broken connection
_UNKNOWN_END = "40003"  # the transaction may have been committed

# How SQLite says that another connection writes; of extended codes it is the lowest byte.
_SQLITE_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def is_lost(error: DBAPIError) -> bool:
    """Whether the connection is of no more use: a commit that failed so may have happened all the same."""
    state = _state(error)
    return error.connection_invalidated or state in _AWAY or state.startswith(_LOST_CLASS)


def may_run_again(error: DBAPIError, *, committing: bool) -> bool:
    """Whether the same work may succeed in a new transaction, and the failed one surely left nothing.

    ``committing``: the error came from the commit, whose end is unknown where the connection was lost.
    """
    state = _state(error)
    if state == _UNKNOWN_END:
        return False
    if is_lost(error):
        return not committing
    if isinstance(error.orig, sqlite3.OperationalError):
        # There are none in errors that the driver raises by itself, as for a closed connection.
        return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in _SQLITE_BUSY
    return state in _RERUN


def to_setup_error(error: SQLAlchemyError) -> SetupError:
    """What a fault of the database means at a start, in the driver's words, which hold no parameters."""
    if isinstance(error, PoolTimeoutError):
        return _unusable("no connection became free in time")
    if not isinstance(error, DBAPIError):
        return _unusable(type(error).__name__)
    words = " ".join(str(error.orig).split()).rstrip(".")
    for texts, code, sentence, hint in _AT_START:
        if any(text in words for text in texts):
            return SetupError(code, f"{sentence}: {words}.", hint=hint)
    if _state(error) == "42501":
        return SetupError(
            "DATABASE_PRIVILEGE",
            f"The database user lacks a right: {words}.",
            hint="Make the user of --database the owner of its database, or grant it what is missing.",
        )
    return _unusable(words)


# A connection that was refused has no SQLSTATE, only the text of libpq and of the server.
_AT_START = (
    (
        ("password authentication failed", "no password supplied", "no pg_hba.conf entry"),
        "DATABASE_LOGIN",
        "The database server did not let this service in",
        "Check user and password in --database (or PGPASSWORD, PGPASSFILE), and the server's pg_hba.conf.",
    ),
    (
        ("role ",),  # FATAL: role "x" does not exist
        "DATABASE_LOGIN",
        "The database server did not let this service in",
        "Check the user in --database, or create it with createuser.",
    ),
    (
        ("FATAL: database ",),  # FATAL: database "x" does not exist
        "DATABASE_MISSING",
        "The database server has no such database",
        "Create it with createdb, owned by the user of --database, or correct its name.",
    ),
    (
        (
            "Is the server running",
            "failed to resolve host",
            "timeout expired",
            "timed out",
            "could not connect",
            "the database system is",
            "server closed the connection",
        ),
        "DATABASE_AWAY",
        "The database server does not answer",
        "Check host and port in --database, that the server runs, and what lies between.",
    ),
)


def _unusable(words: str) -> SetupError:
    return SetupError(
        "DATABASE_UNUSABLE",
        f"The database cannot be used: {words}.",
        hint="Check --database, that its server runs, and that its file may be written; "
        "restore a damaged one from a backup.",
    )


def _state(error: DBAPIError) -> str:
    """The SQLSTATE; empty for SQLite, and where no server answered."""
    state: str | None = getattr(error.orig, "sqlstate", None)
    return state or ""
