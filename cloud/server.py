"""The two gRPC ports: one for operators and enrolment, one with mutual TLS for devices."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Sequence

import grpc
from grpc_channelz.v1 import channelz, channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from cloud.api.described import describing_pool
from cloud.authority import Authority
from cloud.config import format_address
from cloud.errors import SetupError
from cloud.health import NOT_SERVING, SERVING, Health
from cloud.methods import Methods

MAX_PUBLIC_MESSAGE_BYTES = 320 * 1024
"""A registration holds the picture of a face (256 KiB). Of MAX_CALLS, each as large as that, 320 MiB wait."""

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

MAX_METADATA_BYTES = 16 * 1024
"""Of one call, what gRPC adds to it included. A sign-in token has 8 KiB at most (cloud.access.oidc)."""

HANDSHAKE_TIMEOUT_MS = 60_000
"""A TLS handshake brings 4 KiB: two seconds on a link of 2 KiB/s. gRPC itself would wait for two minutes."""

MAX_IDLE_MS = 15 * 60_000
"""A connection without calls is closed; clients open another one by themselves."""

MAX_PING_STRIKES = 2
"""So often a client may ping too soon, then its connection is closed."""

MAX_CONNECTIONS = 12_000
"""Of one port: ten thousand devices with one connection each, and some to spare. Further ones are closed at
once. Where the process may not have so many files, it is what they leave: see ``connections_within``."""

LOOKAHEAD_BYTES = 256 * 1024
"""What a stream may send ahead of being read. gRPC's own measure of the line would let it grow to megabytes
for each stream of those who send without reading; this fills a line of 10 Mbit/s at 200 ms."""

RESERVED_FILES = 512
"""For the database, the log and files of devices, which must not fail because somebody opens connections."""

REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"


CHANNELZ: str = channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name


class Port:
    """One port, bound to its address; services are added before it starts."""

    def __init__(self, server: grpc.aio.Server, *, host: str, port: int) -> None:
        self.server = server
        self.host = host
        self.port = port
        self.methods = Methods()
        self._health = Health()
        self._names: tuple[str, ...] = ()

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
                ("grpc.http2.max_ping_strikes", MAX_PING_STRIKES),
                # Beyond the first limit gRPC refuses ever more often, beyond the second always: one limit.
                ("grpc.max_metadata_size", MAX_METADATA_BYTES),
                ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
                ("grpc.server_handshake_timeout_ms", HANDSHAKE_TIMEOUT_MS),
                ("grpc.max_connection_idle_ms", MAX_IDLE_MS),
                ("grpc.max_allowed_incoming_connections", connections_within(_files())),
                ("grpc.http2.bdp_probe", 0),
                ("grpc.http2.lookahead_bytes", LOOKAHEAD_BYTES),
                ("grpc.enable_channelz", 1),
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
        """Start serving the methods that were added, beside them health and both reflection protocols."""
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.methods.as_server)
        # v1 is served but not listed: it has no descriptor here, and tools describe all that is listed.
        names = [*service_names, health.SERVICE_NAME, reflection.SERVICE_NAME, CHANNELZ]
        servicer = reflection.aio.ReflectionServicer(names, pool=describing_pool(names))
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, self.methods.as_server)
        # The messages of v1 are those of v1alpha under another package name.
        handler = grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        self.methods.add_registered_method_handlers(REFLECTION_V1, {"ServerReflectionInfo": handler})
        channelz_pb2_grpc.add_ChannelzServicer_to_server(
            channelz.aio.ChannelzServicer(), self.methods.as_server
        )
        self.server.add_generic_rpc_handlers((self.methods,))
        self._names = (*service_names, health.OVERALL_HEALTH)
        await self.set_serving(True)
        await self.server.start()

    async def set_serving(self, serving: bool) -> None:
        """Tell in the health service whether calls make sense now; after ``stop`` they never do again."""
        status = SERVING if serving else NOT_SERVING
        for name in self._names:
            await self._health.set(name, status)

    async def stop(self, grace_s: float, *, now: asyncio.Event | None = None) -> None:
        """Say so in the health service, take no new calls (GOAWAY), and give the running ones ``grace_s``.

        Once ``now`` is set, those that still run are ended.
        """
        await self._health.end()
        stopping = asyncio.create_task(self.server.stop(grace_s))
        if now is not None:
            hurried = asyncio.create_task(now.wait())
            await asyncio.wait((stopping, hurried), return_when=asyncio.FIRST_COMPLETED)
            hurried.cancel()
            if not stopping.done():
                await self.server.stop(0)
        await stopping


def connections_within(files: int) -> int:
    """How many connections each of the two ports may have where the process may open ``files``."""
    return max(1, min(MAX_CONNECTIONS, (files - RESERVED_FILES) // 2))


def _files() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 2 * MAX_CONNECTIONS + RESERVED_FILES


def public_credentials(authority: Authority) -> grpc.ServerCredentials:
    """TLS with our certificate."""
    return grpc.ssl_server_credentials([authority.server_pem()])


def device_credentials(authority: Authority) -> grpc.ServerCredentials:
    """TLS with our certificate, and one of our root demanded from the client."""
    return grpc.ssl_server_credentials(
        [authority.server_pem()], root_certificates=authority.root_pem(), require_client_auth=True
    )
