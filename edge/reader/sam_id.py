"""The identity of a reader's security module."""

from __future__ import annotations

import struct
from datetime import date

SAM_ID_BYTES = 16


def parse_sam_id(data: bytes | bytearray) -> str | None:
    """Return the text form, such as ``05.03-20240115-0000123456-0987654321``, or None where it is none.

    Little-endian: kind and vendor (16 bits), date YYYYMMDD, serial, serial (32 bits).
    """
    if len(data) != SAM_ID_BYTES:
        return None
    kind, vendor, day, first, second = struct.unpack("<HHIII", data)
    if kind > 99 or vendor > 99:  # the text form has two digits for each
        return None
    try:
        date(day // 10000, day // 100 % 100, day % 100)
    except ValueError:
        return None
    return f"{kind:02d}.{vendor:02d}-{day:08d}-{first:010d}-{second:010d}"
