"""Time-stamp tokens as pyHanko wants them, each checked before it is used."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime

from asn1crypto import cms, tsp
from pyhanko.sign.timestamps import TimeStamper

from cloud.pdf.ports import MAX_TOKEN, Stamper, StampUnavailable


class Stamping(TimeStamper):
    """The stamps of one act. ``size``: of the latest token, in bytes."""

    def __init__(self, stamper: Stamper) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._stamper = stamper
        self._last: datetime | None = None
        self.size = 0

    @property
    def time(self) -> datetime:
        """Of the latest token, UTC."""
        if self._last is None:
            raise ValueError("nothing was stamped yet")
        return self._last

    async def async_timestamp(self, message_digest: bytes, md_algorithm: str) -> cms.ContentInfo:
        if md_algorithm != "sha256":
            raise ValueError("time-stamps are over SHA-256")
        content = self._stamper.stamp(message_digest)
        if len(content) > MAX_TOKEN:
            raise StampUnavailable("a time-stamping authority answered with too much")
        try:
            token = cms.ContentInfo.load(content, strict=True)
            self._last = _time(token, message_digest)
        except (ValueError, TypeError, KeyError) as error:
            raise StampUnavailable("a time-stamping authority answered with no token for this") from error
        self.size = len(content)
        return token


def _time(token: cms.ContentInfo, digest: bytes) -> datetime:
    """When a token says that ``digest`` existed; ValueError where it says it of something else."""
    if token["content_type"].native != "signed_data":
        raise ValueError("not signed")
    signed = token["content"]
    if signed["encap_content_info"]["content_type"].native != "tst_info" or not len(signed["certificates"]):
        raise ValueError("not a time-stamp")
    info = signed["encap_content_info"]["content"].parsed
    if not isinstance(info, tsp.TSTInfo):
        raise ValueError("not a time-stamp")  # noqa: TRY004  the token is wrong, not a type of ours
    imprint = info["message_imprint"]
    if imprint["hash_algorithm"]["algorithm"].native != "sha256":
        raise ValueError("of another kind of digest")
    if not hmac.compare_digest(imprint["hashed_message"].native, digest):
        raise ValueError("of another digest")
    moment: datetime = info["gen_time"].native
    return moment.astimezone(UTC)
