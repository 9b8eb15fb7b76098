"""Settings of signatures in documents: time-stamps, the list of revoked signers, and checks of documents.

One part of ``cloud.config``, which has the others and says where values come from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, model_validator

from cloud.settings import Told

StampUrl = Annotated[
    str, Field(max_length=256, pattern=r"^https?://[A-Za-z0-9._:\[\]-]+(/[A-Za-z0-9._~/?=&-]*)?$")
]


class DocumentSettings(BaseModel):
    """Who says when something was signed, and what a check of a document may cost."""

    stamp_authorities: Annotated[
        tuple[StampUrl, ...],
        Field(max_length=8),
        Told(
            "Time-stamping authorities (RFC 3161 over HTTP), asked in this order until one answers well.",
            "An authority of somebody else says more before a court than one's own clock.",
        ),
    ] = ()
    stamp_roots: Annotated[
        Path | None,
        Told(
            "PEM file with the roots of `stamp_authorities`.",
            "A time-stamp that nobody can check is none; who checks a document needs the same file.",
            unset="needed with `stamp_authorities`",
        ),
    ] = None
    stamp_timeout_s: Annotated[
        float,
        Field(gt=0, le=60),
        Told(
            "How long one authority may take in all, from connecting to the last byte of its answer.",
            "Authorities answer within a second; a person waits, and the next one of the list is there.",
            unit="s",
        ),
    ] = 5.0
    stamp_tolerance_s: Annotated[
        float,
        Field(ge=1, le=60),  # verifield.reports.SLACK: with more, signed contracts would fail their own check
        Told(
            "How far the time of a time-stamp may be from this machine's clock: a minute at most.",
            "With more one of the two clocks is wrong, and checks would refuse what was signed.",
            unit="s",
        ),
    ] = 60.0
    signer_list_url: Annotated[
        str | None,
        Field(max_length=512, pattern=r"^https?://[A-Za-z0-9._:\[\]-]+/[A-Za-z0-9._~/%-]*$"),
        Told(
            "Address that certificates of signers name for the list of what was revoked.",
            "Readers of PDF fetch it from there. `verifield-cloud documents crl` writes the file to publish.",
            unset="certificates name none, and readers use the list inside of each document",
        ),
    ] = None
    document_checks: Annotated[
        int,
        Field(ge=1, le=32),
        Told(
            "Documents that are checked at the same time; a few more wait, others are told to come later.",
            "Each takes a core, and a process of its own.",
        ),
    ] = 2
    document_check_s: Annotated[
        float,
        Field(ge=1, le=600),
        Told(
            "How long the check of one document may take.",
            "A contract with 25 marks takes some seconds; what takes longer was made to.",
            unit="s",
        ),
    ] = 45.0
    document_check_mib: Annotated[
        int,
        Field(ge=256, le=16384),
        Told(
            "Memory that the check of one document may take.",
            "Room for the largest document that is taken; a file that unpacks to more was made to.",
            unit="MiB",
        ),
    ] = 1024

    @model_validator(mode="after")
    def _check_stamps(self) -> DocumentSettings:
        if bool(self.stamp_authorities) != (self.stamp_roots is not None):
            raise ValueError("stamp_authorities and stamp_roots are needed together")
        return self
