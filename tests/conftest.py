"""What every test may ask for."""

from __future__ import annotations

import pytest

from edge.models.store import ModelStore


@pytest.fixture(scope="session")
def model_store() -> ModelStore:
    """The default models in the user's cache; the pull holds a lock, so that test processes share it."""
    store = ModelStore.open()
    store.pull()
    return store
