"""No list and no job of bank verification reads a whole table, on either database."""

from __future__ import annotations

from collections.abc import Callable

from cloud.store import bank, banks, customers
from cloud.store.database import Store, StoreOptions
from tests.unit.test_cloud_lists import is_scan, plans


def test_all_that_is_looked_up_has_an_index(database_url: str) -> None:
    store = Store.open(database_url, StoreOptions(require_durable=False))
    try:
        with store.writing() as connection:
            asked: dict[str, Callable[[], object]] = {
                "records": lambda: bank.list_records(connection, "c", behind="f", limit=5),
                "newest records": lambda: bank.list_records(connection, "c", behind="", limit=5),
                "number": lambda: bank.record_by_number(connection, "2026-000001"),
                "record of a session": lambda: bank.record_of_session(connection, "s"),
                "request": lambda: bank.get_request(connection, "r"),
                "signature": lambda: bank.get_signature(connection, "s"),
                "due": lambda: bank.due_sessions(connection, now_us=1, limit=5),
                "due of a device": lambda: bank.due_sessions(connection, now_us=1, limit=5, device_id="d"),
                "to clear": lambda: bank.sessions_to_clear(connection, before_us=1, limit=5),
                "banks": lambda: banks.list_banks(connection, behind="a", limit=5),
                "offered banks": lambda: banks.list_banks(connection, behind="a", limit=5, enabled_only=True),
                "card": lambda: customers.find_customer(connection, [b"1", b"2"]),
                "version": lambda: customers.get_version(connection, "c", 1),
                "organisations": lambda: customers.organisations_of(connection, "c"),
            }
            for name, ask in asked.items():
                for plan in plans(connection, ask):
                    whole = [line for line in plan.splitlines() if "Seq Scan" in line or is_scan(line)]
                    assert not whole, f"{name}: {plan}"
    finally:
        store.close()
