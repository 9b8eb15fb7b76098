"""The two gRPC ports: one for operators and enrolment, one with mutual TLS for devices."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from cloud.authority import Authority
from cloud.config import format_address
from cloud.errors import SetupError

MAX_PUBLIC_MESSAGE_BYTES = 64 * 1024
"""Requests of operators and enrolments have a few KiB."""

MAX_DEVICE_MESSAGE_BYTES = 3 * 1024 * 1024 + 128 * 1024
"""A full batch (2 MiB), damaged records (1 MiB), their framing, and certificates beside them."""

MAX_STREAMS_PER_CONNECTION = 32
"""A device needs one stream and a few calls; more is an attack on memory."""

MAX_CALLS = 1024
"""At the same time on one port; further ones are answered RESOURCE_EXHAUSTED."""

KEEPALIVE_MS = 60_000
KEEPALIVE_TIMEOUT_MS = 150_000
"""A half-open connection is noticed within four minutes, and its stream freed. The answer to a ping may
stand behind a chunk of 256 KiB that a device sends: two minutes on a link of 2 KiB/s."""

MIN_CLIENT_PING_MS = 20_000
"""Devices behind NAT may ping this often without being cut off."""

REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"


class Port:
    """One port, bound to its address; services are added before it starts."""

    def __init__(self, server: grpc.aio.Server, *, host: str, port: int) -> None:
        self.server = server
        self.host = host
        self.port = port
        self._health = health.aio.HealthServicer()

    @classmethod
    def bind(
        cls,
        address: tuple[str, int],
        credentials: grpc.ServerCredentials,
        *,
        interceptor: grpc.aio.ServerInterceptor,
        max_message_bytes: int,
    ) -> Port:
        """Take the address; port 0 lets the system choose one.

        Raises:
            SetupError: it is taken, or not an address of this machine.
        """
        server = grpc.aio.server(
            interceptors=[interceptor],
            options=[
                ("grpc.max_receive_message_length", max_message_bytes),
                ("grpc.max_concurrent_streams", MAX_STREAMS_PER_CONNECTION),
                ("grpc.keepalive_time_ms", KEEPALIVE_MS),
                ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
                ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),  # of all pings: the larger one counts
                ("grpc.http2.min_ping_interval_without_data_ms", MIN_CLIENT_PING_MS),
                # Two services on one port would each get half of the calls.
                ("grpc.so_reuseport", 0),
            ],
            maximum_concurrent_rpcs=MAX_CALLS,
        )
        host, wanted = address
        try:
            port = server.add_secure_port(format_address(host, wanted), credentials)
        except RuntimeError as error:
            raise SetupError(
                "PORT_UNAVAILABLE",
                f"The address {format_address(host, wanted)} cannot be used.",
                hint="Stop what uses it, or choose another with --listen or --device-listen.",
            ) from error
        return cls(server, host=host, port=port)

    @property
    def address(self) -> str:
        """HOST:PORT with the real port."""
        return format_address(self.host, self.port)

    async def start(self, service_names: Sequence[str]) -> None:
        """Start serving what was added, with health and both reflection protocols beside it."""
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.server)
        # v1 is served but not listed: it has no descriptor here, and tools describe all that is listed.
        names = [*service_names, health.SERVICE_NAME, reflection.SERVICE_NAME]
        servicer = reflection.aio.ReflectionServicer(names)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, self.server)
        # The messages of v1 are those of v1alpha under another package name.
        handler = grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        self.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(REFLECTION_V1, {"ServerReflectionInfo": handler}),)
        )
        for name in service_names:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        await self.server.start()

    async def stop(self, grace_s: float) -> None:
        """Say so in the health service, take no new calls, and give the running ones ``grace_s``."""
        await self._health.enter_graceful_shutdown()
        await self.server.stop(grace_s)


def public_credentials(authority: Authority) -> grpc.ServerCredentials:
    """TLS with our certificate."""
    return grpc.ssl_server_credentials([authority.server_pem()])


def device_credentials(authority: Authority) -> grpc.ServerCredentials:
    """TLS with our certificate, and one of our root demanded from the client."""
    return grpc.ssl_server_credentials(
        [authority.server_pem()], root_certificates=authority.root_pem(), require_client_auth=True
    )
