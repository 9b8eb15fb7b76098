"""What surrounds every call: see ``cloud.access.call`` for the order and the shape of the layers."""

from cloud.api.statuses import to_status
from cloud.interceptors.chain import CallInterceptor

__all__ = ["CallInterceptor", "to_status"]
