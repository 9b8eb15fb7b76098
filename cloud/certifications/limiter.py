"""How often one account may apply: counted in the database, with its meter locked, so that it is exact.

1  who is told to wait waits until then, and trying does not make it longer
2  what was begun within the span of the rules counts, also when it was withdrawn
3  one more than the rules allow is refused, and from then on the cool-down runs
4  when it is over, or somebody lifted it, counting begins anew; where the rules have no cool-down, the wait
   lasts until the span has room, and nothing is forgotten
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection

from cloud.errors import Reason, ServiceError
from cloud.rulebook.editions import find
from cloud.rulebook.kinds import RuleKind
from cloud.sources import Sources, from_us, to_us
from cloud.store import certification_care as care
from cloud.store import certifications as rows

_MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Limiter:
    """In the caller's transaction, which holds the meter of the account to its end."""

    sources: Sources

    def check(self, connection: Connection, account_id: str) -> ServiceError | None:
        """Whether one more may begin. The refusal is returned: the wait that begins with it is to be kept."""
        meter, now_us = care.lock_meter(connection, account_id), to_us(self.sources.now())
        if now_us < meter.blocked_until_us:  # step 1
            return _refused(meter.blocked_until_us, now_us)
        limit = find(connection, RuleKind.APPLICATION_LIMITS, now_us).rules.certifications
        span_us = limit.within.ToMicroseconds()
        since_us = max(now_us - span_us, meter.counted_from_us - 1)
        begun = rows.count_created(connection, account_id, since_us=since_us)  # step 2
        if len(begun) < limit.count:
            return None
        room_us = begun[len(begun) - limit.count] + span_us
        cool_down_us = limit.cool_down.ToMicroseconds() if limit.HasField("cool_down") else 0
        until_us = now_us + cool_down_us if cool_down_us else room_us
        counted_us = until_us if cool_down_us else meter.counted_from_us
        meter = replace(meter, blocked_until_us=until_us, counted_from_us=counted_us)
        care.change_meter(connection, meter)  # step 3
        return _refused(until_us, now_us)

    def lift(self, connection: Connection, account_id: str) -> None:
        """Let an account apply again (step 4)."""
        meter = care.lock_meter(connection, account_id)
        now_us = to_us(self.sources.now())
        care.change_meter(connection, replace(meter, counted_from_us=now_us, blocked_until_us=0))


def _refused(until_us: int, now_us: int) -> ServiceError:
    until = from_us(until_us).strftime("%Y-%m-%dT%H:%M:%SZ")
    return ServiceError(
        Reason.FREQUENT_APPLICANT,
        "This account has applied too often; a wait runs.",
        {"until": until},
        retry_s=max(1.0, (until_us - now_us) / _MICRO),
    )
