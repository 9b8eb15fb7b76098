"""The ledger of verifications by hand outlives a restore and the erasure of people, whole and guarded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError

from cloud.backup.create import Terms, create_backup
from cloud.backup.restore import Check, restore_backup
from cloud.commands.keys import sealed_tables
from cloud.config import Config
from cloud.sources import Sources
from cloud.store.sealed import forget_person
from cloud.verifications.ledger import page_of_ledger
from tests.support.accounts import in_database
from tests.support.authorities import somebody
from tests.support.identity import manual_request, running_identity
from tests.support.postgres import fresh_database
from verifield.certificates import load_roots

CLERK = somebody(77).id_number
WHOLE = {"start_us": 0, "end_us": 2**63 - 1}
SOURCES = Sources.system()


def quiet(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


@contextmanager
def target(url: str | None) -> Iterator[str | None]:
    if url is None:
        yield None
        return
    with fresh_database() as fresh:
        yield fresh


def test_a_restored_ledger_is_whole_and_refuses_changes(tmp_path: Path, database_url: str) -> None:
    data = tmp_path / "data"
    url = None if database_url.startswith("sqlite") else database_url
    with running_identity(data, database=url) as room:
        clerk = room.staff("li.wei", id_number=CLERK)
        for _ in range(2):
            room.as_staff(clerk, "RecordManualVerification", manual_request(room.holder().account_id))
    config = Config(data=data, database=url, require_durable_database=False)
    backup = create_backup(config, tmp_path / "backups", Terms(None, quiet), SOURCES).folder
    check = Check(load_roots((data / "root.pem").read_bytes()), None, quiet)
    with target(url) as fresh:
        restore_backup(backup, tmp_path / "back", check, SOURCES, database=fresh)
        again = Config(data=tmp_path / "back", database=fresh, require_durable_database=False)
        engine = create_engine(again.database_url)
        with engine.connect() as connection:
            assert [one.number for one in page_of_ledger(connection, **WHOLE)] == [1, 2]
        for statement in ("UPDATE manual_ledger SET note = 'x'", "DELETE FROM manual_ledger"):
            with pytest.raises(DBAPIError, match="never changed"), engine.begin() as connection:
                connection.execute(text(statement))
        engine.dispose()


def test_who_is_erased_leaves_the_ledger_whole_and_verifies_nobody_any_more(
    tmp_path: Path, database_url: str
) -> None:
    """The account's and the clerk's keys go: an entry names both by their ids alone."""
    with running_identity(tmp_path, database=database_url) as room:
        clerk, holder = room.staff("li.wei", id_number=CLERK), room.holder(somebody(1))
        room.as_staff(clerk, "RecordManualVerification", manual_request(holder.account_id))

        def erase(connection: Connection, _room: object) -> None:
            for person_id in (holder.account_id, clerk.user.user_id):
                forget_person(connection, sealed_tables(), person_id, now_us=1)

        in_database(room.cloud, erase)
        with room.cloud.database() as connection:
            [entry] = page_of_ledger(connection, **WHOLE)
            assert entry.account_id == holder.account_id
            [staff] = connection.execute(text("SELECT id_number, id_mark FROM staff_identities")).all()
        assert tuple(staff) == (None, None)
        request = manual_request(room.holder().account_id)
        refused = room.staff_refused(clerk, "RecordManualVerification", request)
        assert refused.reason == "STAFF_IDENTITY_REQUIRED"
