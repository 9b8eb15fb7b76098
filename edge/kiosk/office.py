"""The office: the one thread that holds the device's state, its operators with their keys, its networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TypeVar

from edge.app import open_identity, open_recorder, open_state
from edge.attest.clock import SystemClock
from edge.attest.identity import DeviceIdentity
from edge.config import EdgeConfig
from edge.operators.service import Operators
from edge.policy import MatchThreshold, Policy
from edge.recorder import Recorder
from edge.state.store import StateStore
from edge.station import open_vision
from edge.vision import Vision
from verifield.certificates import load_roots

T = TypeVar("T")


class Office:
    """Opened by the first work that is submitted. Its properties are for that work's thread alone."""

    def __init__(self, config: EdgeConfig) -> None:
        self.config = config
        self._thread = ThreadPoolExecutor(1, "office")
        self._opened = ExitStack()
        self._identity: DeviceIdentity | None = None
        self._state: StateStore | None = None
        self._operators: tuple[MatchThreshold, Operators] | None = None
        self._vision: Vision | None = None

    def submit(self, work: Callable[[Office], T]) -> Future[T]:
        """Do ``work`` on the office's thread, after what was submitted before."""
        return self._thread.submit(lambda: work(self))

    @property
    def identity(self) -> DeviceIdentity:
        """Errors as ``edge.app.open_identity``."""
        if self._identity is None:
            self._identity = open_identity(self.config)
        return self._identity

    @property
    def state(self) -> StateStore:
        """Errors as ``edge.app.open_state``."""
        if self._state is None:
            self._state = self._opened.enter_context(open_state(self.config, self.identity))
        return self._state

    @property
    def policy(self) -> Policy:
        """The newest; errors as ``StateStore.policy``."""
        return self.state.policy(load_roots(self.identity.root_pem))

    @property
    def operators(self) -> Operators:
        """Whoever has signed in is forgotten when the policy compares faces by another threshold."""
        identity, state = self.identity, self.state
        threshold = self.policy.match.live_live
        if self._operators is None or self._operators[0] != threshold:
            operators = Operators(
                state.operators, key_store=identity.key_store, clock=SystemClock(), live_live=threshold
            )
            self._operators = (threshold, operators)
        return self._operators[1]

    @property
    def vision(self) -> Vision:
        """The networks, loaded once; errors as ``Vision.open``."""
        if self._vision is None:
            self._vision = open_vision(self.config)
        return self._vision

    @contextmanager
    def recorder(self) -> Iterator[Recorder]:
        """With the newest policy; errors as ``edge.app.open_recorder``."""
        with open_recorder(self.config) as recorder:
            yield recorder

    def close(self) -> None:
        """Close the stores, on their thread."""
        self._thread.submit(self._opened.close)
        self._thread.shutdown()
