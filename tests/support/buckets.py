"""Servers of the S3 protocol for tests, over real HTTP: one for each provider."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from cloud.objects.s3 import Address, S3Store

SECRET = "a-secret-that-stands-nowhere"
BUCKET = "files"


@dataclass
class Provider:
    """A server of its own, and a client that looks into its bucket from outside."""

    endpoint: str
    client: Any
    credentials: Path

    def store(self, prefix: str = "site-1", timeout_s: float = 20.0) -> S3Store:
        address = Address(BUCKET, prefix=prefix, endpoint=self.endpoint, credentials=self.credentials)
        return S3Store(address, timeout_s=timeout_s)

    def bytes_of(self, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def names(self) -> list[str]:
        return [one["Key"] for one in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


@contextmanager
def running_providers(folder: Path, *, count: int = 2) -> Iterator[list[Provider]]:
    """Servers of one process share what they have: each provider's files need a prefix of their own."""
    servers = [ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False) for _ in range(count)]
    found = []
    for number, server in enumerate(servers):
        server.start()
        host, port = server.get_host_and_port()
        credentials = folder / f"provider-{number}.toml"
        credentials.write_text(f'access_key_id = "key-{number}"\nsecret_access_key = "{SECRET}"\n')
        client = boto3.client(
            "s3",
            endpoint_url=f"http://{host}:{port}",
            region_name="us-east-1",
            aws_access_key_id="id",
            aws_secret_access_key=SECRET,
        )
        found.append(Provider(f"http://{host}:{port}", client, credentials))
    empty(found[0])
    yield found
    for server in servers:
        server.stop()


def empty(provider: Provider) -> None:
    """A bucket without anything."""
    if BUCKET in [one["Name"] for one in provider.client.list_buckets()["Buckets"]]:
        for key in provider.names():
            provider.client.delete_object(Bucket=BUCKET, Key=key)
    else:
        provider.client.create_bucket(Bucket=BUCKET)
