"""DeviceService: the operator makes join tokens and looks at the devices."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from cloud.devices.tokens import JOIN_PREFIX, SECRET_BYTES, encode_token, token_sha256
from cloud.errors import Reason, ServiceError
from cloud.paging import check_page_size, encode_page_token, parse_page_token
from cloud.sources import Sources, from_us, to_us
from cloud.store import devices as rows
from cloud.store.database import Store
from verifield.v1 import attestation_pb2
from verifield.v1 import device_service_pb2 as pb
from verifield.v1.device_service_pb2_grpc import DeviceServiceServicer

DEFAULT_TTL = timedelta(days=1)
MIN_TTL = timedelta(minutes=1)
MAX_TTL = timedelta(days=30)
"""A token is a key to the deployment: it should not lie about for long."""

_SITE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FILTERS = "devices"

Context = grpc.aio.ServicerContext[Any, Any]


class DeviceService(DeviceServiceServicer):
    def __init__(self, store: Store, sources: Sources) -> None:
        self._store = store
        self._sources = sources

    async def CreateJoinToken(
        self, request: pb.CreateJoinTokenRequest, context: Context
    ) -> pb.CreateJoinTokenResponse:
        site_id = check_site(request.site_id)
        now = self._sources.now()
        expires = now + parse_ttl(request)
        token = encode_token(JOIN_PREFIX, self._sources.random_bytes(SECRET_BYTES))

        def write() -> None:
            with self._store.writing() as connection:
                rows.add_join_token(
                    connection,
                    token_sha256=token_sha256(token),
                    site_id=site_id,
                    created_us=to_us(now),
                    expires_us=to_us(expires),
                )

        await asyncio.to_thread(write)
        return pb.CreateJoinTokenResponse(join_token=token, expire_time=_timestamp(to_us(expires)))

    async def ListDevices(self, request: pb.ListDevicesRequest, context: Context) -> pb.ListDevicesResponse:
        size = check_page_size(request.page_size)
        after = parse_page_token(request.page_token, filters=_FILTERS)

        def read() -> list[rows.DeviceRow]:
            with self._store.reading() as connection:
                return rows.list_devices(connection, after=after, limit=size + 1)

        found = await asyncio.to_thread(read)
        page = found[:size]
        more = len(found) > size
        return pb.ListDevicesResponse(
            devices=[_to_device(row) for row in page],
            next_page_token=encode_page_token(page[-1].device_id, filters=_FILTERS) if more else "",
        )


def check_site(site_id: str) -> str:
    """Return a site id that is fit for logs and file names.

    Raises:
        ServiceError: it is not.
    """
    if not _SITE_ID.fullmatch(site_id):
        raise ServiceError(
            Reason.SITE_INVALID, "The site id is missing or has characters that are not allowed."
        )
    return site_id


def parse_ttl(request: pb.CreateJoinTokenRequest) -> timedelta:
    """Return how long the token is good for.

    Raises:
        ServiceError: out of range.
    """
    if not request.HasField("ttl"):
        return DEFAULT_TTL
    seconds = request.ttl.seconds + request.ttl.nanos / 1e9
    if not MIN_TTL.total_seconds() <= seconds <= MAX_TTL.total_seconds():
        raise ServiceError(Reason.TTL_OUT_OF_RANGE, "The token's lifetime is out of range.")
    return timedelta(seconds=seconds)


def _to_device(row: rows.DeviceRow) -> pb.Device:
    device = pb.Device(
        device_id=row.device_id,
        site_id=row.site_id,
        key_protection=attestation_pb2.KeyProtection.ValueType(row.key_protection),
        enrolled_time=_timestamp(row.enrolled_us),
        chain_epoch=row.chain_epoch,
        seq=row.seq,
    )
    if row.last_delivery_us is not None:
        device.last_delivery_time.CopyFrom(_timestamp(row.last_delivery_us))
    return device


def _timestamp(microseconds: int) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(from_us(microseconds))
    return stamp
