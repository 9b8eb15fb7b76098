"""Tasks: what they may hold, and that they tell no more of a person than they must."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.authority import NOW
from tests.support.tasks import NUMBER, SALT, account_task, contract_task
from verifield.errors import Malformed, Unknown
from verifield.tasks import (
    MAX_MASKED_CHARS,
    MAX_PARTY_CHARS,
    MAX_TASK_BYTES,
    MAX_TASK_LIFE,
    MAX_TITLE_CHARS,
    Task,
    awaits,
    commit_number,
    encode_task,
    mask_name,
    parse_account_task,
    parse_contract_task,
    task_times,
)
from verifield.v1.policy_pb2 import SESSION_STEP_CONSENT, SessionStep
from verifield.v1.task_pb2 import AccountTask, ContractTask


def test_a_task_comes_back_as_it_was() -> None:
    assert parse_account_task(encode_task(account_task("a"))) == account_task("a")
    assert parse_contract_task(encode_task(contract_task("a"))) == contract_task("a")
    times = task_times(account_task("a"))
    assert (times.issued, times.expires) == (NOW, NOW + timedelta(days=30))


def expire(task: Task, life: timedelta) -> None:
    task.expire_time.FromDatetime(NOW + life)


BREAKS: dict[str, Callable[[ContractTask], object]] = {
    "id": lambda task: setattr(task, "task_id", "no-uuid"),
    "contract": lambda task: setattr(task, "contract_id", "with space"),
    "nonce": lambda task: setattr(task, "nonce", bytes(31)),
    "document": lambda task: setattr(task, "document_sha256", b""),
    "title missing": lambda task: setattr(task, "title", ""),
    "title": lambda task: setattr(task, "title", "x" * (MAX_TITLE_CHARS + 1)),
    "party": lambda task: setattr(task, "party", "x" * (MAX_PARTY_CHARS + 1)),
    "line break": lambda task: setattr(task, "party", "a\nb"),
    "no person": lambda task: task.ClearField("person"),
    "name": lambda task: setattr(task.person, "masked_name", "A" + "*" * MAX_MASKED_CHARS),
    "open name": lambda task: setattr(task.person, "masked_name", "Ana R***"),
    "open end": lambda task: setattr(task.person, "masked_name", "A**a"),
    "no name": lambda task: setattr(task.person, "masked_name", ""),
    "document type": lambda task: setattr(task.person, "document_type", 0),
    "digest": lambda task: setattr(task.person, "number_digest", bytes(31)),
    "salt": lambda task: setattr(task.person, "number_salt", bytes(31)),
    "step twice": lambda task: task.steps.extend([SESSION_STEP_CONSENT] * 2),
    "step without a name": lambda task: task.steps.append(SessionStep.ValueType(0)),
    "no issue time": lambda task: task.ClearField("issue_time"),
    "no expiry": lambda task: task.ClearField("expire_time"),
    "at once": lambda task: expire(task, timedelta(0)),
    "too long": lambda task: expire(task, MAX_TASK_LIFE + timedelta(microseconds=1)),
}


@pytest.mark.parametrize("rule", BREAKS)
def test_a_broken_rule_is_refused_before_sending_and_on_arrival(rule: str) -> None:
    task = contract_task("a")
    BREAKS[rule](task)
    with pytest.raises(Malformed):
        encode_task(task)
    with pytest.raises(Malformed):
        parse_contract_task(task.SerializeToString())


def test_each_limit_itself_is_allowed() -> None:
    task = contract_task("a", title="一" * MAX_TITLE_CHARS)
    task.party = "x" * MAX_PARTY_CHARS
    task.person.masked_name = "A" + "*" * (MAX_MASKED_CHARS - 1)
    task.ClearField("steps")
    task.steps.extend(SessionStep.ValueType(number) for number in SessionStep.values() if number)
    expire(task, MAX_TASK_LIFE)
    content = encode_task(task)
    assert parse_contract_task(content) == task
    assert len(content) < MAX_TASK_BYTES / 2
    with pytest.raises(Malformed) as error:
        parse_contract_task(content + bytes(MAX_TASK_BYTES))
    assert error.value.code == "TOO_LARGE"


def test_what_a_later_version_added_is_refused_not_skipped() -> None:
    with pytest.raises(Unknown):
        parse_account_task(encode_task(contract_task("a")))  # fields that an account's task has not
    with pytest.raises(Unknown):
        encode_task(AccountTask.FromString(account_task("a").SerializeToString() + b"\xa0\x06\x01"))


def test_a_card_is_told_from_another_without_its_number_in_the_task() -> None:
    person = account_task("a").person
    assert awaits(person, NUMBER)
    assert not awaits(person, NUMBER[:-1] + "8")
    assert NUMBER.encode() not in encode_task(account_task("a"))
    assert commit_number(NUMBER, salt=SALT).digest != commit_number(NUMBER, salt=bytes(32)).digest


@pytest.mark.parametrize(
    ("name", "masked"),
    [
        ("王小明", "王**"),
        ("王", "*"),
        ("Ana María Ruiz", "A** M**** R***"),
        ("  A   b ", "* *"),
        ("***", "*"),
        ("", "*"),
        ("Wolfeschlegelsteinhausen " * 4, "W" + "*" * 23 + " W" + "*" * 23),
    ],
)
def test_a_name_shows_its_first_characters_only(name: str, masked: str) -> None:
    assert mask_name(name) == masked


@given(st.text(st.characters(categories=["L", "Zs"]), max_size=200))
def test_every_masked_name_is_one_that_a_task_may_show(name: str) -> None:
    task = account_task("a")
    task.person.masked_name = mask_name(name)
    encode_task(task)
