"""What SQLite and the disk say of the outbox, as the errors of the appliance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edge import sqlite
from edge.errors import StorageError
from edge.sqlite import StoreName

STORE = StoreName("OUTBOX", "The store of records")


@contextmanager
def storage_errors() -> Iterator[None]:
    """As ``edge.sqlite.storage_errors``; a damaged store names the command that saves what it holds."""
    try:
        with sqlite.storage_errors(STORE):
            yield
    except StorageError as error:
        if error.code == "OUTBOX_CORRUPT" and error.hint != _RECOVER:
            raise StorageError(error.code, error.message, hint=_RECOVER) from None
        raise


@contextmanager
def sql_errors() -> Iterator[None]:
    """As :func:`storage_errors`, for SQL alone: Python cannot pass on what SQLite says of a broken schema
    when the name in it is no text.
    """
    try:
        with storage_errors():
            yield
    except UnicodeDecodeError:
        raise corrupt("its schema is none") from None


def corrupt(why: str) -> StorageError:
    """OUTBOX_CORRUPT, for damage that SQLite itself does not notice. ``why`` holds no content."""
    return StorageError("OUTBOX_CORRUPT", f"{STORE.what} is damaged: {why}.", hint=_RECOVER)


_RECOVER = "Run: verifield-edge outbox recover. It keeps the file, and saves what can still be read."
