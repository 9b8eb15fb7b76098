"""Answers that were given, so that a repeated request is done once."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table

from cloud.store.schema.base import metadata

kept_answers = Table(
    "kept_answers",
    metadata,
    # Keyed digest of caller, method and request id: nothing of them can be read, and keys spread evenly.
    Column("request_key", LargeBinary(32), primary_key=True),
    # Keyed digest of the request without its id.
    Column("request_mac", LargeBinary(32), nullable=False),
    # Sealed: answers hold join tokens and what belongs to persons.
    Column("answer", LargeBinary, nullable=False),
    Column("kept_us", BigInteger, nullable=False),
    # Leads the index of what is old, because an index led by a time would have one busy end.
    Column("bucket", Integer, nullable=False),
    # What the audit chain says that the request was about: whoever erases a person erases what it was told.
    Column("subject", String(256), nullable=False),
    Index("ix_kept_answers_subject", "subject"),
    Index("ix_kept_answers_bucket", "bucket", "kept_us"),
)
