"""Minutes of the field in fractions of a second: the same proportions, for tests with real sockets."""

from __future__ import annotations

import importlib
from collections.abc import Callable

HASTY: dict[str, float] = {
    "edge.sync.daemon.POLL_S": 0.05,
    "edge.sync.daemon.HANG_UP_S": 0.1,
    "edge.sync.machine.BACKOFF_FIRST_S": 0.05,
    "edge.sync.pacing.BACKOFF_FIRST_S": 0.05,
    "edge.sync.pacing.BACKOFF_CAP_S": 0.4,
    "edge.sync.machine.IDLE_CHECK_S": 2.0,
    "edge.sync.machine.FRESH_S": 0.5,
    "edge.sync.uplink.CALL_TIMEOUT_S": 2.0,
    "edge.attest.renew.RENEW_TIMEOUT_S": 2.0,
    "edge.rpc.CONNECT_S": 2,
}


def make_haste(put: Callable[[str, float], object]) -> None:
    """``put`` sets an attribute by its dotted name: ``monkeypatch.setattr``, or :func:`set_for_ever`."""
    for name, value in HASTY.items():
        put(name, value)


def set_for_ever(name: str, value: float) -> None:
    """For a process that ends with what it tests."""
    module, _, attribute = name.rpartition(".")
    found = importlib.import_module(module)
    assert hasattr(found, attribute), name
    setattr(found, attribute, value)
