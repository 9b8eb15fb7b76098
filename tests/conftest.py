"""What every test may ask for."""

from __future__ import annotations

import signal

import pytest

from edge.models.store import ModelStore


def pytest_configure() -> None:
    """Heed every stop: what a shell starts in the background ignores some, and so would its children."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(scope="session")
def model_store() -> ModelStore:
    """The default models in the user's cache; the pull holds a lock, so that test processes share it."""
    store = ModelStore.open()
    store.pull()
    return store
