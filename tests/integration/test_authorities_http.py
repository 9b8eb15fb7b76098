"""The adapters against the simulated authorities over HTTP: every call in every mode, bad gateways."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from cloud.authorities.bundle import Authorities
from cloud.authorities.port import (
    RETRY_CLASSES,
    Authority,
    AuthorityFault,
    BankQuery,
    Consistency,
    CtidState,
    Elements,
    FaceMatch,
    FaultKind,
    ItemName,
    ItemResult,
    RetryClass,
    data_missing,
)
from cloud.config import Config
from cloud.errors import Reason, ServiceError, SetupError
from cloud.settings import AuthoritySettings
from cloud.sources import Sources
from tests.support.authorities import (
    RunningAuthorities,
    Somebody,
    face_of,
    nobody_listens,
    running_authorities,
    somebody,
)
from tests.support.http_gateway import Say, answer, saying
from tests.support.issuer import tls_certificates
from verifield_sim.authorities import garbage

T = TypeVar("T")

PERSON, OTHER = somebody(1), somebody(2, portrait="grace_hopper")
UNKNOWN = somebody(3)

ALL = ("elements", "face", "photo", "verify", "query", "start", "finish", "consistency")
AUTHORITY_OF = {
    **dict.fromkeys(("elements", "face", "photo"), "registry"),
    **dict.fromkeys(("verify", "query"), "bank"),
    **dict.fromkeys(("start", "finish"), "ctid"),
    "consistency": "carrier",
}


@pytest.fixture(scope="module")
def running() -> Iterator[RunningAuthorities]:
    with running_authorities([PERSON, OTHER]) as authorities:
        yield authorities


@pytest.fixture
def authorities(running: RunningAuthorities) -> RunningAuthorities:
    running.well()
    return running


def ask(
    running: RunningAuthorities | None,
    work: Callable[[Authorities], Awaitable[T]],
    **settings: Any,
) -> T:
    """Open the authorities, do the work, close them."""
    config = AuthoritySettings(**((running.settings if running else {}) | settings))

    async def whole() -> T:
        opened = Authorities.open(config, Sources.system())
        try:
            return await work(opened)
        finally:
            await opened.close()

    return asyncio.run(whole())


async def call(opened: Authorities, name: str, person: Somebody = PERSON) -> Any:
    """Any of the calls, with what a person who is known would give."""
    match name:
        case "elements":
            return await opened.registry.check_elements(person.elements)
        case "face":
            return await opened.registry.compare_face(person.id_number, FACE)
        case "photo":
            return await opened.registry.photo(person.id_number)
        case "verify":
            return await opened.bank.verify(query_of(person))
        case "query":
            return await opened.bank.query(person.id_number)
        case "start":
            return await opened.ctid.start(person.name, person.id_number)
        case "finish":
            return await opened.ctid.finish(
                "x" * 24, nonce=bytes(32), name=person.name, id_number=person.id_number
            )
    return await opened.carrier.check(person.phone, person.id_number)


FACE = face_of("astronaut")


def query_of(person: Somebody, **changes: Any) -> BankQuery:
    given = {
        "name": person.name,
        "id_number": person.id_number,
        "issuer": person.issuer,
        "photo": FACE,
        "other": person.other,
    }
    return BankQuery(**(given | changes))


def fault(running: RunningAuthorities | None, name: str, **settings: Any) -> AuthorityFault:
    with pytest.raises(AuthorityFault) as caught:
        ask(running, lambda opened: call(opened, name), **settings)
    assert PERSON.id_number not in repr(caught.value)
    assert PERSON.name not in repr(caught.value)
    return caught.value


def test_four_elements_match_all_together_or_are_missing(authorities: RunningAuthorities) -> None:
    day = PERSON.valid_from
    assert day is not None
    wrong = [
        PERSON.but(name=PERSON.name[:-1] + "亥"),
        PERSON.but(id_number=OTHER.id_number),
        PERSON.but(valid_from=day.replace(day=day.day + 1)),
        PERSON.but(valid_to=None),
        UNKNOWN,
    ]

    async def work(opened: Authorities) -> list[Elements]:
        return [await opened.registry.check_elements(one.elements) for one in (PERSON, *wrong)]

    assert ask(authorities, work) == [Elements.MATCH, *[Elements.MISSING] * len(wrong)]


def test_long_term_cards_and_old_cards_are_known(authorities: RunningAuthorities) -> None:
    person = somebody(4, valid_to=None, old_cards=((PERSON.valid_from, PERSON.valid_to),))
    authorities.add(person)

    async def work(opened: Authorities) -> list[Elements]:
        old = person.but(valid_to=PERSON.valid_to)
        return [await opened.registry.check_elements(one.elements) for one in (person, old)]

    assert ask(authorities, work) == [Elements.MATCH, Elements.MATCH]


def test_faces_are_compared_with_the_registers_photograph(authorities: RunningAuthorities) -> None:
    nobody = somebody(5, portrait="")
    authorities.add(nobody)

    async def work(opened: Authorities) -> list[Any]:
        compare, photo = opened.registry.compare_face, await opened.registry.photo(PERSON.id_number)
        assert photo is not None
        assert await opened.registry.photo(nobody.id_number) is None
        grey = b"\x89PNG\r\n\x1a\n" + b"no picture"
        return [
            await compare(PERSON.id_number, photo),
            await compare(PERSON.id_number, face_of("grace_hopper")),
            await compare(OTHER.id_number, face_of("grace_hopper")),
            await compare(UNKNOWN.id_number, photo),
            await compare(nobody.id_number, photo),
            await compare(PERSON.id_number, grey),
        ]

    found = ask(authorities, work)
    assert [one.match for one in found] == [
        FaceMatch.MATCH,
        FaceMatch.MISMATCH,
        FaceMatch.MATCH,
        FaceMatch.MISSING,
        FaceMatch.MISSING,
        FaceMatch.UNUSABLE,
    ]
    assert found[0].score > 0.9 > found[1].score
    assert found[3].score is None


def test_the_bank_verifies_item_by_item_and_says_with_which_register(authorities: RunningAuthorities) -> None:
    async def work(opened: Authorities) -> list[Any]:
        return [
            await opened.bank.verify(one)
            for one in (
                query_of(PERSON),
                query_of(PERSON, name="测试乙"),
                query_of(PERSON, issuer="别处公安局"),
                query_of(PERSON, photo=face_of("grace_hopper")),
                query_of(PERSON, other={"company": "别的公司"}),
                query_of(PERSON, issuer="", photo=b"", other={}),
                query_of(UNKNOWN),
            )
        ]

    whole, name, issuer, photo, other, little, unknown = ask(authorities, work)
    assert whole.passed
    assert [item.name for item in whole.items] == list(ItemName)
    assert all(item.source for item in whole.items)
    for verdict, wrong in ((name, "NAME"), (issuer, "ISSUER"), (photo, "PHOTO"), (other, "OTHER")):
        results = {item.name.value: item.result for item in verdict.items}
        assert results.pop(wrong) is ItemResult.MISMATCH
        assert set(results.values()) == {ItemResult.MATCH}  # four of them
        assert not verdict.passed
    assert [item.result.value for item in little.items] == ["MATCH", "MATCH", *["UNAVAILABLE"] * 3]
    assert [item.result.value for item in unknown.items].count("MISMATCH") == 1
    assert not little.passed
    assert not unknown.passed


def test_the_bank_gives_the_registered_record_and_how_long_it_took(authorities: RunningAuthorities) -> None:
    authorities.mode(bank="slow:0.2*1")

    async def work(opened: Authorities) -> list[Any]:
        return [
            await opened.bank.query(PERSON.id_number),
            await opened.bank.query(PERSON.id_number, name=PERSON.name),
            await opened.bank.query(PERSON.id_number, name="别人"),
            await opened.bank.query(UNKNOWN.id_number),
        ]

    found = ask(authorities, work)
    assert [one.found for one in found] == [True, True, False, False]
    record = found[0]
    assert (record.name, record.id_number, record.issuer) == (PERSON.name, PERSON.id_number, PERSON.issuer)
    assert dict(record.other) == PERSON.other
    assert record.photo.startswith(b"\xff\xd8\xff")
    assert record.seconds > 0.2
    assert record.tries == 1
    assert PERSON.id_number not in repr(record)


def test_a_network_certificate_waits_for_its_person(authorities: RunningAuthorities) -> None:
    async def work(opened: Authorities) -> list[CtidState]:
        states = []
        for act in ("approve", "refuse", ""):
            begun = await opened.ctid.start(PERSON.name, PERSON.id_number)
            assert begun.link.endswith(begun.transaction_id)

            async def finish(begun: Any = begun, **who: str) -> Any:
                given = {"name": PERSON.name, "id_number": PERSON.id_number} | who
                return await opened.ctid.finish(begun.transaction_id, nonce=begun.nonce, **given)

            states.append((await finish()).state)
            if act:
                authorities.act(begun.transaction_id, act)
            found = await finish()
            assert bool(found.identity_digest) == (act == "approve")
            states.append(found.state)
            if act == "approve":
                states.append((await finish(name=OTHER.name)).state)
        return states

    pending = CtidState.PENDING
    assert ask(authorities, work) == [
        *(pending, CtidState.VERIFIED, CtidState.OTHER_PERSON),
        *(pending, CtidState.REFUSED),
        *(pending, pending),
    ]


def test_people_who_approve_or_refuse_by_themselves_and_transactions_that_end() -> None:
    people = [somebody(1, ctid="approves"), somebody(2, ctid="refuses"), somebody(3)]

    async def state(opened: Authorities, person: Somebody) -> CtidState:
        begun = await opened.ctid.start(person.name, person.id_number)
        await asyncio.sleep(1.1)
        found = await opened.ctid.finish(
            begun.transaction_id, nonce=begun.nonce, name=person.name, id_number=person.id_number
        )
        return found.state

    async def work(opened: Authorities) -> list[CtidState]:
        return await asyncio.gather(*(state(opened, person) for person in people))

    with running_authorities(people, ctid_life_s=1) as running:
        assert ask(running, work) == [CtidState.VERIFIED, CtidState.REFUSED, CtidState.EXPIRED]


def test_the_carrier_knows_who_holds_a_number(authorities: RunningAuthorities) -> None:
    async def work(opened: Authorities) -> list[Consistency]:
        check = opened.carrier.check
        return [
            await check(PERSON.phone, PERSON.id_number),
            await check(PERSON.phone, OTHER.id_number),
            await check("+8613900000000", PERSON.id_number),
        ]

    assert ask(authorities, work) == [Consistency.CONSISTENT, Consistency.INCONSISTENT, Consistency.UNKNOWN]


MODES: dict[str, tuple[FaultKind, int]] = {
    "busy": (FaultKind.BUSY, 3),
    "limited:60": (FaultKind.BUSY, 1),  # longer than the budget: nothing is waited for
    "system_error": (FaultKind.SYSTEM_ERROR, 1),
    "refused": (FaultKind.SYSTEM_ERROR, 1),
    "down": (FaultKind.UNREACHABLE, 3),
    "lost": (FaultKind.UNREACHABLE, 3),
    "garbage": (FaultKind.NONSENSE, 1),
    "slow:30": (FaultKind.UNREACHABLE, 3),
}


def is_slow(mode: str) -> bool:
    return mode.startswith("slow")


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_of_every_call_gives_its_fault_after_its_tries(
    authorities: RunningAuthorities, name: str, mode: str
) -> None:
    kind, tries = MODES[mode]
    target = f"{AUTHORITY_OF[name]}_{name}"
    authorities.mode(**{target: mode})
    before = authorities.asked(target.replace("_", "."))
    hurry = {"authority_read_s": 0.3, "authority_connect_s": 0.3} if is_slow(mode) else {}
    found = fault(authorities, name, **hurry)
    assert (found.kind, found.tries) == (kind, tries)
    assert found.authority.value == AUTHORITY_OF[name]
    if not is_slow(mode):  # those are noted once they end
        assert authorities.asked(target.replace("_", ".")) - before == tries


@pytest.mark.req("R076")
@pytest.mark.parametrize("mode", ["busy*2", "down*2", "lost*2", "limited:1*1"])
def test_what_ends_by_itself_within_the_budget_is_never_noticed(
    authorities: RunningAuthorities, mode: str
) -> None:
    authorities.mode(registry=mode)
    assert ask(authorities, lambda opened: call(opened, "elements")) is Elements.MATCH


@pytest.mark.req("R075")
def test_the_three_codes_of_a_face_comparison_are_told_apart_each_with_its_class_of_retry(
    authorities: RunningAuthorities,
) -> None:
    """What the registry's modes bring, as the refusals that travel to a caller."""

    async def compare(opened: Authorities, person: Somebody) -> ServiceError:
        try:
            found = await opened.registry.compare_face(person.id_number, FACE)
        except AuthorityFault as caught:
            return caught
        assert found.match is FaceMatch.MISSING
        return data_missing()

    found = {"missing": ask(authorities, lambda opened: compare(opened, UNKNOWN))}
    for mode in ("busy", "system_error", "garbage", "down"):
        authorities.mode(registry=mode)
        found[mode] = ask(authorities, lambda opened: compare(opened, PERSON))
    assert {mode: (one.reason, one.metadata["retry_class"]) for mode, one in found.items()} == {
        "missing": (Reason.VERIFICATION_DATA_MISSING, "NEVER"),
        "busy": (Reason.AUTHORITY_BUSY, "AUTOMATIC"),
        "system_error": (Reason.REALNAME_SYSTEM_ERROR, "LATER"),
        "garbage": (Reason.REALNAME_SYSTEM_ERROR, "LATER"),
        "down": (Reason.REALNAME_SYSTEM_ERROR, "LATER"),
    }
    assert found["missing"].retry_s is None
    assert found["busy"].retry_s is not None
    assert set(RETRY_CLASSES.values()) == set(RetryClass)


@pytest.mark.req("R076")
def test_missing_is_asked_once(authorities: RunningAuthorities) -> None:
    before = authorities.asked()
    assert ask(authorities, lambda opened: call(opened, "elements", UNKNOWN)) is Elements.MISSING
    assert ask(authorities, lambda opened: call(opened, "face", UNKNOWN)).match is FaceMatch.MISSING
    assert authorities.asked() - before == 2


def test_every_kind_of_garbage_is_noticed_by_every_call(authorities: RunningAuthorities) -> None:
    for authority in ("registry", "bank", "ctid", "carrier"):
        authorities.mode(**{authority: "garbage"})

    async def work(opened: Authorities) -> list[FaultKind]:
        kinds = []
        for name in ALL:
            for _ in range(garbage.COUNT):
                with pytest.raises(AuthorityFault) as caught:
                    await call(opened, name)
                kinds.append(caught.value.kind)
        return kinds

    assert set(ask(authorities, work)) == {FaultKind.NONSENSE}


def test_a_lying_authority_is_believed_only_where_nothing_shows_the_lie(
    authorities: RunningAuthorities,
) -> None:
    for authority in ("registry", "bank", "ctid", "carrier"):
        authorities.mode(**{authority: "wrong"})

    async def work(opened: Authorities) -> None:
        assert await call(opened, "elements") is Elements.MISSING
        assert (await call(opened, "face")).match is FaceMatch.MISMATCH
        assert not (await call(opened, "verify")).passed
        assert await call(opened, "consistency") is Consistency.INCONSISTENT
        with pytest.raises(AuthorityFault) as caught:
            await call(opened, "query")  # the record of somebody else
        assert caught.value.kind is FaultKind.NONSENSE

    ask(authorities, work)


def test_a_question_is_charged_once_however_often_it_is_sent(authorities: RunningAuthorities) -> None:
    key = "019abcde-0000-7000-8000-000000000001"
    before = authorities.charged("registry.elements"), authorities.asked("registry.elements")
    authorities.mode(registry="lost*2")

    async def work(opened: Authorities) -> None:
        assert await opened.registry.check_elements(PERSON.elements, request_id=key) is Elements.MATCH
        # The service crashed before it wrote the answer down, and asks again.
        assert await opened.registry.check_elements(PERSON.elements, request_id=key) is Elements.MATCH
        with pytest.raises(AuthorityFault):  # the key of another question
            await opened.registry.check_elements(OTHER.elements, request_id=key)

    ask(authorities, work)
    assert authorities.charged("registry.elements") - before[0] == 1
    assert authorities.asked("registry.elements") - before[1] == 5


def test_the_journal_holds_digests_and_no_persons(authorities: RunningAuthorities) -> None:
    ask(authorities, lambda opened: call(opened, "verify"))
    told = json.dumps(authorities.journal(), ensure_ascii=False)
    assert PERSON.id_number not in told
    assert PERSON.name not in told
    assert authorities.journal()[-1]["result"] == "MATCH MATCH MATCH MATCH MATCH"


@pytest.mark.parametrize("name", ALL)
def test_an_authority_without_an_address_is_not_configured(name: str) -> None:
    found = fault(None, name)
    assert found.reason is Reason.AUTHORITY_NOT_CONFIGURED
    assert found.authority is Authority(AUTHORITY_OF[name])


def test_a_gateway_that_refuses_connections_is_unreachable() -> None:
    found = fault(None, "elements", authority_registry=nobody_listens(), authority_tries=2)
    assert (found.kind, found.tries) == (FaultKind.UNREACHABLE, 2)


def good(key: str) -> bytes:
    return json.dumps({"request_id": key, "result": "MATCH"}).encode()


def drip(link: socket.socket, key: str) -> None:
    for byte in answer(good(key)):
        link.sendall(bytes([byte]))
        time.sleep(0.05)


def half(link: socket.socket, key: str) -> None:
    link.sendall(answer(good(key))[:-3])


def endless(link: socket.socket, _: str) -> None:
    link.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while True:
        link.sendall(b" " * 65536)


def headers_without_end(link: socket.socket, _: str) -> None:
    link.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        link.sendall(b"X-Filler: " + b"x" * 4096 + b"\r\n")


def zipped(link: socket.socket, key: str) -> None:
    headers = ("Content-Type: application/json", "Content-Encoding: gzip")
    link.sendall(answer(gzip.compress(good(key)), headers=headers))


def redirect(link: socket.socket, key: str) -> None:
    headers = ("Content-Type: application/json", "Location: http://127.0.0.1:1/")
    link.sendall(answer(good(key), status="307 Temporary Redirect", headers=headers))


BAD: dict[str, tuple[Say, set[FaultKind]]] = {
    "one byte now and then": (drip, {FaultKind.UNREACHABLE}),
    "half of an answer": (half, {FaultKind.UNREACHABLE}),
    "an answer without end": (endless, {FaultKind.NONSENSE}),
    "headers without end": (headers_without_end, {FaultKind.UNREACHABLE}),
    "a compressed answer": (zipped, {FaultKind.NONSENSE}),
    "a redirect": (redirect, {FaultKind.SYSTEM_ERROR}),
    "no HTTP": (lambda link, _: link.sendall(b"MATCH\r\n\r\n"), {FaultKind.UNREACHABLE}),
    "a page": (
        lambda link, key: link.sendall(answer(good(key), headers=("Content-Type: text/html",))),
        {FaultKind.NONSENSE},
    ),
    "created": (
        lambda link, key: link.sendall(answer(good(key), status="201 Created")),
        {FaultKind.SYSTEM_ERROR},
    ),
    "nothing at all": (lambda _, __: time.sleep(1.0), {FaultKind.UNREACHABLE}),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_gateways_cost_bounded_time_and_bring_no_yes(kind: str) -> None:
    say, kinds = BAD[kind]
    started = time.monotonic()
    with saying(say) as url:
        found = fault(
            None,
            "elements",
            authority_registry=url,
            authority_tries=2,
            authority_budget_s=2.0,
            authority_read_s=0.7,
            authority_connect_s=0.5,
        )
    assert found.kind in kinds
    assert time.monotonic() - started < 4.0


def test_a_good_answer_of_the_same_gateway_is_taken() -> None:
    with saying(lambda link, key: link.sendall(answer(good(key)))) as url:
        assert ask(None, lambda opened: call(opened, "elements"), authority_registry=url) is Elements.MATCH


@contextmanager
def over_tls(folder: Path, **more: Any) -> Iterator[tuple[RunningAuthorities, dict[str, Any]]]:
    ca, chain, key = tls_certificates(folder)
    with running_authorities([PERSON], certificates=(chain, key), **more) as running:
        assert running.url.startswith("https://localhost:")
        yield running, {"authority_ca": ca}


def test_gateways_are_known_by_their_certificate(tmp_path: Path) -> None:
    with over_tls(tmp_path) as (running, trust):
        assert ask(running, lambda opened: call(opened, "elements"), **trust) is Elements.MATCH
        assert fault(running, "elements", authority_tries=1).kind is FaultKind.UNREACHABLE  # the system's CAs
        elsewhere = running.url.replace("localhost", "127.0.0.1")  # no name of the certificate
        found = fault(running, "elements", **trust, authority_registry=elsewhere, authority_tries=1)
        assert found.kind is FaultKind.UNREACHABLE
        assert running.charged() == 1
        for mode in ("down", "lost"):
            running.mode(registry=mode)
            assert fault(running, "elements", **trust).kind is FaultKind.UNREACHABLE


def test_we_are_known_by_our_certificate(tmp_path: Path) -> None:
    ca, chain, key = tls_certificates(tmp_path)
    (tmp_path / "own").mkdir()
    own = tls_certificates(tmp_path / "own", "tls_client")
    with running_authorities([PERSON], certificates=(chain, key), client_ca=own[0]) as running:
        proof = {"authority_ca": ca, "authority_certificate": own[1], "authority_key": own[2]}
        assert ask(running, lambda opened: call(opened, "elements"), **proof) is Elements.MATCH
        assert fault(running, "elements", authority_ca=ca, authority_tries=1).kind is FaultKind.UNREACHABLE


def test_we_are_known_by_our_token(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("a-secret-of-the-gateway\n", encoding="utf-8")
    with running_authorities([PERSON], token="a-secret-of-the-gateway") as running:
        proof = {"authority_token_file": file}
        assert ask(running, lambda opened: call(opened, "elements"), **proof) is Elements.MATCH
        found = fault(running, "elements")
        assert found.kind is FaultKind.SYSTEM_ERROR
        assert "a-secret" not in repr(found)


@pytest.mark.parametrize(
    "change",
    [
        {"authority_ca": "missing.pem"},
        {"authority_ca": "token"},
        {"authority_certificate": "token", "authority_key": "token"},
        {"authority_token_file": "missing"},
        {"authority_token_file": "empty"},
        {"authority_token_file": "two lines"},
    ],
)
def test_files_that_cannot_be_used_are_told_at_the_start(tmp_path: Path, change: dict[str, str]) -> None:
    (tmp_path / "token").write_text("no certificate", encoding="utf-8")
    (tmp_path / "empty").write_text("\n", encoding="utf-8")
    (tmp_path / "two lines").write_text("a\nb\n", encoding="utf-8")
    settings = {name: tmp_path / file for name, file in change.items()}
    with pytest.raises(SetupError) as caught:
        Authorities.open(AuthoritySettings(**settings), Sources.system())
    assert caught.value.code == "AUTHORITY_FILES"


@pytest.mark.parametrize(
    "url",
    [
        "http://gateway.example/",
        "https://user:pass@gateway.example/",
        "ftp://x/",
        "https://x:0/",
        "https:///x",
        "x",
    ],
)
def test_addresses_that_would_send_persons_in_the_open_are_no_settings(url: str) -> None:
    with pytest.raises(ValueError, match=r"authority_registry|gateway"):
        Config(authority_registry=url)


def test_names_that_are_not_found_keep_no_other_work_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that is silent holds a thread for each look-up; those of the calls are not for that."""
    over = threading.Event()
    find = socket.getaddrinfo

    def silent(host: Any, *args: Any, **more: Any) -> Any:
        if host != "gateway.example":
            return find(host, *args, **more)
        over.wait(8)
        raise socket.gaierror(socket.EAI_AGAIN, "no name server")

    monkeypatch.setattr(socket, "getaddrinfo", silent)

    async def work(opened: Authorities) -> float:
        questions = [
            asyncio.create_task(opened.carrier.check(PERSON.phone, PERSON.id_number)) for _ in range(40)
        ]
        await asyncio.sleep(0.2)
        begun = time.monotonic()
        await asyncio.to_thread(time.monotonic)
        waited = time.monotonic() - begun
        ended = await asyncio.gather(*questions, return_exceptions=True)
        assert {one.kind for one in ended if isinstance(one, AuthorityFault)} == {FaultKind.UNREACHABLE}
        over.set()
        return waited

    settings = {
        "authority_carrier": "https://gateway.example",
        "authority_connect_s": 1,
        "authority_read_s": 1,
        "authority_tries": 1,
        "authority_parallel": 64,
        "authority_open_after": 1000,
    }
    begun = time.monotonic()
    assert ask(None, work, **settings) < 0.5
    assert time.monotonic() - begun < 5


def test_what_a_gateway_wants_us_to_remember_is_forgotten() -> None:
    """A cookie would tie the questions about one person to the next, and could grow without end."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer(b"{}", headers=("Content-Type: application/json", "Set-Cookie: who=zhang")))
        await writer.drain()
        writer.close()

    async def whole() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        settings = AuthoritySettings(authority_carrier=f"http://{host}:{port}")
        opened = Authorities.open(settings, Sources.system())
        for _ in range(2):
            with pytest.raises(AuthorityFault):
                await opened.carrier.check(PERSON.phone, PERSON.id_number)
        await opened.close()
        server.close()

    asyncio.run(whole())
    assert len(heads) == 2
    assert not any(b"cookie" in head.lower() for head in heads)
