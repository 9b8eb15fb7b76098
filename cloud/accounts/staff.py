"""What staff see of accounts and do to them."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection

from cloud.access.call import CALL, Kind, caller_of_call
from cloud.accounts.base import Context, Desks, path_of
from cloud.accounts.creation import Wanted, create, parse_personal
from cloud.accounts.desk import taken
from cloud.accounts.personal import parse_validity_message
from cloud.accounts.sign_in import page_of_sign_ins
from cloud.accounts.states import MACHINE, Event, State
from cloud.accounts.views import show_accounts
from cloud.codes.binding import Finding
from cloud.codes.phones import parse_phone
from cloud.codes.values import Method
from cloud.elements import parse_id_number
from cloud.errors import Reason, ServiceError
from cloud.paging import encode_page_token, page_size, parse_page_token
from cloud.privacy.sealing import Place
from cloud.store import accounts as rows
from cloud.store.accounts import AccountRow, RebindRow
from cloud.store.staff import is_same_person
from verifield.v1 import account_service_pb2 as pb

PROPOSED_FOR = timedelta(days=1)
"""How long a proposed telephone number waits for the second person."""


def _person() -> str:
    """KIND/NAME of the caller, who is a person: a token of the service may be anybody's."""
    caller = caller_of_call()
    if caller.kind is not Kind.USER:
        raise ServiceError(Reason.SECOND_PERSON_NEEDED, "Two people bind a number, each as themselves.")
    return caller.path


class Staff:
    """Of GetAccount to ImportSynced."""

    def __init__(self, desks: Desks) -> None:
        self._desks = desks

    async def GetAccount(self, request: pb.GetAccountRequest, context: Context) -> pb.GetAccountResponse:
        account = await self._desks.read(
            lambda connection: self._desks.show(
                connection, self._desks.accounts.find(connection, request.account_id)
            )
        )
        return pb.GetAccountResponse(account=account)

    async def ListAccounts(
        self, request: pb.ListAccountsRequest, context: Context
    ) -> pb.ListAccountsResponse:
        vault = self._desks.accounts.vault
        marks = vault.id_marks(parse_id_number(request.id_number)) if request.id_number else []
        # A token says what it is for; an id number must not stand in it, also not as a digest.
        asked, size = f"accounts {request.state} {bool(marks)}", page_size(request.page_size)
        behind = parse_page_token(request.page_token, filters=asked)

        def read(connection: Connection) -> pb.ListAccountsResponse:
            found = rows.list_accounts(
                connection, id_marks=marks, state=request.state, behind=behind, limit=size + 1
            )
            more = len(found) > size
            return pb.ListAccountsResponse(
                accounts=show_accounts(connection, self._desks.accounts, found[:size], self._desks.now_us),
                next_page_token=encode_page_token(found[size - 1].account_id, filters=asked) if more else "",
            )

        return await self._desks.read(read)

    async def ListSignIns(self, request: pb.ListSignInsRequest, context: Context) -> pb.ListSignInsResponse:
        def read(connection: Connection) -> pb.ListSignInsResponse:
            self._desks.accounts.find(connection, request.account_id)
            found, token = page_of_sign_ins(connection, self._desks, request.account_id, request)
            return pb.ListSignInsResponse(sign_ins=found, next_page_token=token)

        return await self._desks.read(read)

    async def LockAccount(self, request: pb.LockAccountRequest, context: Context) -> pb.LockAccountResponse:
        def work(connection: Connection) -> pb.LockAccountResponse:
            row = self._desks.accounts.advance(connection, request.account_id, Event.LOCK)
            return pb.LockAccountResponse(account=self._desks.show(connection, row))

        return await self._desks.base.mutations.run(
            request, action="accounts.lock", subject=path_of(request.account_id), work=work
        )

    async def UnlockAccount(
        self, request: pb.UnlockAccountRequest, context: Context
    ) -> pb.UnlockAccountResponse:
        def work(connection: Connection) -> pb.UnlockAccountResponse:
            row = self._desks.accounts.advance(connection, request.account_id, Event.UNLOCK)
            return pb.UnlockAccountResponse(account=self._desks.show(connection, row))

        return await self._desks.base.mutations.run(
            request, action="accounts.unlock", subject=path_of(request.account_id), work=work
        )

    async def Deregister(self, request: pb.DeregisterRequest, context: Context) -> pb.DeregisterResponse:
        def work(connection: Connection) -> pb.DeregisterResponse:
            row = self._desks.accounts.deregister(connection, request.account_id, request.reason)
            return pb.DeregisterResponse(account=self._desks.show(connection, row))

        reason = pb.DeregistrationReason.Name(request.reason).removeprefix("DEREGISTRATION_REASON_")
        return await self._desks.base.mutations.run(
            request,
            action="accounts.deregister",
            subject=path_of(request.account_id),
            work=work,
            facts={"reason": reason},
        )

    async def RebindPhone(self, request: pb.RebindPhoneRequest, context: Context) -> pb.RebindPhoneResponse:
        phone, caller = parse_phone(request.phone), _person()
        finding = await self._ask_carrier(request.account_id, phone)
        facts = {"match": finding.match.name}
        evidence_id = (request.request_id or CALL.get().request_id)[:36]  # under which the audit chain has it

        def work(connection: Connection) -> pb.RebindPhoneResponse:
            accounts = self._desks.accounts
            row = accounts.find(connection, request.account_id, lock=True)
            first = self._confirm(connection, row, phone, caller)
            facts["step"] = "confirmed" if first else "proposed"
            facts.pop("proof", None)  # of a try that the database undid
            if first:
                row = accounts.rebind(connection, row.account_id, phone)
                proof = self._desks.proofs.add(
                    connection,
                    row.account_id,
                    phone,
                    method=Method.MANUAL,
                    evidence_id=evidence_id,
                    match=finding.match,
                    requested_by=first,
                    confirmed_by=caller,
                )
                facts["proof"] = proof.proof_id
            return pb.RebindPhoneResponse(done=bool(first), account=self._desks.show(connection, row))

        return await self._desks.base.mutations.run(
            request,
            action="accounts.rebind_phone",
            subject=path_of(request.account_id),
            work=work,
            facts=facts,
        )

    async def ImportSynced(
        self, request: pb.ImportSyncedRequest, context: Context
    ) -> pb.ImportSyncedResponse:
        facts: dict[str, str] = {}

        def work(connection: Connection) -> pb.ImportSyncedResponse:
            results = [self._bring(connection, one) for one in request.accounts]
            for outcome in (
                pb.IMPORT_OUTCOME_CREATED,
                pb.IMPORT_OUTCOME_EXISTING,
                pb.IMPORT_OUTCOME_REFUSED,
            ):
                name = pb.ImportOutcome.Name(outcome).removeprefix("IMPORT_OUTCOME_").lower()
                facts[name] = str(sum(result.outcome == outcome for result in results))
            return pb.ImportSyncedResponse(results=results)

        return await self._desks.base.mutations.run(
            request, action="accounts.import", subject="accounts", work=work, facts=facts
        )

    async def _ask_carrier(self, account_id: str, phone: str) -> Finding:
        """What the carrier says of the number and the account's holder, where the rules want to know.

        Raises:
            ServiceError: ACCOUNT_NOT_FOUND, ACCOUNT_STATE, PHONE_OTHER_HOLDER, PHONE_HOLDER_UNKNOWN.
        """

        def read(connection: Connection) -> str:
            row = self._desks.accounts.find(connection, account_id)
            MACHINE.after(State(row.state), Event.REBIND_PHONE)
            return self._desks.accounts.vault.open(connection, row).id_number

        finding = await self._desks.binding.judge(phone, await self._desks.read(read))
        if finding.refusal is not None:
            raise finding.refusal
        return finding

    def _confirm(self, connection: Connection, row: AccountRow, phone: str, caller: str) -> str:
        """Who proposed the number, where this call is that of the second person; else it is noted."""
        MACHINE.after(State(row.state), Event.REBIND_PHONE)
        vault, account_id = self._desks.accounts.vault, row.account_id
        other = rows.find_identifier(connection, vault.identifier_keys(phone))
        if other is not None and (other.account_id, other.kind) != (account_id, pb.IDENTIFIER_KIND_PHONE):
            raise taken(pb.IDENTIFIER_KIND_PHONE)
        place = Place("account_rebinds", "phone", account_id)
        former = rows.get_rebind(connection, account_id)
        if former is not None and self._desks.now_us - former.proposed_us < _us(PROPOSED_FOR):
            known = vault.open_at(connection, account_id, place, former.phone)
            if known == phone and not is_same_person(connection, former.proposed_by, caller):
                return former.proposed_by
            if known == phone:
                raise ServiceError(Reason.SECOND_PERSON_NEEDED, "You proposed this number yourself.")
        sealed = vault.seal_at(vault.key_of(connection, account_id), place, phone)
        rows.put_rebind(connection, RebindRow(account_id, sealed, caller, self._desks.now_us))
        return ""

    def _bring(self, connection: Connection, one: pb.SyncedAccount) -> pb.ImportedAccount:
        try:
            validity = parse_validity_message(one.validity) if one.HasField("validity") else None
            personal = parse_personal(one, validity)
            live = self._desks.accounts.find_live(connection, personal.id_number)
            if live is not None:
                return pb.ImportedAccount(outcome=pb.IMPORT_OUTCOME_EXISTING, account_id=live.account_id)
            wanted = Wanted(
                self._desks.base.sources.uuid7(),
                personal,
                State.SYNCED_INACTIVE,
                subject_type=one.subject_type,
                source=pb.ACCOUNT_SOURCE_SYNCED,
            )
            with connection.begin_nested():
                row = create(connection, self._desks.accounts, self._desks.base.sources, wanted)
        except ServiceError as refusal:
            return pb.ImportedAccount(outcome=pb.IMPORT_OUTCOME_REFUSED, reason=refusal.reason.value)
        return pb.ImportedAccount(outcome=pb.IMPORT_OUTCOME_CREATED, account_id=row.account_id)


def _us(span: timedelta) -> int:
    return span // timedelta(microseconds=1)
