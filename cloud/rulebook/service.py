"""RulebookService: rules that change on a day."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from sqlalchemy import Connection

from cloud.access.call import caller_of_call
from cloud.errors import Reason, ServiceError
from cloud.paging import encode_page_token, page_size, parse_position
from cloud.rulebook.describe import describe, describe_first, next_of
from cloud.rulebook.desk import OnPublished, RulebookDesk
from cloud.rulebook.editions import find
from cloud.rulebook.kinds import RuleKind, kind_numbered, kind_of
from cloud.rulebook.versions import find_client
from cloud.serving import Base
from cloud.sources import to_us
from cloud.store import rulebook as rows
from verifield.v1 import rulebook_pb2
from verifield.v1 import rulebook_service_pb2 as pb
from verifield.v1.rulebook_service_pb2_grpc import RulebookServiceServicer

MAX_EDITIONS_PAGE = 50
"""Editions of some 10 KiB each: a page stays below gRPC's default of 4 MiB."""

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")


class RulebookService(RulebookServiceServicer):
    def __init__(self, base: Base, on_published: tuple[OnPublished, ...] = ()) -> None:
        self._base = base
        self._desk = RulebookDesk(base.sources, on_published)

    async def PublishRules(
        self, request: pb.PublishRulesRequest, context: Context
    ) -> pb.PublishRulesResponse:
        author = caller_of_call().path
        effective = request.effective_time if request.HasField("effective_time") else None

        def work(connection: Connection) -> pb.PublishRulesResponse:
            row = self._desk.publish(
                connection, request.rules, effective=effective, author=author, note=request.note
            )
            return pb.PublishRulesResponse(edition=self._now(connection, row))

        return await self._base.mutations.run(
            request,
            action="rules.publish",
            subject=lambda answer: _subject(answer.edition),
            work=work,
            facts={"kind": kind_of(request.rules).name},
        )

    async def WithdrawRules(
        self, request: pb.WithdrawRulesRequest, context: Context
    ) -> pb.WithdrawRulesResponse:
        kind = kind_numbered(request.kind)

        def work(connection: Connection) -> pb.WithdrawRulesResponse:
            row = self._desk.withdraw(connection, kind, request.version)
            return pb.WithdrawRulesResponse(edition=self._now(connection, row))

        return await self._base.mutations.run(
            request,
            action="rules.withdraw",
            subject=f"rules/{kind.name}/{request.version}",
            work=work,
        )

    async def GetRules(self, request: pb.GetRulesRequest, context: Context) -> pb.GetRulesResponse:
        kind = kind_numbered(request.kind)
        at_us = request.at.ToMicroseconds() if request.HasField("at") else to_us(self._base.sources.now())

        def read(connection: Connection) -> rulebook_pb2.RuleEdition:
            if not request.version:
                row = rows.effective_at(connection, kind.number, at_us)
                return self._describe(connection, row, at_us) if row else _first(connection, kind, at_us)
            row = rows.get_edition(connection, kind.number, request.version)
            if row is None:
                raise ServiceError(
                    Reason.RULES_NOT_FOUND, f"There are no rules {kind.name} of version {request.version}."
                )
            return self._describe(connection, row, at_us)

        return pb.GetRulesResponse(edition=await self._base.store.look(read))

    async def ListEditions(
        self, request: pb.ListEditionsRequest, context: Context
    ) -> pb.ListEditionsResponse:
        kind = kind_numbered(request.kind)
        filters = f"rules {kind.name}"
        size = min(page_size(request.page_size), MAX_EDITIONS_PAGE)
        before = parse_position(request.page_token, filters=filters)
        at_us = to_us(self._base.sources.now())

        def read(connection: Connection) -> pb.ListEditionsResponse:
            found = rows.list_editions(connection, kind.number, before=before, limit=size + 1)
            page = found[:size]
            answer = pb.ListEditionsResponse(
                editions=[self._describe(connection, row, at_us) for row in page]
            )
            if len(found) > size:
                answer.next_page_token = encode_page_token(str(page[-1].version), filters=filters)
            else:
                answer.editions.append(_first(connection, kind, at_us))
            return answer

        return await self._base.store.look(read)

    async def GetVersionInfo(
        self, request: pb.GetVersionInfoRequest, context: Context
    ) -> pb.GetVersionInfoResponse:
        now_us = to_us(self._base.sources.now())
        edition = await self._base.store.look(
            lambda connection: find(connection, RuleKind.CLIENT_VERSIONS, now_us)
        )
        served = find_client(edition.rules, request.client)
        if served is None:
            raise ServiceError(Reason.CLIENT_UNKNOWN, f"There is no client {request.client}.")
        return pb.GetVersionInfoResponse(
            min_version=served.min_version,
            latest_version=served.latest_version,
            notes=served.notes,
            features=served.features,
            rules_version=edition.version,
        )

    def _now(self, connection: Connection, row: rows.EditionRow) -> rulebook_pb2.RuleEdition:
        return self._describe(connection, row, to_us(self._base.sources.now()))

    def _describe(self, connection: Connection, row: rows.EditionRow, at_us: int) -> rulebook_pb2.RuleEdition:
        return describe(row, next_us=next_of(connection, row), at_us=at_us)


def _first(connection: Connection, kind: RuleKind[Message], at_us: int) -> rulebook_pb2.RuleEdition:
    after = rows.following(connection, kind.number, 0)
    return describe_first(kind, next_us=after.effective_us if after else None, at_us=at_us)


def _subject(edition: rulebook_pb2.RuleEdition) -> str:
    return f"rules/{kind_numbered(edition.kind).name}/{edition.version}"
