"""Turns what a call raised into what its caller reads: one rich status (google.rpc.Status)."""

from __future__ import annotations

from collections.abc import Callable

import grpc
from google.rpc.error_details_pb2 import RequestInfo
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from structlog.typing import FilteringBoundLogger

from cloud.access.call import Call, Refused, Serve
from cloud.api.statuses import LANGUAGE_KEY, to_status
from cloud.errors import Reason, ServiceError
from cloud.privacy.sealing import SealBrokenError
from cloud.store.faults import is_lost

_ERROR_ID_BYTES = 6


class ErrorLayer:
    """Answers carry a reason and a hint; what nobody expected carries an id, under which the log explains."""

    def __init__(self, log: FilteringBoundLogger, random_bytes: Callable[[int], bytes]) -> None:
        self._log = log
        self._random_bytes = random_bytes

    async def around(self, call: Call, serve: Serve) -> object:
        try:
            return await serve()
        except grpc.aio.AbortError:  # the service itself has ended the call
            raise
        except Exception as error:
            refusal = self._to_refusal(error, call)
            status = to_status(refusal, accept_language=call.one(LANGUAGE_KEY))
            status.details.add().Pack(RequestInfo(request_id=call.request_id))
            raise Refused(refusal, status) from error

    def check(self, call: Call, request: object) -> None:
        """Nothing."""

    def _to_refusal(self, error: Exception, call: Call) -> ServiceError:
        if isinstance(error, ServiceError):
            return error
        error_id = self._random_bytes(_ERROR_ID_BYTES).hex()
        self._log.error("call failed", method=call.method, error_id=error_id, exc_info=error)
        if _is_databases(error):
            return ServiceError(
                Reason.STORE_UNAVAILABLE, "The database does not answer.", {"error_id": error_id}
            )
        if isinstance(error, SealBrokenError):
            return ServiceError(
                Reason.RECORD_DAMAGED,
                "What is sealed here cannot be opened: it was changed, or sealed with another key ring. "
                "Whoever runs the service restores keys/privacy.json, or the database, from a backup.",
                {"error_id": error_id},
            )
        return ServiceError(
            Reason.INTERNAL, f"Something unexpected went wrong (error id {error_id}).", {"error_id": error_id}
        )


def _is_databases(error: Exception) -> bool:
    """Whether the database does not work now: it is away, in another role, or has no connection free."""
    if isinstance(error, OperationalError | PoolTimeoutError):
        return True
    return isinstance(error, DBAPIError) and is_lost(error)
