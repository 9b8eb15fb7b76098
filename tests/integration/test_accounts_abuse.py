"""Whoever tries to come into accounts, or to keep others out: guesses, floods, odd values."""

from __future__ import annotations

import asyncio
import io
import random
import threading
import unicodedata
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from PIL import Image
from sqlalchemy import select

from cloud.accounts.passwords import Cost, Passwords, check_password
from cloud.accounts.states import State
from cloud.accounts.tries import FREE_TRIES
from cloud.errors import ServiceError
from cloud.store.schema import client_diagnostics
from tests.integration.test_accounts_activation import start, synced
from tests.integration.test_accounts_activation import why as why_not
from tests.integration.test_accounts_registration import centre, fields_of, refused, register
from tests.integration.test_accounts_sign_in import CHEAP, allow_lookups, failures_of, login, reason
from tests.support.accounts import (
    PASSWORD,
    as_account,
    in_database,
    new_citizen,
    register_request,
    registered,
)
from tests.support.cloud import FakeClock, RunningCloud, refusal, running_cloud
from tests.support.spool import spooled
from verifield.v1 import account_service_pb2 as pb
from verifield.v1 import diagnostics_service_pb2
from verifield.v1.account_service_pb2_grpc import AccountServiceStub
from verifield.v1.diagnostics_service_pb2_grpc import DiagnosticsServiceStub


@pytest.fixture(scope="module")
def cloud(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    data = tmp_path_factory.mktemp("cloud") / "data"
    with running_cloud(data, database=module_database_url, open_calls_per_minute=100_000, **CHEAP) as running:
        allow_lookups(running, 1000)
        yield running


@pytest.mark.req("R055")
def test_fifty_wrong_passwords_at_once_on_two_servers_are_judged_as_one_after_the_other(
    module_database_url: str, cloud: RunningCloud
) -> None:
    """Two servers share PostgreSQL and keys; a file of SQLite has one."""
    made = registered(cloud)
    reasons: list[str] = []
    shared = {"database": module_database_url, "open_calls_per_minute": 100_000, **CHEAP}

    def guess(server: RunningCloud) -> None:
        reasons.append(reason(server, made.person.phone, "wrong-wrong"))

    def all_at_once(servers: list[RunningCloud]) -> None:
        threads = [threading.Thread(target=guess, args=(servers[n % len(servers)],)) for n in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    if module_database_url.startswith("postgresql"):
        other_data = cloud.data.parent / "other"
        with running_cloud(other_data, keys=cloud.data, clock=cloud.clock, **shared) as other:
            all_at_once([cloud, other])
    else:
        all_at_once([cloud])
    assert set(reasons) <= {"BAD_PASSWORD", "PASSWORD_TOO_SOON"}
    # Three cost no wait. Whoever is slow enough may come after the wait of the fourth, which is a second.
    told = reasons.count("BAD_PASSWORD")
    assert FREE_TRIES + 1 <= told == failures_of(cloud, made.account_id) < 10
    assert reasons.count("PASSWORD_TOO_SOON") == 50 - told


@pytest.mark.req("R069")
def test_who_guesses_a_persons_number_by_one_token_after_the_other_hears_nothing_any_more(
    database_url: str, tmp_path: Any
) -> None:
    with running_cloud(tmp_path / "data", database=database_url, **CHEAP) as cloud:
        made = synced(cloud)
        reasons: list[str] = []
        for _ in range(3):
            token = start(cloud, made.person)
            for _ in range(4):
                guess = pb.VerifyActivationPhoneRequest(activation_token=token, phone=new_citizen().phone)
                reasons.append(why_not(cloud, "VerifyActivationPhone", guess))
        assert reasons == ["ACTIVATION_PHONE_MISMATCH"] * 10 + ["TOO_MANY_LOOKUPS"] * 2
        # Nor where the guess is right: else it would be told by that.
        right = pb.VerifyActivationPhoneRequest(activation_token=token, phone=made.person.phone)
        assert why_not(cloud, "VerifyActivationPhone", right) == "TOO_MANY_LOOKUPS"
        assert not spooled(cloud, to=made.person.phone)


def test_no_password_is_worked_out_for_a_code_that_nobody_awaits(
    cloud: RunningCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, worked = registered(cloud), []
    honest = Passwords.hash

    async def counted(self: Passwords, password: str) -> str:
        worked.append(1)
        return await honest(self, password)

    monkeypatch.setattr(Passwords, "hash", counted)
    reset = pb.ResetPasswordRequest(
        identifier=made.person.phone,
        challenge_id="01980000-0000-7000-8000-000000000001",
        code="123456",
        new_password="sechs-Tiger-66",
    )
    assert why_not(cloud, "ResetPassword", reset) == "CODE_NOT_FOUND"
    assert not worked


def test_one_place_does_not_take_all_turns_of_the_passwords() -> None:
    async def main() -> tuple[int, int]:
        passwords = Passwords(Cost(64 * 1024, 2, 1), threads=1)
        try:
            flood = [asyncio.create_task(passwords.hash("x" * 9, source="address/1")) for _ in range(60)]
            await asyncio.sleep(0)
            other = [asyncio.create_task(passwords.hash("y" * 9, source="address/2")) for _ in range(4)]
            await asyncio.sleep(0)
            busy = sum(one.done() and isinstance(one.exception(), ServiceError) for one in flood)
            for one in flood:
                one.cancel()
            done = await asyncio.gather(*other)
            return busy, len(done)
        finally:
            passwords.close()

    busy, done = asyncio.run(main())
    assert busy >= 20
    assert done == 4


def test_calls_that_are_broken_off_give_their_turn_back() -> None:
    async def main() -> None:
        passwords = Passwords(Cost(8, 1, 1), threads=2)
        try:
            for _ in range(5):
                tasks = [asyncio.create_task(passwords.hash("x" * 9)) for _ in range(30)]
                await asyncio.sleep(0)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            hashed = await passwords.hash("kurz-gut-7")
            assert await passwords.verify(hashed, "kurz-gut-7")
        finally:
            passwords.close()

    asyncio.run(main())


@pytest.mark.req("R024")
def test_a_picture_of_a_quarter_of_a_mebibyte_comes_over_the_public_port(cloud: RunningCloud) -> None:
    whole, rest = io.BytesIO(), 262_144
    noise = Image.frombytes("RGB", (500, 500), random.Random(7).randbytes(750_000))
    noise.save(whole, "JPEG", quality=60)
    picture = whole.getvalue()
    assert 100_000 < len(picture) < rest
    padded = picture[:-2] + b"\0" * (rest - len(picture)) + picture[-2:]
    assert len(padded) == rest
    made = register(cloud, register_request(new_citizen(), facial_image=padded))
    assert made.account.state == pb.ACCOUNT_STATE_DRAFT
    error = refused(cloud, register_request(new_citizen(), facial_image=padded + b"\0"))
    assert fields_of(error) == ["facial_image"]


@pytest.mark.parametrize("password", ["x" * 50_000, "x" * 129, "kurz", "abcd\0efgh-77"])
def test_passwords_of_the_wrong_size_are_refused_before_they_are_worked_out(
    cloud: RunningCloud, password: str
) -> None:
    error = refused(cloud, register_request(new_citizen(), password=password))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert fields_of(error) == ["password"]
    assert reason(cloud, registered(cloud).person.phone, "x" * 50_000) == "REQUEST_INVALID"


def test_a_password_is_as_long_as_its_one_form() -> None:
    ligature = "\ufdfa" * 8  # 18 characters each in NFKC
    assert len(unicodedata.normalize("NFKC", ligature)) > 128
    with pytest.raises(ServiceError) as caught:
        check_password(ligature, (), path="password")
    assert caught.value.metadata["rule"] == "LENGTH"
    composed, apart = "Gr\u00fc\u00dfe-7-Kamele", "Gru\u0308\u00dfe-7-Kamele"
    check_password(composed, (), path="password")

    async def main() -> bool:
        passwords = Passwords(Cost(8, 1, 1), threads=1)
        try:
            return await passwords.verify(await passwords.hash(composed), apart)
        finally:
            passwords.close()

    assert asyncio.run(main())


@pytest.mark.parametrize("spelling", ["plain", "86", "0086", "full", "spaced", "dashed"])
@pytest.mark.req("R050")
def test_a_number_is_one_number_in_every_spelling(cloud: RunningCloud, spelling: str) -> None:
    made = registered(cloud)
    local = made.person.phone.removeprefix("+86")
    typed = {
        "plain": local,
        "86": f"86{local}",
        "0086": f"0086 {local}",
        "full": "".join(chr(ord(char) + 0xFEE0) for char in f"+86{local}"),
        "spaced": f" {local[:3]} {local[3:7]} {local[7:]} ",
        "dashed": f"(+86) {local[:3]}-{local[3:]}",
    }[spelling]
    assert login(cloud, typed).account_id == made.account_id
    other = register_request(new_citizen(), phone=typed)
    code, info, _ = refusal(refused(cloud, other))
    assert (code, info.reason) == (grpc.StatusCode.ALREADY_EXISTS, "ACCOUNT_PHONE_TAKEN")


@pytest.mark.req("R065")
def test_of_a_registration_and_an_import_of_one_person_one_makes_the_account(cloud: RunningCloud) -> None:
    people = [new_citizen() for _ in range(6)]
    told: dict[str, list[str]] = {one.id_number: [] for one in people}
    staff = centre(cloud)

    def bring() -> None:
        rows = [pb.SyncedAccount(name=one.name, id_number=one.id_number, phone=one.phone) for one in people]
        answer = staff.ImportSynced(pb.ImportSyncedRequest(accounts=rows))
        for one, result in zip(people, answer.results, strict=True):
            told[one.id_number].append(pb.ImportOutcome.Name(result.outcome).removeprefix("IMPORT_OUTCOME_"))

    def come(one: Any) -> None:
        try:
            register(cloud, register_request(one))
            told[one.id_number].append("CREATED")
        except grpc.RpcError as error:
            told[one.id_number].append(refusal(error)[1].reason)

    threads = [
        threading.Thread(target=bring),
        *(threading.Thread(target=come, args=(one,)) for one in people),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for outcomes in told.values():
        assert outcomes.count("CREATED") == 1
        assert set(outcomes) <= {"CREATED", "EXISTING", "REFUSED", "ACTIVATION_REQUIRED", "ACCOUNT_EXISTS"}


def test_a_token_of_an_activation_is_in_no_log(cloud: RunningCloud) -> None:
    made = synced(cloud)
    info = refusal(refused(cloud, register_request(made.person)))[1]
    tokens = [info.metadata["activation_token"], start(cloud, made.person)]
    told = str(cloud.log.calls)
    assert all(token not in told for token in tokens)
    assert made.person.id_number not in told


def test_all_ended_accounts_of_a_person_are_found_page_by_page_whatever_their_state(
    cloud: RunningCloud,
) -> None:
    person, staff = new_citizen(), centre(cloud)
    reasons = pb.DeregistrationReason
    for _ in range(3):
        made = registered(cloud, person)
        staff.Deregister(
            pb.DeregisterRequest(account_id=made.account_id, reason=reasons.DEREGISTRATION_REASON_FALSE_DATA)
        )
    live = registered(cloud, person)
    request = pb.ListAccountsRequest(page_size=1, id_number=person.id_number, state=pb.ACCOUNT_STATE_ACTIVE)
    assert [one.account_id for one in staff.ListAccounts(request).accounts] == [live.account_id]
    request.state = pb.ACCOUNT_STATE_DEREGISTERED
    seen = []
    while True:
        page = staff.ListAccounts(request)
        seen += [one.account_id for one in page.accounts]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert len(set(seen)) == len(seen) == 3


ODD_TIMES = [
    Timestamp(seconds=2**62),
    Timestamp(seconds=-(2**62)),
    Timestamp(seconds=253402300800),
    Timestamp(seconds=1, nanos=-5),
    Timestamp(seconds=1, nanos=2_000_000_000),
]


@pytest.mark.parametrize("odd", ODD_TIMES)
@pytest.mark.req("R026")
def test_times_that_are_none_are_refused(cloud: RunningCloud, odd: Timestamp) -> None:
    made = registered(cloud)
    for start_at, end_at in ((odd, Timestamp(seconds=2)), (Timestamp(seconds=0), odd)):
        request = pb.SetFilingPermissionRequest(allowed=True, valid_from=start_at, valid_until=end_at)
        with as_account(cloud, made) as stub, pytest.raises(grpc.RpcError) as caught:
            stub(AccountServiceStub).SetFilingPermission(request)
        assert refusal(caught.value)[1].reason == "REQUEST_INVALID"
    found = diagnostics_service_pb2.Diagnostics(
        diagnostic_id="01980000-0000-7000-8000-000000000077", error_code="network_unavailable"
    )
    found.occur_time.CopyFrom(odd)
    with as_account(cloud, made) as stub, pytest.raises(grpc.RpcError) as caught:
        stub(DiagnosticsServiceStub).UploadDiagnostics(
            diagnostics_service_pb2.UploadDiagnosticsRequest(diagnostics=found)
        )
    assert refusal(caught.value)[1].reason == "REQUEST_INVALID"


def test_a_time_of_less_than_a_microsecond_is_none(cloud: RunningCloud) -> None:
    made = registered(cloud)
    request = pb.SetFilingPermissionRequest(
        allowed=True, valid_from=Timestamp(seconds=9, nanos=100), valid_until=Timestamp(seconds=9, nanos=200)
    )
    with as_account(cloud, made) as stub, pytest.raises(grpc.RpcError) as caught:
        stub(AccountServiceStub).SetFilingPermission(request)
    assert refusal(caught.value)[1].reason == "REQUEST_INVALID"


def test_diagnostics_keep_what_the_contract_knows_and_no_more(cloud: RunningCloud) -> None:
    """What a client of another version adds would be kept unseen, as much as a call may hold."""
    made = registered(cloud)
    found = diagnostics_service_pb2.Diagnostics(
        diagnostic_id="01980000-0000-7000-8000-0000000000aa", error_code="network_unavailable"
    )
    found.occur_time.GetCurrentTime()
    extra = b"\xfa\xff\x01" + b"\x80\x80\x0c" + b"a" * (12 << 14)  # field 4095, 192 KiB
    swollen = diagnostics_service_pb2.Diagnostics.FromString(found.SerializeToString() + extra)
    with as_account(cloud, made) as stub:
        stub(DiagnosticsServiceStub).UploadDiagnostics(
            diagnostics_service_pb2.UploadDiagnosticsRequest(diagnostics=swollen)
        )
    with cloud.database() as connection:
        own = client_diagnostics.c.diagnostic_id == found.diagnostic_id
        content = connection.execute(select(client_diagnostics.c.content).where(own)).scalar_one()
    assert len(content) < 1024


def test_diagnostics_hold_no_free_text(cloud: RunningCloud) -> None:
    made = registered(cloud)
    for field in ("activity", "client_version", "endpoint"):
        found = diagnostics_service_pb2.Diagnostics(
            diagnostic_id="01980000-0000-7000-8000-0000000000ab", error_code="network_unavailable"
        )
        found.occur_time.GetCurrentTime()
        setattr(found, field, f"王芳 {made.person.id_number}")
        with as_account(cloud, made) as stub, pytest.raises(grpc.RpcError) as caught:
            stub(DiagnosticsServiceStub).UploadDiagnostics(
                diagnostics_service_pb2.UploadDiagnosticsRequest(diagnostics=found)
            )
        assert refusal(caught.value)[1].reason == "REQUEST_INVALID"


def test_an_activation_is_over_after_half_an_hour(database_url: str, tmp_path: Any) -> None:
    clock = FakeClock()
    with running_cloud(tmp_path / "data", database=database_url, clock=clock, **CHEAP) as cloud:
        made = synced(cloud)
        token = start(cloud, made.person)
        clock.offset += timedelta(minutes=30)
        late = pb.VerifyActivationPhoneRequest(activation_token=token, phone=made.person.phone)
        assert why_not(cloud, "VerifyActivationPhone", late) == "ACTIVATION_REFUSED"


def test_a_password_stays_what_it_is_where_a_change_is_refused(cloud: RunningCloud) -> None:
    made = registered(cloud)

    def lock(connection: Any, room: Any) -> None:
        from cloud.accounts.states import Event  # noqa: PLC0415

        room.accounts.advance(connection, made.account_id, Event.LOCK)

    in_database(cloud, lock)
    request = pb.ChangePasswordRequest(old_password=PASSWORD, new_password="sechs-Tiger-66")
    with as_account(cloud, made) as stub, pytest.raises(grpc.RpcError) as caught:
        stub(AccountServiceStub).ChangePassword(request)
    assert refusal(caught.value)[1].reason in {"SESSION_REFUSED", "ACCOUNT_LOCKED"}
    assert in_database(cloud, lambda c, room: room.accounts.find(c, made.account_id)).state == State.LOCKED
