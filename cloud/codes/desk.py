"""One-time codes: sent, and taken back once.

1  the number is one, and can receive text messages (PHONE_INVALID)
2  its segment is served, as the rules of the moment say (PHONE_SEGMENT_UNSUPPORTED)
3  the ledger has room (SMS_TOO_OFTEN)
4  the code before of the same person and purpose counts no more, and is not sent if it was not yet
5  the challenge is kept, and the message left in the outbox

all in the caller's transaction: what is refused sends nothing and counts nothing.

A code is kept as a keyed digest over itself, its challenge, its purpose, its number and what it is bound to,
so that the right code for anything else is simply wrong. In clear it stands nowhere in the database: the
message that carries it is sealed under the person's key, and emptied once it was delivered or has expired.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import unicodedata

from sqlalchemy import Connection

from cloud.codes.ledger import Ledger, SourceLimits
from cloud.codes.phones import check_segment, mask, parse_phone
from cloud.codes.values import MACHINE, OVER, Challenge, Event, Purpose, State
from cloud.errors import Reason, ServiceError
from cloud.messages.outbox import Messages
from cloud.messages.templates.codes import CODE_LIVES, OF_PURPOSE
from cloud.messages.values import Channel
from cloud.rulebook.editions import find
from cloud.rulebook.kinds import RuleKind
from cloud.serving import Base
from cloud.sources import Sources, from_us, to_us
from cloud.store import codes as rows

__all__ = ["Challenge", "Codes", "Purpose"]

CODE_DIGITS = 6
LIFETIME = CODE_LIVES
FORGIVEN = 5
"""Wrong guesses; the next one locks the challenge. With a code's five minutes, and five codes a day at most,
chance finds one code in 33,000 days."""

_LIFETIME_US = int(LIFETIME.total_seconds()) * 1_000_000
_APART = re.compile(r"[\s\-]+")


class Codes:
    """Sends and verifies, in the caller's transaction. Any thread may use it."""

    def __init__(
        self, messages: Messages, sources: Sources, *, secret: bytes, limits: SourceLimits | None = None
    ) -> None:
        self._messages = messages
        self._sources = sources
        self._secret = hmac.digest(secret, b"verifield one-time codes", hashlib.sha256)
        self._ledger = Ledger(sources, secret=secret, limits=limits or SourceLimits())

    @classmethod
    def of(cls, base: Base, *, limits: SourceLimits | None = None) -> Codes:
        """From what every room is given."""
        return cls(Messages.of(base), base.sources, secret=base.authority.renewal_secret, limits=limits)

    def check_phone(self, connection: Connection, text: str) -> str:
        """The one form (E.164) of a number that is served now.

        Raises:
            ServiceError: PHONE_INVALID, PHONE_SEGMENT_UNSUPPORTED.
        """
        phone = parse_phone(text)
        rules = find(connection, RuleKind.NUMBER_SEGMENTS, to_us(self._sources.now())).rules
        check_segment(rules, phone)
        return phone

    def send(
        self,
        connection: Connection,
        *,
        phone: str,
        purpose: Purpose,
        bound: bytes,
        person_id: str,
        source: str,
        language: str,
    ) -> Challenge:
        """Send a code. ``bound``: what it is for beside its purpose; ``source``: ``CALL.get().source``.

        Raises:
            ServiceError: PHONE_INVALID, PHONE_SEGMENT_UNSUPPORTED, SMS_TOO_OFTEN, PERSON_ERASED.
        """
        number = self.check_phone(connection, phone)  # steps 1 and 2
        now_us, retry_s = self._ledger.take(  # step 3
            connection, phone=number, source=source, person_id=person_id, purpose=purpose
        )
        self.retire(connection, person_id, purpose)  # step 4
        code = f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"
        challenge_id, meter = self._sources.uuid7(), self._ledger.phone_meter(number)
        message_id = self._messages.post(  # step 5
            connection,
            template=OF_PURPOSE[purpose],
            person_id=person_id,
            channel=Channel.SMS,
            to=number,
            values={"code": code},
            language=language,
        )
        row = rows.ChallengeRow(
            challenge_id=challenge_id,
            person_id=person_id,
            purpose=purpose,
            state=State.SENT,
            phone=meter,
            message_id=message_id,
            code_mac=self._mac(challenge_id, code, purpose=purpose, phone=meter, bound=bound),
            wrong=0,
            created_us=now_us,
            expires_us=now_us + _LIFETIME_US,
        )
        rows.add_challenge(connection, row)
        return Challenge(challenge_id, from_us(row.expires_us), retry_s, mask(number))

    def verify(
        self,
        connection: Connection,
        challenge_id: str,
        code: str,
        *,
        purpose: Purpose,
        bound: bytes,
        phone: str | None = None,
        person_id: str | None = None,
    ) -> ServiceError | None:
        """Take a code; None where it is right, and then it counts no more.

        ``phone`` and ``person_id``: where given, the code must have been sent to that number (E.164),
        for that person. A refusal is returned, not raised: the try that it counts must be committed.
        """
        challenge_id = challenge_id.lower()  # a UUID, in whatever writing
        row = rows.get_challenge(connection, challenge_id, lock=True)
        if row is None or (person_id is not None and row.person_id != person_id):
            return ServiceError(Reason.CODE_NOT_FOUND, "There is no such challenge.")
        state = State(row.state)
        if state is not State.SENT:
            return ServiceError(OVER[state], "This code is not taken any more.", {"state": state.name})
        if to_us(self._sources.now()) >= row.expires_us:
            return self._end(connection, row, Event.EXPIRE)
        meter = row.phone if phone is None else self._ledger.phone_meter(phone)
        mac = self._mac(challenge_id, _digits(code), purpose=purpose, phone=meter, bound=bound)
        if hmac.compare_digest(mac, row.code_mac):
            self._change(connection, row, Event.HIT, wrong=row.wrong)
            return None
        if row.wrong >= FORGIVEN:
            return self._end(connection, row, Event.LOCK)
        self._change(connection, row, Event.MISS, wrong=row.wrong + 1)
        left = FORGIVEN - row.wrong - 1
        return ServiceError(Reason.CODE_WRONG, "This is not the code.", {"forgiven_left": str(left)})

    def sweep(self, connection: Connection, *, limit: int) -> int:
        """End challenges whose time has passed, and delete what no limit needs any more."""
        late = rows.expired_challenges(connection, now_us=to_us(self._sources.now()), limit=limit)
        for row in late:
            self._change(connection, row, Event.EXPIRE, wrong=row.wrong)
        return len(late) + self._ledger.sweep(connection, limit=limit)

    def awaits(self, connection: Connection, challenge_id: str, person_id: str) -> bool:
        """Whether a challenge is this person's, and may still be answered."""
        row = rows.get_challenge(connection, challenge_id)
        if row is None or row.person_id != person_id or row.state != State.SENT:
            return False
        return to_us(self._sources.now()) < row.expires_us

    def sent_to(self, connection: Connection, challenge_id: str) -> str:
        """The number that a code went to, masked; empty where that was forgotten."""
        row = rows.get_challenge(connection, challenge_id)
        phone = self._messages.address(connection, row.message_id) if row else ""
        return mask(phone) if phone else ""

    def retire(self, connection: Connection, person_id: str, purpose: Purpose) -> None:
        """Let a person's code for a purpose count no more, and not be sent if it was not yet."""
        former = rows.lock_open_challenge(connection, person_id, purpose=purpose)
        if former is not None:
            self._change(connection, former, Event.REPLACE, wrong=former.wrong)
            self._messages.withdraw(connection, former.message_id)

    def _end(self, connection: Connection, row: rows.ChallengeRow, event: Event) -> ServiceError:
        state = self._change(connection, row, event, wrong=row.wrong + (event is Event.LOCK))
        return ServiceError(OVER[state], "This code is not taken any more.", {"state": state.name})

    def _change(self, connection: Connection, row: rows.ChallengeRow, event: Event, *, wrong: int) -> State:
        state = MACHINE.after(State(row.state), event)
        rows.change_challenge(connection, row.challenge_id, state=state, wrong=wrong)
        return state

    def _mac(self, challenge_id: str, code: str, *, purpose: int, phone: bytes, bound: bytes) -> bytes:
        about = hashlib.sha256(bound).digest()
        text = b"\0".join((challenge_id.encode(), str(int(purpose)).encode(), code.encode()))
        return hmac.digest(self._secret, phone + about + text, hashlib.sha256)


def _digits(code: str) -> str:
    """What a person typed, without spaces and dashes, in plain digits."""
    return _APART.sub("", unicodedata.normalize("NFKC", code))
