"""Whether business registration may be handled for an account: the holder's choice, and its time."""

from __future__ import annotations

from dataclasses import dataclass

from cloud.accounts.states import State
from cloud.store.accounts import AccountRow
from verifield.v1 import account_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class Filing:
    """``state``: FilingState at the moment that was asked about. Times are microseconds."""

    allowed: bool
    from_us: int | None
    until_us: int | None
    state: pb.FilingState.ValueType

    @property
    def is_allowed(self) -> bool:
        """Whether business may proceed."""
        return self.state == pb.FILING_STATE_ALLOWED

    def to_message(self) -> pb.FilingPermission:
        """As the contract shows it."""
        message = pb.FilingPermission(allowed=self.allowed, state=self.state)
        if self.from_us is not None:
            message.valid_from.FromMicroseconds(self.from_us)
        if self.until_us is not None:
            message.valid_until.FromMicroseconds(self.until_us)
        return message


def judge_filing(row: AccountRow, now_us: int) -> Filing:
    """What counts at ``now_us``: from the first instant of the time on, and no more at its last one."""
    state = judge_times(row.state, row.filing_allowed, row.filing_from_us, row.filing_until_us, now_us)
    return Filing(row.filing_allowed, row.filing_from_us, row.filing_until_us, state)


def judge_times(
    state: int, allowed: bool, from_us: int | None, until_us: int | None, now_us: int
) -> pb.FilingState.ValueType:
    """As :func:`judge_filing`, of the columns alone."""
    if not allowed or from_us is None or until_us is None:
        return pb.FILING_STATE_DENIED
    if now_us >= until_us:
        return pb.FILING_STATE_EXPIRED
    return pb.FILING_STATE_ALLOWED if now_us >= from_us and state == State.ACTIVE else pb.FILING_STATE_DENIED
