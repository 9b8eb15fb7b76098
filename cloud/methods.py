"""The methods of a port, found by name in one look.

What is generated adds each method to a server twice: to a list that is searched from its beginning, and
among methods that the server registers. At each call grpc.aio (1.85) waits for all of the latter anew, so
that a call costs the more the more methods there are (grpc/grpc#43461): with 200 of them as much as all the
rest of a small call. Here they are collected, and given to the server as one handler.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, cast

import grpc

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # not subscriptable when it runs


class Methods(grpc.GenericRpcHandler):
    """Takes what generated functions add to a server, in place of the server."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    @property
    def as_server(self) -> grpc.aio.Server:
        """For the functions named ``add_...Servicer_to_server``, which call the two methods below alone."""
        return cast("grpc.aio.Server", self)

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, Handler]
    ) -> None:
        """Serve these methods of a service."""
        for name, handler in method_handlers.items():
            self._handlers[f"/{service_name}/{name}"] = handler

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Nothing: the same methods come through the other door."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """The handler of a method; None where there is none."""
        return self._handlers.get(handler_call_details.method)
