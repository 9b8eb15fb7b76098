"""docs/scale.md: its statements hold for the schema, and the plan adds up to what was measured."""

from __future__ import annotations

import re

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import UniqueConstraint

from benchmarks import capacity
from benchmarks.capacity import Cost, Fleet, Measured, plan
from benchmarks.machine import RESULTS, ROOT
from cloud.store.database import Store, StoreOptions
from cloud.store.schema import metadata

PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_page_says_of_each_table_how_it_is_partitioned() -> None:
    named = set(re.findall(r"\w+", section("What is partitioned by what")))
    assert set(metadata.tables) <= named
    rows = dict(re.findall(r"\| `?(\w+)`? \| (.*) \|", section("What is partitioned by what")))
    by_device = set(rows["device_id"].split(", "))
    assert by_device == {
        name for name, table in metadata.tables.items() if next(iter(table.primary_key)).name == "device_id"
    }
    for name in by_device:  # so that an engine can keep a device together
        others = {key.column.table.name for key in metadata.tables[name].foreign_keys} - {"devices"}
        assert not others


def test_the_page_names_each_unique_key_that_lacks_its_distribution_column() -> None:
    """As Citus asks for."""
    lacking = {
        f"{name}_{'_'.join(column.name for column in key.columns)}_key"
        for name, table in metadata.tables.items()
        if next(iter(table.primary_key)).name == "device_id"
        for key in table.constraints
        if isinstance(key, UniqueConstraint) and "device_id" not in {one.name for one in key.columns}
    }
    assert lacking == set(re.findall(r"DROP CONSTRAINT (\w+)", section("Distributed engines")))


def test_the_newest_schema_can_be_made_at_once(postgres_url: str) -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(code.replace("postgresql+psycopg://verifield@host/verifield", postgres_url), {})
    store = Store.open(postgres_url, StoreOptions(require_durable=False))
    try:
        with store.reading() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    finally:
        store.close()


def test_a_cost_has_a_part_for_each_and_a_part_for_the_batch() -> None:
    cost = Cost.fit({1: 110.0, 10: 20.0, 100: 11.0})
    assert cost.each == pytest.approx(10.0)
    assert cost.batch == pytest.approx(100.0)
    assert cost.at(10) == pytest.approx(20.0)


def test_the_plan_meets_the_batches_between_those_that_it_is_made_from() -> None:
    measured = Measured.read()
    for one in capacity.read_result("storage")["storage"]:
        stored = measured.stored[one["engine"]].at(one["batch"]) + one["envelope_bytes"]
        assert stored == pytest.approx(one["total_bytes_each"], rel=0.05), one


def test_a_plan_is_simple_arithmetic() -> None:
    measured = Measured(
        {"SQLite": Cost(100.0, 50.0)}, Cost(200.0, 0.0), Cost(300.0, 0.0), Cost(1.0, 0.0), Cost(0.5, 0.0)
    )
    lines = dict(plan(Fleet(86_400, 10.0, 900.0, 1.0, 4.0), measured))
    assert lines["records a day"] == "864,000"
    assert lines["records a second, mean / peak"] == "10 / 40"
    assert lines["SQLite: bytes each, a day, a year"] == "1,050 B, 0.91 GB, 0.33 TB"
    assert lines["PostgreSQL: written ahead each, a day"] == "1,100 B, 0.95 GB"
    assert lines["cores of the service, mean / peak"] == "0.0 / 0.0"
    assert lines["network at the peak, up / down"] == "0 / 0 Mbit/s"
    large = dict(plan(Fleet(86_400_000, 10.0, 900.0, 1.0, 4.0), measured))
    assert large["cores of the service, mean / peak"] == "3.0 / 12.0"
    assert large["network at the peak, up / down"] == "288 / 144 Mbit/s"


def test_the_results_that_the_page_points_to_are_there() -> None:
    for name in set(re.findall(r"benchmarks/results/(\w+)\.md", PAGE)):
        assert (RESULTS / f"{name}.md").exists()
