"""Settings of how contracts are signed."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, Field

from cloud.settings import Told


def _check_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("a time zone is a name of the IANA database, for example Asia/Shanghai") from error
    return name


class SigningSettings(BaseModel):
    """How people sign."""

    sign_time_zone: Annotated[
        str,
        Field(max_length=64),
        AfterValidator(_check_zone),
        Told(
            "Time zone of the dates on signed documents, where the sender names none (IANA name).",
            "A date is read where the contract is made; the time-stamp beside it is UTC.",
        ),
    ] = "Asia/Shanghai"
    sign_face_age_s: Annotated[
        int,
        Field(ge=30, le=3600),
        Told(
            "How old a face may be, counted from the start of the signing that it is for.",
            "Time to walk to the device, read the card and pose; not more.",
            unit="s",
        ),
    ] = 600
    passkey_domain: Annotated[
        str,
        Field(max_length=253, pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"),
        Told(
            "Domain of the pages at which people sign (RP id of WebAuthn).",
            "Passkeys count for one domain and those below it; one that is changed makes them all useless.",
        ),
    ] = "localhost"
