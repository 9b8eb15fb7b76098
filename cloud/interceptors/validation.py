"""Every request is checked against the rules of the contract before its service sees it."""

from __future__ import annotations

from google.protobuf.message import Message

from cloud.access.call import Call, Serve
from cloud.api.rules import check_rules
from cloud.errors import Reason, ServiceError
from cloud.interceptors.reading import Unreadable

PACKAGE = "verifield."
"""What others defined (health, reflection, channelz) has no rules of ours."""


class ValidationLayer:
    """The last layer before the service: who may not call learns nothing about rules."""

    async def around(self, call: Call, serve: Serve) -> object:  # noqa: ARG002 (the shape of a layer)
        """Nothing."""
        return await serve()

    def check(self, call: Call, request: object) -> None:
        """Check one request message, of a stream each.

        Raises:
            ServiceError: REQUEST_INVALID.
        """
        if isinstance(request, Unreadable):
            raise ServiceError(
                Reason.REQUEST_INVALID, "The request cannot be parsed.", {"rule": "message.readable"}
            )
        if call.service.startswith(PACKAGE) and isinstance(request, Message):
            check_rules(request)
