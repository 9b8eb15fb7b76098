"""Rows of the labels that operators give to devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, FromClause, delete, insert, select

from cloud.store.schema import device_labels


def get_labels(connection: Connection, device_ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """Labels of those of these devices that have any, in ascending order of keys."""
    query = (
        select(*device_labels.c)
        .where(device_labels.c.device_id.in_(device_ids))
        .order_by(device_labels.c.device_id, device_labels.c.key)
    )
    found: dict[str, dict[str, str]] = {}
    for row in connection.execute(query):
        found.setdefault(row.device_id, {})[row.key] = row.value
    return found


def set_labels(connection: Connection, device_id: str, labels: Mapping[str, str]) -> None:
    """Replace all labels of a device, whose row is locked."""
    connection.execute(delete(device_labels).where(device_labels.c.device_id == device_id))
    rows = [{"device_id": device_id, "key": key, "value": value} for key, value in labels.items()]
    if rows:
        connection.execute(insert(device_labels), rows)


def has_label(devices: FromClause, key: str, value: str) -> ColumnElement[bool]:
    """The condition that a device has a label of this key and value."""
    return (
        select(device_labels.c.device_id)
        .where(
            device_labels.c.device_id == devices.c.device_id,
            device_labels.c.key == key,
            device_labels.c.value == value,
        )
        .exists()
    )
