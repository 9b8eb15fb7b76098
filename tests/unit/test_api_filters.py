"""Filters of lists mean what they say, point at what is wrong in them, and cost a bounded amount."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    create_engine,
    insert,
    select,
)

from cloud.api.filter_sql import Field, Keyed, choice, moment, number, read_filter, text
from cloud.api.filters import (
    MAX_CHARS,
    MAX_DEPTH,
    MAX_RESTRICTIONS,
    Junction,
    Node,
    Not,
    Restriction,
    parse_filter,
)
from cloud.attestations.lists import FIELDS as ATTESTATION_FIELDS
from cloud.devices.lists import ALARM_FIELDS, DEVICE_FIELDS
from cloud.errors import Reason, ServiceError
from cloud.store.scans import read_page
from cloud.users.lists import FIELDS as USER_FIELDS
from verifield.v1.device_service_pb2 import DeviceState

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

things = Table(
    "things",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", String(8), nullable=False),
    Column("state", Integer, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("seen_us", BigInteger),
    Column("room", String(8)),
)

FIELDS: dict[str, Field | Keyed] = {
    "name": text(things.c.name),
    "state": choice(things.c.state, DeviceState),
    "seq": number(things.c.seq),
    "seen": moment(things.c.seen_us),
    "labels": Keyed(lambda rows, key, value: rows.c[key].is_not(None) & (rows.c[key] == value)),
}


@dataclass(frozen=True)
class Thing:
    id: int
    name: str
    state: int
    seq: int
    seen_us: int | None
    room: str | None


THINGS = [
    Thing(
        id=number,
        name="abc"[number % 3],
        state=1 + number % 5,
        seq=number % 7,
        seen_us=None if number % 4 == 0 else (number % 4) * 1_000_000,
        room=None if number % 2 else "12",
    )
    for number in range(60)
]


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    with engine.begin() as opened:
        things.create(opened)
        opened.execute(insert(things), [vars(one) for one in THINGS])
        yield opened
    engine.dispose()


def found(connection: Connection, filter_text: str) -> list[int]:
    wanted = read_filter(filter_text, FIELDS)
    query = select(things.c.id).order_by(things.c.id)
    if wanted:
        query = query.where(wanted.condition(things))
    return list(connection.execute(query).scalars())


COMPARE: dict[str, Callable[[object, object], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def means(node: Node, thing: Thing) -> bool:
    """What a tree says of a thing, worked out without a database."""
    if isinstance(node, Not):
        return not means(node.node, thing)
    if isinstance(node, Junction):
        join = all if node.word == "AND" else any
        return join(means(one, thing) for one in node.nodes)
    compare = COMPARE[node.operator]
    if node.field == "labels.room":
        return (thing.room == node.value) is (node.operator == "=")
    if node.field == "seen":
        if thing.seen_us is None:
            return False
        wanted = (datetime.fromisoformat(node.value) - EPOCH) // timedelta(microseconds=1)
        return compare(thing.seen_us, wanted)
    if node.field == "state":
        return compare(thing.state, DeviceState.Value(f"DEVICE_STATE_{node.value}"))
    if node.field == "seq":
        return compare(thing.seq, int(node.value))
    return compare(thing.name, node.value)


ordered, equal = st.sampled_from(sorted(COMPARE)), st.sampled_from(["=", "!="])
restrictions = st.one_of(
    st.tuples(st.just("name"), ordered, st.sampled_from(["a", "b", "zz"])),
    st.tuples(st.just("state"), equal, st.sampled_from(["PENDING", "ACTIVE", "REPLACED"])),
    st.tuples(st.just("seq"), ordered, st.integers(0, 8).map(str)),
    st.tuples(st.just("seen"), ordered, st.integers(0, 4).map(lambda s: f"1970-01-01T00:00:0{s}+00:00")),
    st.tuples(st.just("labels.room"), equal, st.sampled_from(["12", "13"])),
).map(lambda parts: Restriction(*parts, 0, 0))


def junctions(nodes: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    many = st.lists(nodes, min_size=2, max_size=3).map(tuple)
    return st.one_of(nodes.map(Not), st.builds(Junction, st.sampled_from(["AND", "OR"]), many))


trees: st.SearchStrategy[Node] = st.recursive(restrictions, junctions, max_leaves=6)


def write(node: Node) -> str:
    """A tree as text, with parentheses around everything."""
    if isinstance(node, Not):
        return f"NOT ({write(node.node)})"
    if isinstance(node, Junction):
        return f" {node.word} ".join(f"({write(one)})" for one in node.nodes)
    return f'{node.field} {node.operator} "{node.value}"'


@settings(deadline=None, max_examples=200)
@given(tree=trees)
def test_a_filter_finds_what_it_means(connection: Connection, tree: Node) -> None:
    try:
        rows = found(connection, write(tree))
    except ServiceError as error:  # only for its size
        assert "at most" in error.message  # noqa: PT017 (not the error that is tested)
        return
    assert rows == [thing.id for thing in THINGS if means(tree, thing)]


@settings(deadline=None, max_examples=500)
@given(text=st.text(alphabet="abns =!<>()\"'\\.ANDORT10zé\0\n", max_size=40))
def test_any_text_is_a_filter_or_is_refused_at_a_place_in_it(text: str) -> None:
    try:
        read_filter(text, FIELDS)
    except ServiceError as error:
        assert error.reason is Reason.FILTER_INVALID  # noqa: PT017
        assert 1 <= int(error.metadata["position"]) <= len(text) + 1  # noqa: PT017


@pytest.mark.parametrize(
    ("filter_text", "position", "why"),
    [
        ("name", 5, "= is missing|one of"),
        ("name =", 7, "a value"),
        ('name = "a', 8, "no end"),
        ("name = a OR", 12, "the name of a field"),
        ("name = a b", 10, "AND or OR"),
        ("name = a AND seq = 1 OR seq = 2", 22, "parentheses"),
        ("(name = a", 10, "is missing"),
        ("name = a)", 9, "opens nowhere"),
        ("colour = red", 1, "fields are name"),
        ("state < ACTIVE", 1, "only be compared"),
        ("state = SLEEPY", 9, "ACTIVE, "),
        ("seq > many", 7, "a number"),
        ("seq > 9223372036854775808", 7, "a number"),
        ('seen > "yesterday"', 8, "a time"),
        ('seen > "2026-01-01"', 8, "a time"),
        ('seen > "2026-13-01T00:00:00Z"', 8, "a time"),
        ("labels = 12", 1, "no field labels"),
        ("name.first = a", 1, "no field"),
        ("labels.room > 12", 1, "only be compared"),
        ("name : a", 6, "no meaning|one of"),
        ('name = "a\nb"', 8, "printed"),
        ("AND = 1", 1, "the name of a field"),
        ("name = AND", 8, "a value"),
        ("#", 1, "no meaning"),
    ],
)
def test_an_error_points_at_the_place(filter_text: str, position: int, why: str) -> None:
    with pytest.raises(ServiceError, match=why) as caught:
        read_filter(filter_text, FIELDS)
    assert caught.value.metadata == {"position": str(position)}
    assert caught.value.violations[0].field == "filter"


def test_length_depth_and_number_of_comparisons_are_bounded(connection: Connection) -> None:
    last = "name = a"
    longest = last + " " * (MAX_CHARS - len(last))
    deepest = "(" * MAX_DEPTH + last + ")" * MAX_DEPTH
    widest = " OR ".join([last] * MAX_RESTRICTIONS)
    expected = found(connection, last)
    for good in (longest, deepest, "NOT " * MAX_DEPTH + last, widest):
        assert found(connection, good) == expected
    for bad in (longest + " ", f"({deepest})", "NOT " * (MAX_DEPTH + 1) + last, f"{widest} OR {last}"):
        with pytest.raises(ServiceError, match="at most"):
            read_filter(bad, FIELDS)


def test_values_are_written_with_quotation_marks_or_without() -> None:
    for filter_text in ("name=a", "name = 'a'", 'name = "a"', "  name  =  a  "):
        node = parse_filter(filter_text)
        assert isinstance(node, Restriction)
        assert (node.field, node.operator, node.value) == ("name", "=", "a")
    node = parse_filter(r'name = "say \"a\\b\""')
    assert isinstance(node, Restriction)
    assert node.value == r'say "a\b"'


def test_what_would_be_sql_is_a_value(connection: Connection) -> None:
    assert found(connection, "name = \"a' OR '1'='1\"") == []
    assert found(connection, 'name = "%"') == []


def test_an_empty_filter_filters_nothing(connection: Connection) -> None:
    assert read_filter("  ", FIELDS) is None
    assert len(found(connection, "")) == len(THINGS)


def test_only_what_must_hold_is_pinned() -> None:
    def pinned(filter_text: str) -> str | None:
        wanted = read_filter(filter_text, FIELDS)
        assert wanted is not None
        return wanted.pinned("name")

    assert pinned("name = a") == pinned("seq > 1 AND name = a") == "a"
    for loose in ("name != a", "NOT name = a", "name = a OR seq > 1", "(name = a OR seq > 1) AND seq > 1"):
        assert pinned(loose) is None


@pytest.mark.parametrize("fields", [DEVICE_FIELDS, ALARM_FIELDS, ATTESTATION_FIELDS, USER_FIELDS])
def test_every_field_of_every_list_can_be_asked_for(fields: dict[str, Field | Keyed]) -> None:
    for name, field in fields.items():
        if isinstance(field, Keyed):
            assert read_filter(f"{name}.room = 12", fields)
        else:
            values = ("ACTIVE", "REFUSED", "VERIFIED", "VERIFICATION", "TPM", "1", '"2026-01-01T00:00:00Z"')
            assert any(is_taken(f"{name} = {value}", fields) for value in values)


def is_taken(filter_text: str, fields: dict[str, Field | Keyed]) -> bool:
    try:
        return read_filter(filter_text, fields) is not None
    except ServiceError:
        return False


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(("size", "scanned"), [(1, 5), (7, 5), (100, 5), (4, 60), (4, 61)])
def test_pages_with_a_filter_bring_every_row_once_at_a_bounded_cost(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, descending: bool, size: int, scanned: int
) -> None:
    monkeypatch.setattr("cloud.store.scans.SCANNED_ROWS", scanned)
    wanted = read_filter("name = a AND seq > 3", FIELDS)
    assert wanted is not None
    order = things.c.id.desc() if descending else things.c.id
    seen: list[int] = []
    behind: int | None = None
    for _ in range(200):
        at = behind

        def read(limit: int, at: int | None = at) -> Select[Any]:
            assert limit <= max(scanned, size + 1)
            query = select(things).order_by(order).limit(limit)
            if at is None:
                return query
            return query.where(things.c.id < at if descending else things.c.id > at)

        page = read_page(
            connection,
            read,
            size=size,
            position="id",
            descending=descending,
            condition=wanted.condition,
        )
        assert len(page.rows) <= size
        seen += [row.id for row in page.rows]
        if page.end is None:
            break
        behind = page.end
    expected = [thing.id for thing in THINGS if thing.name == "a" and thing.seq > 3]
    assert seen == (expected[::-1] if descending else expected)
