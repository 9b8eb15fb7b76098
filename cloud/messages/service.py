"""MessageService: what was sent to people, and what became of it."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

from typing import Any, TypeVar

import grpc
from sqlalchemy import Connection

from cloud.access.call import caller_of_call
from cloud.errors import Reason, ServiceError
from cloud.messages.outbox import Messages
from cloud.messages.values import Channel, State
from cloud.paging import encode_page_token, page_size, parse_page_token
from cloud.privacy.masks import mask_email, mask_phone
from cloud.serving import Base
from cloud.sources import from_us
from cloud.store import messages as rows
from verifield.v1 import message_service_pb2 as pb
from verifield.v1.message_service_pb2_grpc import MessageServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")


class MessageService(MessageServiceServicer):
    """Shows where messages go with their middle hidden, and never what they say."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._messages = Messages.of(base)

    async def ListMessages(
        self, request: pb.ListMessagesRequest, context: Context
    ) -> pb.ListMessagesResponse:
        filters = f"messages/{request.state}/{request.account_id}"
        found, token = await self._page(
            request, filters=filters, state=request.state, person_id=request.account_id
        )
        return pb.ListMessagesResponse(messages=found, next_page_token=token)

    async def ListOwnMessages(
        self, request: pb.ListOwnMessagesRequest, context: Context
    ) -> pb.ListOwnMessagesResponse:
        account_id = caller_of_call().name
        found, token = await self._page(request, filters=f"own/{account_id}", person_id=account_id)
        return pb.ListOwnMessagesResponse(messages=found, next_page_token=token)

    async def GetMessage(self, request: pb.GetMessageRequest, context: Context) -> pb.GetMessageResponse:
        def read(connection: Connection) -> pb.SentMessage:
            row = rows.get_message(connection, request.message_id.lower())
            if row is None:
                raise ServiceError(Reason.MESSAGE_NOT_FOUND, "There is no such message.")
            return self._describe(connection, [row])[0]

        return pb.GetMessageResponse(message=await self._base.store.look(read))

    async def RetryMessage(
        self, request: pb.RetryMessageRequest, context: Context
    ) -> pb.RetryMessageResponse:
        message_id = request.message_id.lower()

        def work(connection: Connection) -> pb.RetryMessageResponse:
            row = self._messages.take_up(connection, message_id)
            return pb.RetryMessageResponse(message=_to_message(row, ""))

        answer = await self._base.mutations.run(
            request, action="messages.retry", subject=f"messages/{message_id}", work=work
        )
        # Not part of what is kept to be answered again: it goes with the person.
        address = await self._base.store.look(
            lambda connection: self._messages.address(connection, message_id)
        )
        answer.message.masked_address = _masked(answer.message.channel, address)
        return answer

    async def _page(
        self,
        request: pb.ListMessagesRequest | pb.ListOwnMessagesRequest,
        *,
        filters: str,
        state: int = 0,
        person_id: str = "",
    ) -> tuple[list[pb.SentMessage], str]:
        size = page_size(request.page_size)
        behind = parse_page_token(request.page_token, filters=filters)

        def read(connection: Connection) -> tuple[list[pb.SentMessage], str]:
            found = rows.page_of_messages(
                connection, behind=behind, limit=size + 1, state=state, person_id=person_id.lower()
            )
            page = found[:size]
            more = len(found) > size
            token = encode_page_token(page[-1].message_id, filters=filters) if more else ""
            return self._describe(connection, page), token

        return await self._base.store.look(read)

    def _describe(self, connection: Connection, found: list[rows.MessageRow]) -> list[pb.SentMessage]:
        addresses = self._messages.addresses(connection, found)
        return [_to_message(row, addresses[row.message_id]) for row in found]


def _masked(channel: int, address: str) -> str:
    mask = mask_email if channel == Channel.EMAIL else mask_phone
    return mask(address) if address else ""


def _to_message(row: rows.MessageRow, address: str) -> pb.SentMessage:
    message = pb.SentMessage(
        message_id=row.message_id,
        person_id=row.person_id,
        channel=pb.MessageChannel.ValueType(row.channel),
        template=row.template,
        language=row.language,
        state=pb.MessageState.ValueType(row.state),
        masked_address=_masked(row.channel, address),
        attempts=row.attempts,
        fault=row.fault,
    )
    message.create_time.FromDatetime(from_us(row.created_us))
    message.update_time.FromDatetime(from_us(row.updated_us))
    if row.state == State.QUEUED:
        message.next_attempt_time.FromDatetime(from_us(row.due_us))
    if row.expires_us is not None:
        message.expire_time.FromDatetime(from_us(row.expires_us))
    return message
