"""CatalogService: what is offered."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

from typing import Any

import grpc

from cloud.business.catalogue import MENU, SERVICE_TYPES, Function, Module, Name, ServiceType
from verifield.v1 import catalog_service_pb2 as pb
from verifield.v1.catalog_service_pb2_grpc import CatalogServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]


class CatalogService(CatalogServiceServicer):
    """Reads nothing but the catalogue."""

    async def ListServiceTypes(
        self, request: pb.ListServiceTypesRequest, context: Context
    ) -> pb.ListServiceTypesResponse:
        wanted = [one for one in SERVICE_TYPES.values() if request.group in (0, one.group)]
        return pb.ListServiceTypesResponse(service_types=map(_service_type, wanted))

    async def ListFunctions(
        self, request: pb.ListFunctionsRequest, context: Context
    ) -> pb.ListFunctionsResponse:
        return pb.ListFunctionsResponse(modules=map(_module, MENU))


def _service_type(one: ServiceType) -> pb.ServiceType:
    return pb.ServiceType(
        code=one.code,
        name=_name(one.name),
        group=one.group,
        number=one.number,
        needs_reason=one.needs_reason,
    )


def _module(one: Module) -> pb.CatalogModule:
    return pb.CatalogModule(code=one.code, name=_name(one.name), functions=map(_function, one.functions))


def _function(one: Function) -> pb.CatalogFunction:
    return pb.CatalogFunction(
        code=one.code, name=_name(one.name), reads_card=one.reads_card, needs_account=one.needs_account
    )


def _name(name: Name) -> pb.CatalogName:
    return pb.CatalogName(zh=name.zh, en=name.en, es=name.es)
