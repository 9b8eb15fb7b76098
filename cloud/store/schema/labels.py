"""What operators note about devices."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, String, Table

from cloud.store.schema.base import metadata

device_labels = Table(
    "device_labels",
    metadata,
    Column("device_id", String(36), ForeignKey("devices.device_id"), primary_key=True),
    Column("key", String(32), primary_key=True),
    Column("value", String(64), nullable=False),
)
