"""The people who operate the service: their roles, and the certificates by which they come."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, String, Table

from cloud.store.schema.base import metadata

users = Table(
    "users",
    metadata,
    Column("user_id", String(36), primary_key=True),
    Column("login", String(32), nullable=False, unique=True),
    Column("state", Integer, nullable=False),  # UserState
    # Sealed with the user's own key (person_keys).
    Column("display_name", LargeBinary),
    # Who vouches at sign-in by token; the subject sealed, and a blind index of both.
    Column("issuer", String(256)),
    Column("subject", LargeBinary),
    Column("identity", LargeBinary(36), unique=True),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    # Counts the changes, those of the roles too.
    Column("version", BigInteger, nullable=False),
)

user_roles = Table(
    "user_roles",
    metadata,
    Column("user_id", String(36), ForeignKey("users.user_id"), primary_key=True),
    Column("role", Integer, primary_key=True, autoincrement=False),  # Role
    Index("ix_user_roles_role", "role", "user_id"),
)

user_certificates = Table(
    "user_certificates",
    metadata,
    Column("user_id", String(36), ForeignKey("users.user_id"), primary_key=True),
    Column("serial", String(40), primary_key=True),  # hexadecimal, without leading zeros
    Column("issued_us", BigInteger, nullable=False),
    Column("not_after_us", BigInteger, nullable=False),
    Column("revoked_us", BigInteger),
)
