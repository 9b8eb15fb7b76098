"""What comes down to the device, on its way into the state store: the sync daemon's ``Downstream``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from cryptography import x509

from edge.attest.clock import arrival_now, bounded_now
from edge.contact import Arrival
from edge.errors import CloudError
from edge.ports import Clock
from edge.state.records import PullOutcome
from edge.state.store import StateStore
from verifield.errors import VerifieldError
from verifield.v1.sync_service_pb2 import PullResponse
from verifield.wire import parse_time


class StateDownstream:
    """Implements ``edge.sync.ports.Downstream``.

    ``wipe``: destroys the keys of all personal data outside the state store; bears to be called again.
    ``tell``: hears what each page changed, and what of it was refused.
    """

    def __init__(
        self,
        state: StateStore,
        *,
        roots: Sequence[x509.Certificate],
        clock: Clock,
        wipe: Callable[[], None],
        tell: Callable[[PullOutcome], None],
    ) -> None:
        self._state = state
        self._roots = tuple(roots)
        self._clock = clock
        self._wipe = wipe
        self._tell = tell

    def cursor(self) -> str:
        """Where the next page begins; notes that the device is on, and ends a wipe that was cut off.

        Tasks that have expired meanwhile are forgotten, also where the cloud is away.
        """
        contact = self._state.touch(arrival_now(self._clock))
        self._state.drop_expired(by=bounded_now(self._clock, contact=contact).not_before)
        self._state.finish_wipe(self._wipe)
        return self._state.pull_cursor()

    def take(self, page: PullResponse, *, arrival: Arrival, by_hand: bool = False) -> None:
        """Store a page whole, and act upon orders in it; what is refused is told and stays visible.

        ``by_hand``: it lay on a stick, for nobody knows how long; ``arrival`` is when it was read.

        Raises:
            CloudError: PULL_ANSWER: the page does not say when it was written.
        """
        self._tell(
            self._state.apply_pull(
                page.items,
                cursor=page.next_cursor,
                server_time=_server_time(page),
                arrival=arrival,
                certificates=page.policy_certificates,
                roots=self._roots,
                wipe=self._wipe,
                restarted=page.restarted,
                more=page.more,
                by_hand=by_hand,
            )
        )

    def note_word(self, server_time: datetime, arrival: Arrival, *, by_hand: bool = False) -> None:
        self._state.note_word(server_time, arrival, by_hand=by_hand)

    def revoked(self) -> None:
        self._state.note_revoked()


def _server_time(page: PullResponse) -> datetime:
    try:
        if page.HasField("server_time"):
            return parse_time(page.server_time, what="server's time")
    except VerifieldError:
        pass
    raise CloudError(
        "PULL_ANSWER",
        "The cloud's news come without its time.",
        hint="Ask the operator of the cloud to check its version.",
    )
