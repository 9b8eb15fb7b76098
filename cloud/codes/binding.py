"""Whether a number belongs to the holder of the identity document, where the rules of the day want to know.

    OFF      nobody is asked
    WARN     the carrier is asked; what does not agree, or is not known, is noted beside the proof
    ENFORCE  the carrier is asked; only what agrees is accepted

The real-name check itself never looks at telephone numbers. The carrier is asked outside of any transaction.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field

from cloud.authorities.port import Carrier, Consistency
from cloud.codes.values import Match
from cloud.errors import Reason, ServiceError
from cloud.rulebook.editions import find
from cloud.rulebook.kinds import RuleKind
from cloud.sources import Sources, to_us
from cloud.store.database import Store
from verifield.v1.rulebook_pb2 import PHONE_BINDING_ENFORCE, PHONE_BINDING_OFF

_MATCHES = {
    Consistency.CONSISTENT: Match.CONSISTENT,
    Consistency.INCONSISTENT: Match.INCONSISTENT,
    Consistency.UNKNOWN: Match.UNKNOWN,
}
_REFUSALS = {
    Match.INCONSISTENT: (Reason.PHONE_OTHER_HOLDER, "The carrier has this number under another name."),
    Match.UNKNOWN: (Reason.PHONE_HOLDER_UNKNOWN, "The carrier does not say whose number this is."),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """``refusal``: why the number is not accepted; None where it is, perhaps with a note (``match``).

    It is about this number and this holder, and no others.
    """

    phone: str = field(repr=False)
    id_number: str = field(repr=False)
    match: Match = Match.NOT_ASKED
    refusal: ServiceError | None = None


@dataclass(frozen=True, slots=True)
class PhoneBinding:
    """Asks as the rules want it."""

    store: Store
    sources: Sources
    carrier: Carrier

    async def judge(self, phone: str, id_number: str, *, request_id: str = "") -> Finding:
        """What is to be made of a number (E.164) and the holder's number of identity; empty: not known yet.

        ``request_id``: a UUID of what is asked for. The same question for it is charged once, and another
        one is another question.

        Raises:
            AuthorityFault: the carrier gave no answer, and the rules want one.
        """
        mode = await asyncio.to_thread(self._mode)
        if mode == PHONE_BINDING_OFF or not id_number:
            return Finding(phone, id_number)
        try:
            match = _MATCHES[
                await self.carrier.check(phone, id_number, request_id=_key(request_id, phone, id_number))
            ]
        except ServiceError:
            if mode == PHONE_BINDING_ENFORCE:
                raise
            match = Match.UNKNOWN
        if mode == PHONE_BINDING_ENFORCE and match in _REFUSALS:
            reason, message = _REFUSALS[match]
            return Finding(phone, id_number, match, ServiceError(reason, message))
        return Finding(phone, id_number, match)

    def _mode(self) -> int:
        with self.store.reading() as connection:
            rules = find(connection, RuleKind.VERIFICATION, to_us(self.sources.now())).rules
        return rules.phone_id_binding


def _key(request_id: str, phone: str, id_number: str) -> str:
    return str(uuid.uuid5(uuid.UUID(request_id), f"{phone}/{id_number}")) if request_id else ""
