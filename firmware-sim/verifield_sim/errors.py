"""What the simulator says when it is asked for something that it does not have."""

from __future__ import annotations


class SimError(ValueError):
    """One sentence for the person who wrote the scenario or the request."""
