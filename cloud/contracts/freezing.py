"""The document that is sent, made by cloud.pdf with the platform's own certificate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cloud.errors import Reason, ServiceError
from cloud.pdf.fields import Place, PlacesRefused
from cloud.pdf.freeze import freeze
from cloud.pdf.intake import PdfRefused
from cloud.pdf.ports import StampUnavailable
from cloud.pdf.sign import SignRefused
from cloud.signers.room import Signers
from cloud.sources import Sources
from cloud.store.database import Store


@dataclass(frozen=True, slots=True)
class PlatformFreezer:
    """Any thread may use it."""

    signers: Signers
    store: Store
    sources: Sources

    def freeze(self, content: bytes, places: Sequence[Place]) -> bytes:
        """All fields made, certified by the platform and time-stamped.

        Raises:
            ServiceError: TIMESTAMP_UNAVAILABLE, CONTRACT_PDF_REFUSED.
        """
        now = self.sources.now()
        identity = self.store.run(lambda connection: self.signers.authority.platform(connection, now=now))
        try:
            return freeze(content, places, identity=identity, stamper=self.signers.stamper, at=now)
        except StampUnavailable as error:
            raise ServiceError(
                Reason.TIMESTAMP_UNAVAILABLE, "No authority for time-stamps answers; nothing was sent."
            ) from error
        except PdfRefused as error:
            raise ServiceError(
                Reason.CONTRACT_PDF_REFUSED, f"The file is refused: {error}.", {"why": error.why.value}
            ) from error
        except (SignRefused, PlacesRefused) as error:
            raise ServiceError(
                Reason.CONTRACT_PDF_REFUSED, f"It cannot be made ready: {error}.", {"why": "UNSIGNABLE"}
            ) from error
