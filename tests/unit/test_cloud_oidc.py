"""Sign-in tokens: what counts, every way in which one does not, and the issuer's keys."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from structlog.testing import capture_logs

from cloud.access import fetch, jwks, oidc
from cloud.access.fetch import FetchError, check_url, get, open_context
from cloud.access.jwks import IssuerKeys, parse_json, parse_keys
from cloud.access.oidc import MAX_TOKEN_CHARS, SignIn, Trust, check_token, key_id_of
from cloud.access.roles import Role
from cloud.errors import Reason, ServiceError
from tests.support.issuer import AUDIENCE, Issuer, IssuerKey, new_key, open_issuer


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    with open_issuer(tmp_path_factory.mktemp("issuer")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def restored(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test changes of the issuer is put back."""
    yield
    if "issuer" in request.fixturenames:
        issuer: Issuer = request.getfixturevalue("issuer")
        issuer.answers.clear()
        issuer.asked.clear()


def check(issuer: Issuer, token: str, *, now: datetime | None = None, **trusted: Any) -> SignIn:
    """All steps, with the issuer's keys as they are."""
    keys = parse_keys(issuer.documents()["/keys"])
    key_id = key_id_of(token)
    if key_id not in keys:
        raise oidc.refused("KEY")
    trust = Trust(issuer.url, AUDIENCE, **trusted)
    return check_token(token, keys[key_id], trust=trust, now=now or datetime.now(UTC))


def failed(issuer: Issuer, token: str, **options: Any) -> str:
    """The check that a token fails."""
    with pytest.raises(ServiceError) as caught:
        check(issuer, token, **options)
    assert caught.value.reason is Reason.SIGN_IN_TOKEN_REFUSED
    assert len(token) < 20 or token not in str(caught.value)
    return caught.value.metadata["check"]


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
def test_a_good_token_says_who_signed_in(issuer: Issuer, alg: str) -> None:
    key = new_key(f"key-{alg}", alg)
    issuer.keys.append(key)
    found = check(issuer, issuer.token("li.wei@example", key=key))
    issuer.keys.remove(key)
    assert (found.issuer, found.subject, found.roles) == (issuer.url, "li.wei@example", frozenset())
    assert "li.wei" not in repr(found)


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({"iss": "https://evil.example"}, "ISSUER"),
        ({"iss": None}, "CLAIMS"),
        ({"aud": "another-service"}, "AUDIENCE"),
        ({"aud": [AUDIENCE + "x", "b"]}, "AUDIENCE"),
        ({"aud": None}, "CLAIMS"),
        ({"aud": [7]}, "AUDIENCE"),
        ({"sub": None}, "CLAIMS"),
        ({"sub": ""}, "CLAIMS"),
        ({"sub": "a" * 256}, "CLAIMS"),
        ({"sub": "half \ud83d"}, "CLAIMS"),
        ({"exp": None}, "CLAIMS"),
        ({"iat": None}, "CLAIMS"),
        ({"exp": "tomorrow"}, "CLAIMS"),
        ({"exp": 10**30}, "CLAIMS"),
        ({"iat": True}, "CLAIMS"),
    ],
)
def test_every_claim_that_matters_is_checked(issuer: Issuer, changes: dict[str, Any], failing: str) -> None:
    assert failed(issuer, issuer.token("li-wei", **changes)) == failing


def test_one_audience_of_several_is_enough(issuer: Issuer) -> None:
    assert check(issuer, issuer.token("li-wei", aud=["other", AUDIENCE])).subject == "li-wei"
    assert check(issuer, issuer.token("a" * 255)).subject == "a" * 255


@pytest.mark.parametrize(
    ("claims", "late_s", "failing"),
    [
        ({"iat": 0, "exp": 600}, 659, None),
        ({"iat": 0, "exp": 600}, 660, "EXPIRED"),
        ({"iat": 0, "exp": 600}, -60, None),
        ({"iat": 0, "exp": 600}, -61, "NOT_YET"),
        ({"iat": 0, "exp": 600, "nbf": 100}, 40, None),
        ({"iat": 0, "exp": 600, "nbf": 100}, 39, "NOT_YET"),
        ({"iat": 0, "exp": 86400}, 0, None),
        ({"iat": 0, "exp": 86401}, 0, "LIFETIME"),
        ({"iat": 0, "exp": 600, "nbf": "x"}, 0, "CLAIMS"),
    ],
)
def test_times_are_checked_on_both_sides_with_some_room_for_clocks(
    issuer: Issuer, claims: dict[str, Any], late_s: int, failing: str | None
) -> None:
    start = 1_800_000_000
    moved: dict[str, Any] = {
        name: start + value if isinstance(value, int) else value for name, value in claims.items()
    }
    token = issuer.token("li-wei", **moved)
    now = datetime.fromtimestamp(start + late_s, UTC)
    if failing is None:
        assert check(issuer, token, now=now).valid_until == datetime.fromtimestamp(moved["exp"] + 60, UTC)
    else:
        assert failed(issuer, token, now=now) == failing


def b64(value: bytes | dict[str, Any]) -> str:
    raw = json.dumps(value).encode() if isinstance(value, dict) else value
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forged(issuer: Issuer, header: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    body = f"{b64({'kid': issuer.keys[-1].kid, **header})}.{b64(issuer.claims('li-wei'))}"
    return f"{body}.{b64(sign(body.encode()))}"


def test_no_signature_is_no_token(issuer: Issuer) -> None:
    assert failed(issuer, forged(issuer, {"alg": "none"}, lambda _: b"")) == "ALGORITHM"
    assert failed(issuer, forged(issuer, {"alg": "None"}, lambda _: b"")) == "ALGORITHM"
    assert failed(issuer, forged(issuer, {}, lambda _: b"")) == "ALGORITHM"
    assert failed(issuer, forged(issuer, {"alg": ["ES256"]}, lambda _: b"")) == "ALGORITHM"
    good = issuer.token("li-wei")
    assert failed(issuer, good.rpartition(".")[0] + ".") == "SIGNATURE"
    assert failed(issuer, good[:-4] + ("AAAA" if good[-4:] != "AAAA" else "BBBB")) == "SIGNATURE"


def hmac_of(secret: bytes, body: bytes) -> bytes:
    return hmac.digest(secret, body, hashlib.sha256)


def test_a_public_key_is_no_shared_secret(issuer: Issuer) -> None:
    """The classic: HS256 with the public key, in each form in which it is known to everybody."""
    key = issuer.keys[-1].key.public_key()
    for secret in (
        key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(issuer.keys[-1].jwk()).encode(),
    ):
        for alg in ("HS256", "HS512"):
            token = forged(issuer, {"alg": alg}, partial(hmac_of, secret))
            assert failed(issuer, token) == "ALGORITHM"


def test_a_key_signs_by_its_own_algorithm_alone(issuer: Issuer) -> None:
    """A token that names the key of another kind is refused, whatever its signature is."""
    rs, ed = new_key("rs", "RS256"), new_key("ed", "EdDSA")
    issuer.keys += [rs, ed]
    tokens = [issuer.token("li-wei", key=IssuerKey("rs", "EdDSA", ed.key))]
    tokens += [issuer.token("li-wei", key=IssuerKey("ed", "RS256", rs.key))]
    tokens += [issuer.token("li-wei", key=IssuerKey("rs", "ES256", issuer.keys[0].key))]
    found = [failed(issuer, token) for token in tokens]
    issuer.keys.remove(rs)
    issuer.keys.remove(ed)
    assert found == ["SIGNATURE"] * 3


def test_algorithms_beside_the_list_are_refused_even_with_a_good_signature(issuer: Issuer) -> None:
    key = new_key("rs", "RS256")
    token = jwt.encode(issuer.claims("li-wei"), key.key, algorithm="PS256", headers={"kid": "rs"})
    assert failed(issuer, token) == "ALGORITHM"


@pytest.mark.parametrize("kid", ["", "unknown", "../../dev/null", "' OR 1=1 --", "a" * 257, None, 7])
def test_a_key_is_looked_up_by_its_name_and_nothing_else(issuer: Issuer, kid: Any) -> None:
    stranger = new_key("first")
    assert failed(issuer, issuer.token("li-wei", key=stranger)) == "SIGNATURE"
    header = b64({"alg": "ES256", "kid": kid})
    _, claims, signature = issuer.token("li-wei").split(".")
    assert failed(issuer, f"{header}.{claims}.{signature}") in ("KEY", "FORM")


def test_what_the_header_brings_is_not_used(issuer: Issuer) -> None:
    """Keys and addresses of keys in the token itself: whoever forges the token chooses them."""
    mine = new_key("first")
    for header in (
        {"jku": f"{issuer.url}/evil"},
        {"x5u": f"{issuer.url}/evil"},
        {"jwk": mine.jwk()},
        {"x5c": ["AAAA"]},
    ):
        assert failed(issuer, issuer.token("li-wei", key=mine, header=header)) == "SIGNATURE"
    assert issuer.asked == []


def test_an_extension_that_must_be_understood_is_not(issuer: Issuer) -> None:
    assert failed(issuer, issuer.token("li-wei", header={"crit": ["b64"], "b64": False})) == "FORM"
    assert failed(issuer, issuer.token("li-wei", header={"crit": ["exp"]})) == "FORM"


@pytest.mark.parametrize("token", ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", "\u00e4.b.c", "e30.e30.e30"])
def test_what_is_no_token_is_refused(issuer: Issuer, token: str) -> None:
    assert failed(issuer, token) in ("FORM", "ALGORITHM") if token else True
    with pytest.raises(ServiceError):
        key_id_of(token)


def test_a_token_may_be_so_long_and_no_longer(issuer: Issuer) -> None:
    room = MAX_TOKEN_CHARS - len(issuer.token("li-wei", more=""))
    longest = issuer.token("li-wei", more="a" * (room * 3 // 4 - 3))
    assert MAX_TOKEN_CHARS - 8 <= len(longest) <= MAX_TOKEN_CHARS
    assert check(issuer, longest).subject == "li-wei"
    assert failed(issuer, issuer.token("li-wei", more="a" * room)) == "FORM"


def test_a_claim_stands_for_roles_where_it_was_configured(issuer: Issuer) -> None:
    roles = {"auditors": Role.AUDITOR, "desk": Role.CLERK}
    token = issuer.token("li-wei", groups=["auditors", "desk", "other", 7, None])
    assert check(issuer, token).roles == frozenset()
    found = check(issuer, token, roles_claim="groups", roles=roles)
    assert found.roles == {Role.AUDITOR, Role.CLERK}
    single = issuer.token("li-wei", groups="desk")
    assert check(issuer, single, roles_claim="groups", roles=roles).roles == {Role.CLERK}
    odd = issuer.token("li-wei", groups={"auditors": True})
    assert check(issuer, odd, roles_claim="groups", roles=roles).roles == frozenset()


# The issuer's keys


def test_only_keys_that_may_sign_tokens_are_taken() -> None:
    good = new_key("good")
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    listed: list[Any] = [
        good.jwk(),
        {**new_key("enc").jwk(), "use": "enc"},
        {**new_key("no-kid").jwk(), "kid": None},
        {**new_key("long").jwk(), "kid": "a" * 257},
        {**new_key("odd", "RS256").jwk(), "alg": "PS256"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "shared", "alg": "HS256"},
        {**IssuerKey("small", "RS256", small).jwk()},
        {"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA", "kid": "other-curve"},
        {**new_key("private").jwk(), "d": "AAAA"},
        {"kty": "new", "kid": "unknown"},
        {"kty": "oct", "kid": "without its key"},
        {"kty": "oct", "k": 7, "kid": "key of another type"},
        {**new_key("algorithm of another type").jwk(), "alg": ["ES256"]},
        "nonsense",
    ]
    assert set(parse_keys({"keys": listed})) == {"good"}


@pytest.mark.parametrize("document", [{}, {"keys": 7}, {"keys": []}, {"keys": [{"kty": "oct"}]}])
def test_a_set_without_usable_keys_is_none(document: dict[str, Any]) -> None:
    with pytest.raises(FetchError):
        parse_keys(document)


def test_a_set_has_so_many_keys_and_no_more() -> None:
    listed = [{**new_key("k").jwk(), "kid": str(number)} for number in range(jwks.MAX_KEYS)]
    assert len(parse_keys({"keys": listed})) == jwks.MAX_KEYS
    with pytest.raises(FetchError):
        parse_keys({"keys": [*listed, new_key("one-more").jwk()]})


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"a":'])
def test_only_a_json_object_is_a_document(content: bytes) -> None:
    with pytest.raises(FetchError):
        parse_json(content)


@dataclass
class Away:
    """An issuer's documents, which can be away; counts how often it is asked."""

    documents: dict[str, Any]
    away: bool = False
    asked: list[str] = field(default_factory=list)
    now: datetime = datetime(2026, 11, 22, tzinfo=UTC)
    gate: threading.Event | None = None

    def __call__(self, url: str) -> Mapping[str, Any]:
        self.asked.append(url)
        if self.gate is not None:
            assert self.gate.wait(10)
        if self.away or url not in self.documents:
            raise FetchError("away")
        return self.documents[url]  # type: ignore[no-any-return]

    def keys(self, *, keys_url: str | None = "https://i/keys") -> IssuerKeys:
        return IssuerKeys("https://i", keys_url=keys_url, fetch=self, now=lambda: self.now)


def documents(*keys: IssuerKey) -> dict[str, Any]:
    return {"https://i/keys": {"keys": [key.jwk() for key in keys]}}


async def find(keys: IssuerKeys, kid: str) -> str | None:
    """The id of the key that was found; all that was begun is over then."""
    found = await keys.find(kid)
    await keys.close()
    return str(found.key_id) if found else None


def test_keys_are_fetched_once_and_kept() -> None:
    world = Away(documents(new_key("a")))

    async def run() -> None:
        keys = world.keys()
        assert await find(keys, "a") == "a"
        world.now += jwks.FRESH_FOR
        assert await find(keys, "a") == "a"
        assert len(world.asked) == 1
        world.now += timedelta(seconds=1)
        assert await find(keys, "a") == "a"
        assert len(world.asked) == 2

    asyncio.run(run())


def test_a_new_key_is_noticed_and_an_old_one_stops_counting() -> None:
    world = Away(documents(new_key("a")))

    async def run() -> None:
        keys = world.keys()
        assert await find(keys, "a") == "a"
        world.documents = documents(new_key("b"))
        assert await find(keys, "b") is None  # asked a moment ago
        world.now += jwks.MIN_INTERVAL
        assert await find(keys, "b") == "b"
        assert await find(keys, "a") is None

    asyncio.run(run())


def test_a_clock_that_was_set_back_does_not_make_us_wait_for_the_old_time() -> None:
    world = Away(documents(new_key("a")))

    async def run() -> None:
        keys = world.keys()
        assert await find(keys, "a") == "a"
        world.documents = documents(new_key("b"))
        world.now -= timedelta(days=1)
        assert await find(keys, "a") == "a"  # and asks beside it
        assert await find(keys, "b") == "b"

    asyncio.run(run())


def test_tokens_with_made_up_keys_do_not_make_us_a_weapon() -> None:
    world = Away(documents(new_key("a")))

    async def run() -> None:
        keys = world.keys()
        for number in range(100):
            assert await find(keys, f"made-up-{number}") is None
            world.now += jwks.MIN_INTERVAL / 50
        assert len(world.asked) <= 3

    asyncio.run(run())


def test_while_the_issuer_is_away_the_keys_count_for_a_day() -> None:
    world = Away(documents(new_key("a")))

    async def run() -> None:
        keys = world.keys()
        assert await find(keys, "a") == "a"
        world.away = True
        world.now += jwks.KEPT_FOR
        assert await find(keys, "a") == "a"
        assert await find(keys, "unknown") is None
        world.now += timedelta(seconds=1)
        with pytest.raises(ServiceError) as caught:
            await find(keys, "a")
        assert caught.value.reason is Reason.SIGN_IN_UNAVAILABLE
        world.away = False
        world.now += jwks.MIN_INTERVAL
        assert await find(keys, "a") == "a"

    asyncio.run(run())


def test_without_any_keys_nobody_signs_in_and_the_issuer_is_not_flooded() -> None:
    world = Away({})

    async def run() -> None:
        keys = world.keys()
        for _ in range(5):
            with pytest.raises(ServiceError) as caught:
                await find(keys, "a")
            assert caught.value.reason is Reason.SIGN_IN_UNAVAILABLE
        assert len(world.asked) == 1

    asyncio.run(run())


def test_a_set_that_the_library_stumbles_over_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Away(documents(new_key("a")))

    def stumble(_key: object) -> None:
        raise RecursionError("with a key in its text")

    async def run() -> None:
        keys = world.keys()
        assert await find(keys, "a") == "a"
        monkeypatch.setattr(jwt, "PyJWK", stumble)
        world.now += jwks.KEPT_FOR
        with capture_logs() as logged:
            assert await find(keys, "a") == "a"
        assert [one["event"] for one in logged] == ["issuer_keys_unreadable"]
        assert "with a key" not in str(logged)
        world.now += jwks.MIN_INTERVAL
        with pytest.raises(ServiceError) as caught:
            await find(keys, "a")
        assert caught.value.reason is Reason.SIGN_IN_UNAVAILABLE

    asyncio.run(run())


def test_many_callers_at_once_ask_the_issuer_once() -> None:
    world = Away(documents(new_key("a")), gate=threading.Event())

    async def run() -> None:
        keys = world.keys()
        first = asyncio.create_task(keys.find("a"))
        others = [asyncio.create_task(keys.find("a")) for _ in range(20)]
        await asyncio.sleep(0)
        first.cancel()  # who goes away does not stop it for the others
        assert world.gate is not None
        world.gate.set()
        found = await asyncio.gather(*others)
        assert all(key is not None for key in found)
        assert len(world.asked) == 1

    asyncio.run(run())


@pytest.mark.parametrize(
    "discovery",
    [
        {"issuer": "https://i", "jwks_uri": "https://i/keys"},
        {"issuer": "https://other", "jwks_uri": "https://i/keys"},
        {"issuer": "https://i"},
        {"issuer": "https://i", "jwks_uri": 7},
    ],
)
def test_the_discovery_document_must_be_the_issuers_own(discovery: dict[str, Any]) -> None:
    good = discovery == {"issuer": "https://i", "jwks_uri": "https://i/keys"}
    world = Away({**documents(new_key("a")), "https://i/.well-known/openid-configuration": discovery})

    async def run() -> None:
        keys = world.keys(keys_url=None)
        if good:
            assert await find(keys, "a") == "a"
        else:
            with pytest.raises(ServiceError):
                await find(keys, "a")

    asyncio.run(run())


# Fetching


def test_keys_come_over_https_from_a_server_that_is_checked(issuer: Issuer, tmp_path: Path) -> None:
    context = open_context(issuer.ca)
    assert parse_keys(parse_json(get(f"{issuer.url}/keys", context=context)))
    with pytest.raises(FetchError, match="SSL"):
        get(f"{issuer.url}/keys", context=open_context(None))
    with pytest.raises(FetchError, match="SSL"):  # another name than the certificate's
        get(f"{issuer.url.replace('localhost', '127.0.0.1')}/keys", context=context)
    (tmp_path / "none.pem").write_text("no certificate")
    with pytest.raises(OSError, match=r"."):
        open_context(tmp_path / "none.pem")


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/keys",
        "file:///etc/passwd",
        "https:///keys",
        "https://user@localhost/keys",
        "https://localhost/keys#a",
        "https://localhost:99999/keys",
        "https://localhost:0/",
        "",
    ],
)
def test_only_plain_https_addresses_are_fetched(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        check_url(url)
    with pytest.raises(FetchError):
        get(url, context=open_context(None))


def test_redirects_and_errors_are_no_answers(issuer: Issuer) -> None:
    context = open_context(issuer.ca)
    issuer.answers["/keys"] = lambda: (302, f"{issuer.url}/other".encode())
    with pytest.raises(FetchError, match="302"):
        get(f"{issuer.url}/keys", context=context)
    issuer.answers["/keys"] = lambda: (500, b"")
    with pytest.raises(FetchError, match="500"):
        get(f"{issuer.url}/keys", context=context)
    assert "/other" not in issuer.asked


def test_an_answer_may_be_so_large_and_no_larger(issuer: Issuer) -> None:
    context = open_context(issuer.ca)
    issuer.answers["/keys"] = lambda: (200, b"a" * fetch.MAX_ANSWER_BYTES)
    assert len(get(f"{issuer.url}/keys", context=context)) == fetch.MAX_ANSWER_BYTES
    issuer.answers["/keys"] = lambda: (200, b"a" * (fetch.MAX_ANSWER_BYTES + 1))
    with pytest.raises(FetchError, match="bytes"):
        get(f"{issuer.url}/keys", context=context)


def test_an_issuer_that_says_nothing_is_not_waited_for(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "CONNECT_TIMEOUT_S", 0.1)
    silent = threading.Event()

    def hang() -> tuple[int, bytes]:
        silent.wait(10)
        return 200, b"{}"

    issuer.answers["/keys"] = hang
    try:
        with pytest.raises(FetchError, match="no answer"):
            get(f"{issuer.url}/keys", context=open_context(issuer.ca))
    finally:
        silent.set()


@pytest.mark.parametrize("begin", [b"", b"\x16\x03\x03\x40\x00"])
def test_a_handshake_in_drops_ends_after_a_while(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, begin: bytes
) -> None:
    monkeypatch.setattr(fetch, "TOTAL_TIMEOUT_S", 0.2)
    with dripping(begin) as port, pytest.raises(FetchError, match="no answer"):
        get(f"https://localhost:{port}/keys", context=open_context(issuer.ca))


@pytest.mark.parametrize("begin", [b"HTTP/1.1 200 OK\r\nX-Long: ", b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1"])
def test_an_answer_in_drops_ends_after_a_while(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, begin: bytes
) -> None:
    monkeypatch.setattr(fetch, "TOTAL_TIMEOUT_S", 0.3)
    with dripping(begin, tls=serving_as(issuer)) as port, pytest.raises(FetchError):
        parse_json(get(f"https://localhost:{port}/keys", context=open_context(issuer.ca)))


def serving_as(issuer: Issuer) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issuer.ca.with_name("issuer-chain.pem"), issuer.ca.with_name("issuer-key.pem"))
    return context


@contextmanager
def dripping(begin: bytes, *, tls: ssl.SSLContext | None = None, ends: bool = False) -> Iterator[int]:
    """A port that sends ``begin`` to whoever connects, and then ends, or goes on byte by byte for ever."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            link, _ = listener.accept()
            with link, suppress(OSError), tls.wrap_socket(link, server_side=True) if tls else link as wire:
                wire.sendall(begin)
                while not ends and not over.wait(0.02):
                    wire.sendall(b"a")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            thread.join(10)
            assert not thread.is_alive()


@pytest.mark.parametrize(
    "url", ["https://a..b/keys", f"https://{'a' * 70}.example/", "https://localhost:{}/\u5bc6"]
)
def test_a_name_or_a_path_that_cannot_be_sent_is_no_fault_of_ours(issuer: Issuer, url: str) -> None:
    with pytest.raises(FetchError):
        get(url.format(issuer.url.rpartition(":")[2]), context=open_context(issuer.ca))


def test_an_answer_that_ends_too_early_is_none(issuer: Issuer) -> None:
    short = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}"
    with dripping(short, tls=serving_as(issuer), ends=True) as port, pytest.raises(FetchError):
        get(f"https://localhost:{port}/keys", context=open_context(issuer.ca))
