"""What a person is shown of a device's health: one item for each thing, in words. Pure.

Every problem of ``edge.health`` belongs to one item, which shows the gravest of its own. An item is OK only
where it was looked at and nothing stands against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType

from edge.errors import EdgeError
from edge.health import BAD, NOT_LOOKED_AT, Health, PartLook, judge_health
from edge.remedies import LANGUAGES, told
from edge.texts import Language


class HealthState(StrEnum):
    OK = "ok"
    WARN = "warn"  # it works, and somebody should look before long
    BAD = "bad"  # no session, or none that counts


@dataclass(frozen=True, slots=True)
class HealthItem:
    """``code``: stable, empty where all is well; ``value``: a figure such as ``12 d``, may be empty."""

    name: str
    state: HealthState
    code: str
    text: Mapping[Language, str]
    what_to_do: Mapping[Language, str]
    value: str = ""


ITEM_NAMES: Mapping[str, Mapping[Language, str]] = MappingProxyType(
    {
        "device": {"zh": "设备", "es": "Equipo", "en": "Device"},
        "policy": {"zh": "策略", "es": "Normas", "en": "Policy"},
        "clock": {"zh": "时钟", "es": "Reloj", "en": "Clock"},
        "certificate": {"zh": "证书", "es": "Certificado", "en": "Certificate"},
        "key": {"zh": "密钥", "es": "Clave", "en": "Key"},
        "camera": {"zh": "摄像头", "es": "Cámara", "en": "Camera"},
        "reader": {"zh": "读卡器", "es": "Lector de documentos", "en": "Card reader"},
        "models": {"zh": "人脸模型", "es": "Modelos faciales", "en": "Face models"},
        "gallery": {"zh": "图库", "es": "Galería", "en": "Gallery"},
        "disk": {"zh": "磁盘", "es": "Disco", "en": "Disk"},
        "queue": {"zh": "待发送记录", "es": "Registros en espera", "en": "Records that wait"},
        "receipt": {"zh": "最近回执", "es": "Último recibo", "en": "Last receipt"},
        "delivery": {"zh": "传输程序", "es": "Servicio de envío", "en": "Delivery"},
        "news": {"zh": "云端通知", "es": "Novedades de la nube", "en": "News from the cloud"},
    }
)
"""In the order in which they are shown."""

OPTIONAL = frozenset({"gallery"})
"""Left out where nobody has looked: most devices have none."""

_ITEM_OF: Mapping[str, str] = MappingProxyType(
    {
        "DEVICE_LOCKED": "device",
        "DEVICE_STOPPED": "device",
        "DEVICE_DEGRADED": "device",
        "POLICY_DAMAGED": "policy",
        "POLICY_INCOMPLETE": "policy",
        "POLICY_EXPIRED": "policy",
        "POLICY_MISSING": "policy",
        "CLOCK_WRONG": "clock",
        "CLOCK_SUSPECT": "clock",
        "CERTIFICATE_EXPIRED": "certificate",
        "CERTIFICATE_EXPIRES": "certificate",
        "DISK_RESERVE": "disk",
        "DISK_LOW": "disk",
        "QUEUE_UNUSABLE": "queue",
        "QUEUE_STUCK": "queue",
        "RECORDS_DAMAGED": "queue",
        "RECORDS_REFUSED": "queue",
        "QUEUE_WAITS": "queue",
        "RECORDS_LEFT": "queue",
        "RECEIPT_OVERDUE": "receipt",
        "RECEIPT_LATE": "receipt",
        "DELIVERY_HALTED": "delivery",
        "DELIVERY_SILENT": "delivery",
        "DELIVERY_TROUBLE": "delivery",
        "NEWS_REFUSED": "news",
    }
)
_PARTS = ("key", "camera", "reader", "models", "gallery")
"""What is looked at from outside; their problems are the codes of the faults that were met."""

_WELL: Mapping[Language, str] = {"zh": "正常", "es": "Correcto", "en": "Good"}
_NOTHING: Mapping[Language, str] = {"zh": "", "es": "", "en": ""}


def health_items(health: Health) -> tuple[HealthItem, ...]:
    """Return all items in their fixed order."""
    by_name: dict[str, list[str]] = {name: [] for name in ITEM_NAMES}
    parts = {name: getattr(health, name) for name in _PARTS}
    for code in judge_health(health):
        if code in _ITEM_OF:
            by_name[_ITEM_OF[code]].append(code)
    values = _values(health)
    items = []
    for name, codes in by_name.items():
        if name in OPTIONAL and parts[name] is None:
            continue
        if name in parts:
            items.append(_part_item(name, parts[name]))
        elif name == "delivery" and health.delivery is None:
            items.append(_item(name, HealthState.WARN, "DELIVERY_ABSENT", ""))
        elif codes:
            state = HealthState.BAD if codes[0] in BAD else HealthState.WARN
            items.append(_item(name, state, codes[0], values.get(name, "")))
        else:
            items.append(HealthItem(name, HealthState.OK, "", _WELL, _NOTHING, values.get(name, "")))
    return tuple(items)


def health_fault(error: EdgeError) -> tuple[HealthItem, ...]:
    """The one item of a device that could not be looked at."""
    return (_item("device", HealthState.BAD, error.code, "", message=error.message, hint=error.hint),)


def worst_state(items: Iterable[HealthItem]) -> HealthState:
    """The gravest state; BAD where there is no item at all: nothing was looked at."""
    states = {item.state for item in items}
    for state in (HealthState.BAD, HealthState.WARN, HealthState.OK):
        if state in states:
            return state
    return HealthState.BAD


def _part_item(name: str, look: PartLook | None) -> HealthItem:
    if look is None:
        return _item(name, HealthState.WARN, NOT_LOOKED_AT, "")
    if not look.code:
        return HealthItem(name, HealthState.OK, "", _WELL, _NOTHING, look.value)
    state = HealthState.WARN if look.works else HealthState.BAD
    return _item(name, state, look.code, look.value, message=look.message, hint=look.hint)


def _item(
    name: str, state: HealthState, code: str, value: str, *, message: str = "", hint: str = ""
) -> HealthItem:
    """Where a code has no text of its own, what the fault said of itself is better than nothing."""
    known = told(code)
    if known is None:
        text = dict.fromkeys(LANGUAGES, message or code)
        return HealthItem(name, state, code, text, dict.fromkeys(LANGUAGES, hint), value)
    return HealthItem(name, state, code, known.text, known.remedy, value)


def _values(health: Health) -> dict[str, str]:
    now = health.bounds.likely
    ends = [end for _, end in health.certificates]
    values = {
        "policy": str(health.policy.version) if health.policy else "",
        "certificate": in_days(min(ends) - now) if ends else "",
        "clock": health.bounds.wall.isoformat(timespec="minutes"),
    }
    stats, space = health.queue.stats, health.queue.space
    if space is not None:
        values["disk"] = f"{space.free_bytes * 100 // max(1, space.total_bytes)} %"
    if stats is not None:
        oldest = f", {in_days(now - stats.oldest_waiting)}" if stats.oldest_waiting else ""
        values["queue"] = f"{stats.pending}{oldest}"
        if stats.last_receipt_time is not None:
            values["receipt"] = stats.last_receipt_time.isoformat(timespec="minutes")
    if health.delivery is not None:
        values["delivery"] = health.delivery.code or health.delivery.state
    return values


def in_days(duration: timedelta) -> str:
    """``12 d`` or, below two days, ``31 h``; what is over has a minus."""
    hours = duration / timedelta(hours=1)
    return f"{int(hours // 24)} d" if abs(hours) >= 48 else f"{int(hours)} h"
