"""Search, and the lists of operators."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Connection

from cloud.contracts import views
from cloud.contracts.core import Core, others
from cloud.contracts.states import OPEN_STATES, State
from cloud.paging import encode_page_token, page_size, parse_page_token
from cloud.store import contract_lists as lists
from cloud.store import contracts as rows
from cloud.store.contracts import ContractRow, PartyRow
from verifield.v1 import contract_service_pb2 as pb

MAX_PAGE = 100
"""Details of up to 16 KB each: a page stays below gRPC's default of 4 MiB."""


@dataclass(frozen=True, slots=True)
class Search:
    """Everybody finds their own alone."""

    core: Core

    def search(
        self, connection: Connection, account_id: str, request: pb.SearchContractsRequest
    ) -> pb.SearchContractsResponse:
        """Contracts of an account, newest first."""
        size = min(page_size(request.page_size), MAX_PAGE)
        asked = pb.SearchContractsRequest()
        asked.CopyFrom(request)
        asked.ClearField("page_token")
        asked.ClearField("page_size")
        filters = f"{account_id} {asked.SerializeToString(deterministic=True).hex()}"
        before = parse_page_token(request.page_token, filters=filters)
        own = lists.Own(account_id, list(self.core.organisations.acting_for(connection, account_id)))
        wanted = self._filters(request)
        # Who asks for a text that has no words in it finds nothing, not everything.
        if (request.text.strip() and not wanted.text) or (request.party.strip() and not wanted.told):
            return pb.SearchContractsResponse()
        found = lists.page_of_own(connection, own, wanted, before=before, limit=size + 1)
        page = found[:size]
        token = encode_page_token(page[-1].contract_id, filters=filters) if len(found) > size else ""
        told = self.core.vault.open_all_details(connection, page)
        parties = rows.parties_of_all(connection, [row.contract_id for row in page])
        return pb.SearchContractsResponse(
            entries=[
                pb.ContractEntry(
                    contract=views.contract(row),
                    details=views.details(row, told[row.contract_id], sends=own.sends(row)),
                    awaits_me=self._awaits(row, parties[row.contract_id], own),
                )
                for row in page
            ],
            next_page_token=token,
        )

    def list_all(self, connection: Connection, request: pb.ListContractsRequest) -> pb.ListContractsResponse:
        """Of everybody, without titles and names."""
        size = page_size(request.page_size)
        filters = f"contracts {request.state}"
        before = parse_page_token(request.page_token, filters=filters)
        found = lists.page_of_all(connection, state=request.state, before=before, limit=size + 1)
        token = encode_page_token(found[size - 1].contract_id, filters=filters) if len(found) > size else ""
        return pb.ListContractsResponse(
            contracts=[views.contract(row) for row in found[:size]], next_page_token=token
        )

    def inspect(self, connection: Connection, contract_id: str) -> pb.InspectContractResponse:
        """One, also one that was deleted, without titles and names.

        Raises:
            ServiceError: CONTRACT_OTHERS: there is none.
        """
        row = rows.get_contract(connection, contract_id)
        if row is None:
            raise others()
        found = rows.parties_of(connection, contract_id)
        numbers = {party.party_id: party.number for party in found}
        return pb.InspectContractResponse(
            contract=views.contract(row),
            parties=[views.bare_party(one) for one in found],
            timeline=views.timeline(connection, row, numbers),
            revisions=views.revisions(connection, row, numbers),
        )

    def _filters(self, request: pb.SearchContractsRequest) -> lists.Filters:
        words = self.core.words
        return lists.Filters(
            states=list(request.states),
            category=request.category,
            text=list(zip(words.text(request.text), words.filed(request.text), strict=True)),
            told=words.party(request.party),
            filed=[*words.tag(request.tag), *words.folder(request.folder)],
            from_us=_us(request.from_time) if request.HasField("from_time") else None,
            until_us=_us(request.until_time) if request.HasField("until_time") else None,
            awaiting_us=self.core.now_us if request.awaiting_me else None,
        )

    def _awaits(self, row: ContractRow, parties: list[PartyRow], own: lists.Own) -> bool:
        late = row.deadline_us is not None and row.deadline_us <= self.core.now_us
        if State(row.state) not in OPEN_STATES or late:
            return False
        return any(
            one.turn_us is not None
            and (
                one.organisation_id in own.organisation_ids
                if one.organisation_id is not None
                else one.account_id == own.account_id
            )
            for one in parties
        )


def _us(stamp: Timestamp) -> int:
    return stamp.ToMicroseconds()
