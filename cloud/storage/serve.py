"""What is served of the stores of files."""

from __future__ import annotations

from cloud.objects.care import Care
from cloud.objects.replicas import Replicas
from cloud.serving import Base, Served, served
from cloud.storage.service import StorageService
from verifield.v1 import storage_service_pb2, storage_service_pb2_grpc


def services(base: Base, replicas: Replicas, care: Care) -> list[Served]:
    """StorageService."""
    return [
        served(
            storage_service_pb2,
            storage_service_pb2_grpc.add_StorageServiceServicer_to_server,
            StorageService(base, replicas, care),
        )
    ]
