"""Marks of a request's version, for changes that are made only where nobody was faster."""

from __future__ import annotations

import base64
import hashlib

from cloud.errors import Reason, ServiceError
from cloud.store.business import BusinessRow


def etag_of(row: BusinessRow) -> str:
    """Changes with every change of the row."""
    digest = hashlib.sha256(f"{row.business_id} {row.version}".encode()).digest()
    return base64.urlsafe_b64encode(digest[:12]).decode()


def check_etag(row: BusinessRow, etag: str) -> None:
    """Empty: nobody asked.

    Raises:
        ServiceError: ETAG_MISMATCH.
    """
    if etag and etag != etag_of(row):
        raise ServiceError(Reason.ETAG_MISMATCH, "The request was changed since it was read.")
