"""What the holder of an account sees and sets."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

from dataclasses import replace
from typing import cast

from sqlalchemy import Connection

from cloud.accounts.base import Context, Desks, fresh_holder, holder, path_of
from cloud.accounts.creation import parse_email
from cloud.accounts.filing import judge_filing, judge_times
from cloud.accounts.personal import Personal, parse_validity_message
from cloud.accounts.states import Event
from cloud.accounts.views import etag_of, next_step
from cloud.api.rules import refuse_field
from cloud.elements import parse_name
from cloud.errors import FieldViolation, Reason, ServiceError
from cloud.store import accounts as rows
from cloud.store.accounts import AccountRow
from verifield.v1 import account_service_pb2 as pb

STALE_FIELDS = frozenset({"name", "validity"})
"""What the people's registry confirmed: when it changes, it has to be asked anew."""


class Holder:
    """The account page: profile, status, filing permission, identity."""

    def __init__(self, desks: Desks) -> None:
        self._desks = desks

    async def GetProfile(self, request: pb.GetProfileRequest, context: Context) -> pb.GetProfileResponse:
        account_id = holder()
        account = await self._desks.read(
            lambda connection: self._desks.show(connection, self._desks.accounts.find(connection, account_id))
        )
        return pb.GetProfileResponse(account=account)

    async def GetAccountStatus(
        self, request: pb.GetAccountStatusRequest, context: Context
    ) -> pb.GetAccountStatusResponse:
        account_id = holder()
        row = await self._desks.base.store.glance(rows.STATUS, account_id)
        if row is None:
            raise ServiceError(Reason.ACCOUNT_NOT_FOUND, "There is no such account.")
        times = row.filing_allowed, row.filing_from_us, row.filing_until_us
        return pb.GetAccountStatusResponse(
            account_id=account_id,
            state=cast("pb.AccountState.ValueType", row.state),
            next_step=next_step(row.state),
            filing=judge_times(row.state, *times, self._desks.now_us),
            etag=etag_of(account_id, row.version),
        )

    async def SetFilingPermission(
        self, request: pb.SetFilingPermissionRequest, context: Context
    ) -> pb.SetFilingPermissionResponse:
        account_id = fresh_holder(self._desks).name
        from_us = request.valid_from.ToMicroseconds() if request.allowed else None
        until_us = request.valid_until.ToMicroseconds() if request.allowed else None

        if from_us is not None and until_us is not None and from_us >= until_us:  # as exactly as it is kept
            refuse_field("valid_until", rule="filing.period_ordered", why="is not behind valid_from")

        def work(connection: Connection) -> pb.SetFilingPermissionResponse:
            row = self._desks.accounts.find(connection, account_id, lock=True)
            self._desks.confirm(connection)
            wanted = replace(
                row, filing_allowed=request.allowed, filing_from_us=from_us, filing_until_us=until_us
            )
            changed = self._desks.accounts.change(connection, wanted, Event.UPDATE)
            return pb.SetFilingPermissionResponse(
                filing=judge_filing(changed, self._desks.now_us).to_message()
            )

        facts = {"allowed": "yes" if request.allowed else "no"}
        if request.allowed:
            facts |= {
                "valid_from": request.valid_from.ToJsonString(),
                "valid_until": request.valid_until.ToJsonString(),
            }
        return await self._desks.base.mutations.run(
            request,
            action="accounts.set_filing_permission",
            subject=path_of(account_id),
            work=work,
            facts=facts,
        )

    async def CheckFilingPermission(
        self, request: pb.CheckFilingPermissionRequest, context: Context
    ) -> pb.CheckFilingPermissionResponse:
        account_id = holder()
        filing = await self._desks.read(
            lambda connection: self._desks.accounts.filing(connection, account_id)
        )
        return pb.CheckFilingPermissionResponse(filing=filing.to_message())

    async def UpdateIdentity(
        self, request: pb.UpdateIdentityRequest, context: Context
    ) -> pb.UpdateIdentityResponse:
        account_id = fresh_holder(self._desks).name
        facts: dict[str, str] = {}

        def work(connection: Connection) -> pb.UpdateIdentityResponse:
            row = self._desks.accounts.find(connection, account_id, lock=True)
            self._desks.confirm(connection)
            if request.etag and request.etag != etag_of(row.account_id, row.version):
                raise ServiceError(Reason.ETAG_MISMATCH, "The account was changed meanwhile.")
            changed, fields = self._with_changes(connection, row, request)
            facts["fields"] = " ".join(sorted(fields))
            changed = self._desks.accounts.change(connection, changed, Event.UPDATE)
            if fields:
                self._desks.accounts.tell_changed(connection, account_id, fields)
            return pb.UpdateIdentityResponse(
                account=self._desks.show(connection, changed), stale=bool(fields & STALE_FIELDS)
            )

        return await self._desks.base.mutations.run(
            request,
            action="accounts.update_identity",
            subject=path_of(account_id),
            work=work,
            facts=facts,
        )

    def _with_changes(
        self, connection: Connection, row: AccountRow, request: pb.UpdateIdentityRequest
    ) -> tuple[AccountRow, frozenset[str]]:
        """The row as it is to be, and which personal fields are others then."""
        vault = self._desks.accounts.vault
        old = vault.open(connection, row)
        new = Personal(
            name=parse_name(request.name) if request.name else old.name,
            validity=parse_validity_message(request.validity)
            if request.HasField("validity")
            else old.validity,
            email=parse_email(request.email) or old.email,
        )
        prefers = request.prefers or row.prefers
        if prefers == pb.CONTACT_CHANNEL_EMAIL and not new.email:
            told = "Who prefers mail gives an address."
            raise ServiceError(
                Reason.REQUEST_INVALID, told, violations=(FieldViolation("email", "MISSING", told),)
            )
        fields = {name for name in ("name", "validity", "email") if getattr(new, name) != getattr(old, name)}
        key = vault.key_of(connection, row.account_id)
        changed = replace(row, language=request.language or row.language, prefers=prefers)
        if "name" in fields:
            changed = replace(changed, name=vault.text(key, row.account_id, "name", new.name))
        if "validity" in fields:
            changed = replace(changed, validity=vault.validity(key, row.account_id, new.validity))
        if "email" in fields:
            changed = replace(changed, email=vault.text(key, row.account_id, "email", new.email))
        return changed, frozenset(fields)
