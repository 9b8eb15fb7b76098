"""The kiosk answers this machine's own browser, which has its cookie, and nobody else."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edge.config import EdgeConfig
from edge.kiosk.app import STATIC_FILES, make_app
from edge.kiosk.security import BURST, MAX_BODY_BYTES, REQUESTS_PER_S, Bucket, Guard, Keys
from edge.kiosk.server import PAGES, Kiosk
from edge.kiosk.serving import LOOPBACK, bind
from tests.support.asgi import Answer, AsgiBrowser
from tests.support.clocks import ManualClock

PORT = 8765
ORIGIN = f"http://127.0.0.1:{PORT}"
LANGUAGE = {"language": "es"}


@pytest.fixture
def kiosk(tmp_path: Path) -> Iterator[Kiosk]:
    kiosk = Kiosk(EdgeConfig(data_dir=tmp_path), keys=Keys(PORT))
    yield kiosk
    kiosk.close()


def client_of(kiosk: Kiosk, *, host: str = f"127.0.0.1:{PORT}", address: str = "127.0.0.1") -> AsgiBrowser:
    return AsgiBrowser(make_app(kiosk), host, address)


@pytest.fixture
def client(kiosk: Kiosk) -> AsgiBrowser:
    """A browser that has entered."""
    client = client_of(kiosk)
    entered = client.get("/enter", {"token": kiosk.keys.token})
    assert entered.status == 303
    assert entered.headers["location"] == "/"
    return client


def code_of(answer: Answer) -> str:
    return str(answer.json()["error"]["code"])


def test_the_launch_address_is_exchanged_for_a_strict_cookie(kiosk: Kiosk) -> None:
    client = client_of(kiosk)
    assert client.get("/").status == 403
    assert client.get("/enter", {"token": "x" * 43}).status == 403
    assert client.get("/enter").status == 403
    cookie = client.get("/enter", {"token": kiosk.keys.token}).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert kiosk.keys.token not in cookie
    assert client.post("/language", LANGUAGE, {"origin": ORIGIN}).json() == LANGUAGE
    client.cookies[kiosk.keys.cookie_name] = "x" * 43
    assert client.post("/language", LANGUAGE, {"origin": ORIGIN}).status == 403


def test_without_the_cookie_there_is_style_and_a_word_in_three_languages(kiosk: Kiosk) -> None:
    client = client_of(kiosk)
    assert client.get("/static/kiosk.css").status == 200
    told = client.get("/", headers={"accept": "text/html"})
    assert told.status == 403
    assert all(f'lang="{language}"' in told.text for language in ("zh", "es", "en"))


@pytest.mark.parametrize("host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:1"])
def test_a_foreign_host_is_refused(kiosk: Kiosk, host: str) -> None:
    answer = client_of(kiosk, host=host).get("/static/kiosk.css")
    assert answer.status == 403
    assert code_of(answer) == "FOREIGN_HOST"


@pytest.mark.parametrize("host", [f"127.0.0.1:{PORT}", f"localhost:{PORT}"])
def test_its_own_names_are_taken(kiosk: Kiosk, host: str) -> None:
    assert client_of(kiosk, host=host).get("/static/kiosk.css").status == 200


@pytest.mark.parametrize("address", ["192.168.1.20", "10.0.0.1", "2001:db8::1", "nonsense"])
def test_a_client_elsewhere_is_refused(kiosk: Kiosk, address: str) -> None:
    assert code_of(client_of(kiosk, address=address).get("/static/kiosk.css")) == "NOT_LOCAL"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": f"https://127.0.0.1:{PORT}"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": f"http://localhost:{PORT}"},  # a name of ours, but not the one that was called
        {"origin": ORIGIN, "sec-fetch-site": "cross-site"},
        {"origin": ORIGIN, "sec-fetch-site": "same-site"},
    ],
)
def test_nothing_changes_by_another_page(kiosk: Kiosk, client: AsgiBrowser, headers: dict[str, str]) -> None:
    answer = client.post("/language", LANGUAGE, headers)
    assert answer.status == 403
    assert code_of(answer) in {"NO_ORIGIN", "FOREIGN_ORIGIN"}
    assert kiosk.language == "en"


def test_a_page_elsewhere_cannot_even_look(client: AsgiBrowser) -> None:
    for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert code_of(client.get("/", headers=headers)) == "FOREIGN_ORIGIN"


def test_the_stream_wants_cookie_and_origin(kiosk: Kiosk, client: AsgiBrowser) -> None:
    accepted, first = client.stream("/stream", {"origin": ORIGIN})[:2]
    assert accepted["type"] == "websocket.accept"
    assert json.loads(first["text"])["stage"] == "none"
    for who, headers in (
        (client_of(kiosk), {"origin": ORIGIN}),  # no cookie
        (client, {}),
        (client, {"origin": "http://evil.example"}),
        (client_of(kiosk, host="evil.example"), {"origin": "http://evil.example"}),
    ):
        [refused] = who.stream("/stream", headers)
        assert refused["type"] == "websocket.close"


def test_every_answer_says_what_a_browser_may_do_with_it(client: AsgiBrowser) -> None:
    for path in ("/static/kiosk.css", "/no-such-page", "/enter"):
        headers = client.get(path, headers={"accept": "text/html"}).headers
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "http:" not in policy
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert "camera=()" in headers["permissions-policy"]


@pytest.mark.parametrize(("size", "status"), [(MAX_BODY_BYTES, 400), (MAX_BODY_BYTES + 1, 413)])
def test_a_body_has_a_limit(client: AsgiBrowser, size: int, status: int) -> None:
    headers = {"origin": ORIGIN, "content-type": "application/json", "content-length": str(size)}
    assert client.request("POST", "/language", headers=headers, chunks=[b"x" * size]).status == status


def test_a_body_that_does_not_say_its_length_has_the_same_limit(client: AsgiBrowser) -> None:
    headers = {"origin": ORIGIN, "content-type": "application/json"}
    chunks = [b"x" * 1024] * (MAX_BODY_BYTES // 1024 + 1)
    answer = client.request("POST", "/language", headers=headers, chunks=chunks)
    assert answer.status == 413
    assert code_of(answer) == "BODY_TOO_LARGE"


def test_a_page_that_takes_pictures_may_take_more(kiosk: Kiosk) -> None:
    guard = Guard(make_app(kiosk), keys=kiosk.keys, body_limits={"/documents": 5_000_000})
    assert guard._body_limit("/documents/1") == 5_000_000
    assert guard._body_limit("/language") == MAX_BODY_BYTES


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "٣", "9" * 30])
def test_a_length_that_is_none_is_refused(client: AsgiBrowser, length: str) -> None:
    headers = {"origin": ORIGIN, "content-length": length.encode("utf-8").decode("latin-1")}
    assert client.request("POST", "/language", headers=headers).status == 413


def test_too_many_requests_are_refused_and_forgiven() -> None:
    clock = ManualClock()
    bucket = Bucket(REQUESTS_PER_S, BURST, now=lambda: clock.now_s)
    assert all(bucket.take() for _ in range(int(BURST)))
    assert not bucket.take()
    clock.advance(1.01 / REQUESTS_PER_S)
    assert bucket.take()
    assert not bucket.take()


def test_the_socket_is_on_loopback_alone() -> None:
    with closing(bind(0)) as listener:
        assert listener.getsockname()[0] == LOOPBACK == "127.0.0.1"


def test_nothing_is_loaded_from_elsewhere_and_nothing_is_inline() -> None:
    """No CDN, no inline script or style: the policy would refuse both, and this says where."""
    sources = [*PAGES.rglob("*.html"), *STATIC_FILES.rglob("*.js"), *STATIC_FILES.rglob("*.css")]
    assert len(sources) > 15
    for path in sources:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://", text), path
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text), path
        assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text)), path


def test_the_launch_address_lies_in_a_private_file(tmp_path: Path) -> None:
    from edge.files import write_private  # noqa: PLC0415 - beside what it shows
    from edge.kiosk.serving import URL_FILE, kiosk_folder  # noqa: PLC0415

    folder = kiosk_folder(EdgeConfig(data_dir=tmp_path))
    folder.mkdir(parents=True)
    write_private(folder / URL_FILE, b"x")
    assert stat.S_IMODE((folder / URL_FILE).stat().st_mode) == 0o600
