"""PolicyService: the operator publishes the rules that every device obeys.

1  its version is the one after the newest
2  it keeps the rules of the protocol, and loosens nothing below the floors (verifield.policy)
3  it is signed, and checked as devices will check it: what they would refuse is not published
4  it is kept and handed down to every device, in one transaction
"""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from sqlalchemy import Connection

from cloud.authority import Authority
from cloud.errors import Reason, ServiceError
from cloud.mutations import Mutations
from cloud.paging import encode_page_token, page_size, parse_position
from cloud.signing import sign_for_devices
from cloud.sources import Sources, to_us
from cloud.store import feed
from cloud.store import policies as rows
from cloud.store.database import Store
from verifield.dsse import parse_envelope
from verifield.errors import VerifieldError
from verifield.policy import (
    POLICY_TYPE,
    check_floors,
    check_policy,
    encode_policy,
    parse_policy,
    policy_sha256,
)
from verifield.v1 import policy_service_pb2 as pb
from verifield.v1.policy_pb2 import Policy
from verifield.v1.policy_service_pb2_grpc import PolicyServiceServicer
from verifield.v1.sync_service_pb2 import DOWN_ITEM_KIND_POLICY

MAX_POLICIES_PAGE = 50
"""Policies of at most 64 KiB each (verifield.dsse): a page stays below gRPC's default of 4 MiB."""

_FEED_ITEM = "policy"
_FILTERS = "policies"

Context = grpc.aio.ServicerContext[Any, Any]


class PolicyService(PolicyServiceServicer):
    def __init__(self, store: Store, authority: Authority, sources: Sources, mutations: Mutations) -> None:
        self._store = store
        self._authority = authority
        self._sources = sources
        self._mutations = mutations

    async def PublishPolicy(
        self, request: pb.PublishPolicyRequest, context: Context
    ) -> pb.PublishPolicyResponse:
        def work(connection: Connection) -> pb.PublishPolicyResponse:
            row = publish_policy(connection, self._authority, self._sources, request.policy)
            return pb.PublishPolicyResponse(policy=_policy_of(row), sha256=row.payload_sha256)

        return await self._mutations.run(
            request,
            action="policies.publish",
            subject=f"policies/{request.policy.version}",
            work=work,
        )

    async def ListPolicies(
        self, request: pb.ListPoliciesRequest, context: Context
    ) -> pb.ListPoliciesResponse:
        size = min(page_size(request.page_size), MAX_POLICIES_PAGE)
        before = parse_position(request.page_token, filters=_FILTERS)

        def read() -> list[rows.PolicyRow]:
            with self._store.reading() as connection:
                return rows.list_policies(connection, before=before, limit=size + 1)

        found = await asyncio.to_thread(read)
        page = found[:size]
        return pb.ListPoliciesResponse(
            policies=[_policy_of(row) for row in page],
            next_page_token=encode_page_token(str(page[-1].version), filters=_FILTERS)
            if len(found) > size
            else "",
        )

    async def GetPolicy(self, request: pb.GetPolicyRequest, context: Context) -> pb.GetPolicyResponse:
        def read() -> rows.PolicyRow | None:
            with self._store.reading() as connection:
                return rows.get_policy(connection, request.version)

        row = await asyncio.to_thread(read)
        if row is None:
            raise ServiceError(Reason.POLICY_NOT_FOUND, f"There is no policy of version {request.version}.")
        return pb.GetPolicyResponse(
            envelope=row.envelope,
            certificates=self._authority.chain_of(self._authority.policy.certificate),
        )


def publish_policy(
    connection: Connection, authority: Authority, sources: Sources, wanted: Policy
) -> rows.PolicyRow:
    """Sign ``wanted`` as the newest policy and hand it down.

    Pictures are encrypted to this service's own key where the policy names none.

    Raises:
        ServiceError: POLICY_INVALID or POLICY_VERSION.
    """
    newest = rows.newest_policy(connection)
    expected = newest.version + 1 if newest else 1
    if wanted.version != expected:  # step 1
        raise ServiceError(
            Reason.POLICY_VERSION,
            f"The policy has version {wanted.version}; the next one is {expected}.",
            {"expected": str(expected)},
        )
    now = sources.now()
    policy = Policy()
    policy.CopyFrom(wanted)
    policy.issue_time.FromDatetime(now)
    if policy.media.keep and not policy.media.recipient_key:
        policy.media.recipient_key = authority.media_key.public_key().public_bytes_raw()
    try:
        payload = encode_policy(policy)  # step 2
        check_floors(policy)
        envelope = sign_for_devices(authority, payload_type=POLICY_TYPE, payload=payload)  # step 3
        check_policy(
            envelope, certificates=authority.chain_of(authority.policy.certificate), roots=[authority.root]
        )
    except VerifieldError as error:
        raise ServiceError(Reason.POLICY_INVALID, error.message, {"check": error.code}) from error
    row = rows.PolicyRow(policy.version, envelope, policy_sha256(payload), to_us(now))
    rows.add_policy(connection, row)  # step 4
    feed.publish(connection, feed.SCOPE_ALL, kind=DOWN_ITEM_KIND_POLICY, item_id=_FEED_ITEM, content=envelope)
    return row


def _policy_of(row: rows.PolicyRow) -> Policy:
    return parse_policy(parse_envelope(row.envelope).payload)
