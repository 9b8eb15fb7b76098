"""Pages as they will look once signed, in pictures, made by the pool of limited processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256

from cloud.errors import Reason, ServiceError
from cloud.papers.fonts import Fonts
from cloud.pdf.marks import MarkRefused, mark_page
from cloud.pdf.preview import PreviewFailed, Previews
from cloud.pdf.sign import SignRefused, preview
from cloud.signatures.assets import Look
from cloud.signatures.marks import Plan
from cloud.sources import Sources
from verifield.v1 import signing_service_pb2 as pb

WIDTH_PX = 800
CHUNK_BYTES = 64 * 1024

_ASSET_POINTS = (240.0, 80.0)
_ASSET_PX = 480


class Pictures:
    """``fonts``: of papers."""

    def __init__(self, previews: Previews, sources: Sources, *, fonts: Fonts | None) -> None:
        self._previews = previews
        self._sources = sources
        self._fonts = fonts

    async def pages(
        self, plan: Plan, content: bytes, *, width_px: int
    ) -> AsyncIterator[pb.PreviewSignedResponse]:
        """The header, then the pages that have marks, in pieces. ``content``: the newest revision.

        Raises:
            ServiceError: CONTRACT_PAGE_FAILED, SIGN_DOCUMENT_MOVED.
        """
        try:
            composed = await asyncio.to_thread(
                lambda: preview(content, plan.fill(self._sources.now(), self._fonts))
            )
        except (SignRefused, MarkRefused) as error:
            raise ServiceError(Reason.SIGN_DOCUMENT_MOVED, f"It cannot be signed: {error}.") from error
        header = pb.PreviewHeader(preview_hash=plan.preview_hash, pages=plan.pages)
        yield pb.PreviewSignedResponse(header=header)
        for number in plan.pages:
            picture = await self._page(composed, number, width_px or WIDTH_PX)
            for start in range(0, len(picture), CHUNK_BYTES):
                chunk = picture[start : start + CHUNK_BYTES]
                yield pb.PreviewSignedResponse(page=pb.PreviewPage(page=number, chunk=chunk))

    async def asset(self, look: Look) -> pb.SignatureAsset:
        """The signature that is made from the name."""
        page = await asyncio.to_thread(mark_page, look.mark, *_ASSET_POINTS)
        image = await self._page(page, 1, _ASSET_PX)
        return pb.SignatureAsset(
            kind=pb.SIGNATURE_ASSET_KIND_DEFAULT, image=image, image_sha256=sha256(image).digest()
        )

    async def _page(self, content: bytes, number: int, width_px: int) -> bytes:
        try:
            return await self._previews.page(content, number, width_px=width_px)
        except PreviewFailed as error:
            raise ServiceError(
                Reason.CONTRACT_PAGE_FAILED, "The page cannot be shown.", {"why": error.why.value}
            ) from error
