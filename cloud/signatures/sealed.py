"""The tables of this room with sealed columns: for erasing a person, and for renewing keys."""

from __future__ import annotations

from cloud.signatures import assets, desk, passkeys

SEALED = (assets.SEALED, passkeys.SEALED, desk.SEALED)
