"""Tasks: accounts that await activation and contracts that await a signature (task.proto).

They hold what a device has to show and to check, and no more of a person than that: a masked name, and a
salted commitment to the number of the document that the person will bring.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from verifield.commitments import SALT_BYTES, commit
from verifield.errors import Malformed
from verifield.rules import DIGEST_BYTES, check_digest, check_names, check_plain_name, check_uuid7
from verifield.v1.task_pb2 import AccountTask, ContractTask, TaskPerson
from verifield.wire import check_all_known, parse_message, parse_time

MAX_TASK_BYTES = 4096
"""The longest names and every step take a quarter of it."""

MAX_MASKED_CHARS = 64
MAX_TITLE_CHARS = 200
"""Two lines on a device's screen."""
MAX_PARTY_CHARS = 100
"""The longest registered company names have some 90 characters."""

MAX_TASK_LIFE = timedelta(days=90)
"""Who has not come by then is asked anew: no device keeps anything of a person for longer."""

NUMBER_FIELD = "document.number"
"""The field that a task's commitment is to, as in a statement."""

MASK = "*"

_MASKED_WORD = re.compile(r"[^\s*]?\*+")

Task = AccountTask | ContractTask


@dataclass(frozen=True, slots=True)
class TaskTimes:
    """From when until when a task counts; both aware, UTC."""

    issued: datetime
    expires: datetime


@dataclass(frozen=True, slots=True)
class NumberCommitment:
    """``digest`` hides a document's number under ``salt``."""

    digest: bytes = field(repr=False)
    salt: bytes = field(repr=False)


def encode_task(task: Task) -> bytes:
    """Return the bytes to hand down; the same task always gives the same bytes.

    Raises:
        Malformed, Unknown: it breaks a rule that the parsers would refuse.
    """
    check_all_known(task, what="task")
    check_task(task)
    content = task.SerializeToString(deterministic=True)
    if len(content) > MAX_TASK_BYTES:
        raise _malformed("it is too large")
    return content


def parse_account_task(content: bytes) -> AccountTask:
    """Parse what a feed's item of an account holds.

    Raises:
        Malformed, Unknown: no such task, one that breaks a rule, or of a newer version.
    """
    task = parse_message(AccountTask, content, what="task", max_bytes=MAX_TASK_BYTES)
    check_task(task)
    return task


def parse_contract_task(content: bytes) -> ContractTask:
    """Parse what a feed's item of a contract holds; errors as :func:`parse_account_task`."""
    task = parse_message(ContractTask, content, what="task", max_bytes=MAX_TASK_BYTES)
    check_task(task)
    return task


def check_task(task: Task) -> None:
    """Check every rule of task.proto that its types do not hold by themselves.

    Raises:
        Malformed: the first rule that is broken.
    """
    check_uuid7(task.task_id, what="task_id")
    _check_person(task.person)
    if not all(task.steps) or len(set(task.steps)) != len(task.steps):
        raise _malformed("a step stands in it twice, or has no name")
    task_times(task)
    check_digest(task.nonce, what="nonce")
    if isinstance(task, AccountTask):
        check_plain_name(task.account_id, what="account_id")
        return
    check_plain_name(task.contract_id, what="contract_id")
    check_names(task.title, what="title", limit=MAX_TITLE_CHARS)
    check_names(task.party, what="party", limit=MAX_PARTY_CHARS)
    check_digest(task.document_sha256, what="document_sha256")


def task_times(task: Task) -> TaskTimes:
    """Return when the task was issued and when it expires.

    Raises:
        Malformed: one is missing, or they are not in order and at most 90 days apart.
    """
    if not (task.HasField("issue_time") and task.HasField("expire_time")):
        raise _malformed("it does not say from when until when it counts")
    times = TaskTimes(
        parse_time(task.issue_time, what="task's issue time"),
        parse_time(task.expire_time, what="task's expiry time"),
    )
    if not timedelta(0) < times.expires - times.issued <= MAX_TASK_LIFE:
        raise _malformed(f"it expires before it begins, or more than {MAX_TASK_LIFE.days} days later")
    return times


def mask_name(name: str) -> str:
    """Return ``name`` with the first character of each word and nothing else of it; a long one is cut."""
    masked = ""
    for word in name.replace(MASK, "").split():
        shown = word[0] + MASK * (len(word) - 1) if len(word) > 1 else MASK
        longer = f"{masked} {shown}".strip()
        if len(longer) > MAX_MASKED_CHARS:
            break
        masked = longer
    return masked or MASK


def commit_number(number: str, *, salt: bytes) -> NumberCommitment:
    """Hide a document's number under ``salt``, 32 fresh random bytes."""
    return NumberCommitment(commit(field=NUMBER_FIELD, value=number.encode(), salt=salt), salt)


def awaits(person: TaskPerson, number: str) -> bool:
    """Whether the document of this number is the awaited person's."""
    digest = commit(field=NUMBER_FIELD, value=number.encode(), salt=person.number_salt)
    return hmac.compare_digest(digest, person.number_digest)


def _check_person(person: TaskPerson) -> None:
    masked = person.masked_name
    words = masked.split(" ")
    if len(masked) > MAX_MASKED_CHARS or not masked.isprintable():
        raise _malformed("the masked name is too long or not printable")
    if not all(_MASKED_WORD.fullmatch(word) for word in words):
        raise _malformed("the name is not masked")
    if not person.document_type:
        raise _malformed("it does not say which document the person brings")
    if (len(person.number_digest), len(person.number_salt)) != (DIGEST_BYTES, SALT_BYTES):
        raise _malformed("the commitment to the document's number has not its length")


def _malformed(rule: str) -> Malformed:
    return Malformed("TASK", f"The task breaks a rule: {rule}.")
