"""StorageService: which store has what, for operators; nothing here opens a file."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from sqlalchemy import Connection

from cloud.errors import Reason, ServiceError
from cloud.objects.care import Care
from cloud.objects.files import StoreFault
from cloud.objects.guard import Guard
from cloud.objects.replicas import Replicas
from cloud.paging import encode_page_token, page_size, parse_digest
from cloud.serving import Base
from cloud.sources import from_us, to_us
from cloud.storage.health import StoreView, judge, look
from cloud.store import replicas as rows
from cloud.store.replicas import BEHIND, ReplicaState
from verifield.v1 import storage_service_pb2 as pb
from verifield.v1.storage_service_pb2_grpc import StorageServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]

AT_ONCE = 20
"""Files of one call: of a store elsewhere within some seconds."""


class StorageService(StorageServiceServicer):
    def __init__(self, base: Base, replicas: Replicas, care: Care) -> None:
        self._base = base
        self._replicas = replicas
        self._care = care

    async def GetStorageStatus(
        self, request: pb.GetStorageStatusRequest, context: Context
    ) -> pb.GetStorageStatusResponse:
        stores = await self._base.store.look(self._look)
        return pb.GetStorageStatusResponse(
            health=pb.StorageHealth.ValueType(judge(stores, copies=self._replicas.copies)),
            stores=map(_to_status, stores),
            copies=self._replicas.copies,
        )

    async def ListReplicas(
        self, request: pb.ListReplicasRequest, context: Context
    ) -> pb.ListReplicasResponse:
        guard = self._find(request.store)
        size = page_size(request.page_size)
        filters = f"replicas/{request.store}/{request.state}"
        behind = parse_digest(request.page_token, filters=filters)

        def read(connection: Connection) -> list[rows.ReplicaRow]:
            return rows.page_of_replicas(
                connection, store=guard.name, state=request.state, behind=behind, limit=size + 1
            )

        found = await self._base.store.look(read)
        page = found[:size]
        more = len(found) > size
        token = encode_page_token(page[-1].sealed_sha256.hex(), filters=filters) if more else ""
        return pb.ListReplicasResponse(replicas=map(_to_replica, page), next_page_token=token)

    async def ScrubStore(self, request: pb.ScrubStoreRequest, context: Context) -> pb.ScrubStoreResponse:
        guard = self._find(request.store)
        now_us = to_us(self._base.sources.now())
        given = request.before_time.ToMicroseconds() if request.HasField("before_time") else now_us
        before_us = min(max(given, 0), now_us)
        done = await asyncio.to_thread(self._care.scrub, guard, before_us=before_us, limit=AT_ONCE)

        def answer(connection: Connection) -> pb.ScrubStoreResponse:
            left = rows.count_to_check(connection, guard.name, before_us=before_us)
            return pb.ScrubStoreResponse(
                looked=done.looked, damaged=done.damaged, mended=done.mended, failed=done.failed, left=left
            )

        return await self._base.mutations.run(
            request, action="storage.scrub", subject=f"stores/{guard.name}", work=answer
        )

    async def RepairStore(self, request: pb.RepairStoreRequest, context: Context) -> pb.RepairStoreResponse:
        guard = self._find(request.store)
        await asyncio.to_thread(self._care.look_at, guard)
        done = await asyncio.to_thread(self._care.mend, guard, limit=AT_ONCE)

        def answer(connection: Connection) -> pb.RepairStoreResponse:
            counts = rows.tallies(connection)[guard.name].counts
            left = sum(counts.get(state, 0) for state in BEHIND)
            return pb.RepairStoreResponse(
                mended=done.mended, dropped=done.dropped, failed=done.failed, left=left
            )

        return await self._base.mutations.run(
            request, action="storage.repair", subject=f"stores/{guard.name}", work=answer
        )

    async def AddStore(self, request: pb.AddStoreRequest, context: Context) -> pb.AddStoreResponse:
        guard = self._find(request.store)
        try:
            entered = await asyncio.to_thread(self._care.look_at, guard, renew=request.renew)
        except StoreFault as error:
            raise _refused(error.fault.value) from error
        if not guard.admitted:
            raise _refused(guard.fault.value if guard.fault else "AWAY")

        def answer(connection: Connection) -> pb.AddStoreResponse:
            [store] = [one for one in self._look(connection) if one.name == guard.name]
            return pb.AddStoreResponse(store=_to_status(store), entered=entered)

        return await self._base.mutations.run(
            request, action="storage.add", subject=f"stores/{guard.name}", work=answer
        )

    async def RemoveStore(self, request: pb.RemoveStoreRequest, context: Context) -> pb.RemoveStoreResponse:
        def work(connection: Connection) -> pb.RemoveStoreResponse:
            if self._replicas.find(request.store) is not None:
                raise _refused("IN_USE")
            if rows.get_store(connection, request.store) is None:
                raise ServiceError(Reason.STORE_NOT_FOUND, "There is no such store.")
            return pb.RemoveStoreResponse(forgotten=rows.forget_store(connection, request.store))

        return await self._base.mutations.run(
            request, action="storage.remove", subject=f"stores/{request.store}", work=work
        )

    def _look(self, connection: Connection) -> list[StoreView]:
        return look(connection, self._replicas, now_us=to_us(self._base.sources.now()))

    def _find(self, name: str) -> Guard:
        guard = self._replicas.find(name)
        if guard is None:
            raise ServiceError(Reason.STORE_NOT_FOUND, "The settings name no such store.")
        return guard


def _refused(fault: str) -> ServiceError:
    said = f"The store cannot be taken up, or not be removed: {fault}."
    return ServiceError(Reason.STORE_REFUSED, said, {"fault": fault})


def _to_status(one: StoreView) -> pb.StoreStatus:
    counts = one.tally.counts
    status = pb.StoreStatus(
        name=one.name,
        role=pb.StoreRole.ValueType(one.role),
        kind=one.kind,
        provider=one.provider,
        up=one.up,
        fault=one.fault,
        ok=counts.get(ReplicaState.OK, 0),
        lagging=counts.get(ReplicaState.LAGGING, 0),
        corrupt=counts.get(ReplicaState.CORRUPT, 0),
        repaired=counts.get(ReplicaState.REPAIRED, 0),
        dropped=counts.get(ReplicaState.DROPPED, 0),
    )
    status.lag.FromMicroseconds(one.lag_us)
    if one.row and one.row.fault_us is not None:
        status.fault_time.FromDatetime(from_us(one.row.fault_us))
    if one.row and one.row.seen_us is not None:
        status.seen_time.FromDatetime(from_us(one.row.seen_us))
    return status


def _to_replica(row: rows.ReplicaRow) -> pb.StoredReplica:
    replica = pb.StoredReplica(
        sha256=row.sealed_sha256,
        state=pb.ReplicaState.ValueType(row.state),
        fault=row.fault,
        tries=row.tries,
    )
    replica.since_time.FromDatetime(from_us(row.since_us))
    if row.checked_us:
        replica.check_time.FromDatetime(from_us(row.checked_us))
    return replica
