"""What wrong passwords bring: from the fourth one on a wait that doubles, and at last a lock for a while.

The count stands in the database beside the password. Whoever tries is judged behind the row's lock, before
anything is told of the password: of many tries at the same time one is told, the others are too soon.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from cloud.errors import Reason, ServiceError
from cloud.store.account_sessions import CredentialRow
from verifield.v1.rulebook_pb2 import LoginRules

FREE_TRIES = 3
"""Wrong ones that cost no wait: most are slips of the finger."""

FIRST_WAIT = timedelta(seconds=1)
LONGEST_WAIT = timedelta(seconds=30)


def check_may_try(row: CredentialRow, now_us: int) -> None:
    """Check that a password may be tried now.

    Raises:
        ServiceError: PASSWORD_LOCKED, PASSWORD_TOO_SOON.
    """
    if row.locked_until_us > now_us:
        raise ServiceError(
            Reason.PASSWORD_LOCKED,
            "Too many wrong passwords: none counts for a while.",
            retry_s=(row.locked_until_us - now_us) / 1e6,
        )
    if row.next_try_us > now_us:
        raise ServiceError(
            Reason.PASSWORD_TOO_SOON,
            "The next try comes too soon after a wrong password.",
            retry_s=(row.next_try_us - now_us) / 1e6,
        )


def after_wrong(row: CredentialRow, rules: LoginRules, now_us: int) -> CredentialRow:
    """The row after one more wrong password. When a lock has ended, counting begins anew."""
    failures = (0 if row.locked_until_us else row.failures) + 1
    if failures >= rules.tries_before_lock:
        until_us = now_us + rules.lock_for.ToMicroseconds()
        return replace(row, failures=failures, next_try_us=0, locked_until_us=until_us)
    wait_us = 0
    if failures > FREE_TRIES:
        doubled = FIRST_WAIT * 2 ** min(failures - FREE_TRIES - 1, 10)
        wait_us = min(doubled, LONGEST_WAIT) // timedelta(microseconds=1)
    return replace(row, failures=failures, next_try_us=now_us + wait_us, locked_until_us=0)


def after_right(row: CredentialRow) -> CredentialRow:
    """The row after the right password."""
    return replace(row, failures=0, next_try_us=0, locked_until_us=0)


def bad_password(row: CredentialRow, rules: LoginRules) -> ServiceError:
    """What is told of a wrong password; ``row``: after it."""
    left = max(rules.tries_before_lock - row.failures, 0)
    return ServiceError(Reason.BAD_PASSWORD, "The password is wrong.", {"tries_left": str(left)})
