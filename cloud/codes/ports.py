"""What this room is given by the one of accounts, at wiring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection

from cloud.codes.values import Purpose


@dataclass(frozen=True, slots=True, repr=False)
class Holder:
    """Whom a code goes to. ``phone``: E.164, or empty; ``id_number``: empty while it is not known."""

    phone: str
    id_number: str = ""
    language: str = "zh"


class HolderOf(Protocol):
    """Finds the holder of an account; with ``lock`` nobody else changes the account until the end."""

    def __call__(
        self, connection: Connection, account_id: str, purpose: Purpose, *, lock: bool = False
    ) -> Holder:
        """Raises a ServiceError where the account's state has no use for a code of this purpose."""
        ...


PhoneVerified = Callable[[Connection, str], None]
"""The number of an account was proven; raises a ServiceError where its state does not allow it."""
