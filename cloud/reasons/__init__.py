"""Why the service refuses: stable reasons, how each travels, and what its receiver can do about it.

Each room has a table of its own; a test sees that every reason stands in exactly one, in all languages.
"""

from __future__ import annotations

from types import MappingProxyType

from cloud.reasons import (
    accounts,
    bank,
    business,
    certifications,
    codes,
    contracts,
    organisations,
    platform,
    records,
    reviews,
    signatures,
    storage,
    verifications,
)
from cloud.reasons.names import Reason
from cloud.reasons.remedy import Remedies, Remedy

TABLES = (
    platform,
    records,
    accounts,
    codes,
    verifications,
    reviews,
    certifications,
    bank,
    business,
    organisations,
    contracts,
    signatures,
    storage,
)

REMEDIES: Remedies = MappingProxyType(
    {reason: remedy for table in TABLES for reason, remedy in table.REMEDIES.items()}
)

__all__ = ["REMEDIES", "TABLES", "Reason", "Remedies", "Remedy"]
