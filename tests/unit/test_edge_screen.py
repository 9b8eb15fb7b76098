"""Screens and the texts that people read."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from edge.errors import SetupError
from edge.model import Outcome, Prompt
from edge.screen import HttpScreen, Screens, open_screens
from edge.texts import OUTCOMES, PROMPTS


class Recorder:
    def __init__(self) -> None:
        self.shown: list[Prompt] = []

    def show(self, prompt: Prompt) -> None:
        self.shown.append(prompt)


@pytest.fixture
def posted() -> Iterator[tuple[str, list[dict[str, str]]]]:
    bodies: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/screen", bodies
        server.shutdown()
        thread.join()


def test_every_prompt_and_outcome_has_a_text_in_three_languages() -> None:
    assert set(PROMPTS) == set(Prompt)
    assert set(OUTCOMES) == set(Outcome)
    for texts in [*PROMPTS.values(), *OUTCOMES.values()]:
        assert set(texts) == {"zh", "es", "en"}
        assert all(texts.values())


def test_a_prompt_is_shown_once_until_it_changes() -> None:
    recorder = Recorder()
    screens = Screens([recorder])
    for prompt in [Prompt.TURN_LEFT, Prompt.TURN_LEFT, Prompt.LOOK_STRAIGHT, Prompt.TURN_LEFT]:
        screens.show(prompt)
    assert recorder.shown == [Prompt.TURN_LEFT, Prompt.LOOK_STRAIGHT, Prompt.TURN_LEFT]


def test_the_code_is_posted_and_the_text_printed(
    posted: tuple[str, list[dict[str, str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    url, bodies = posted
    open_screens("zh", url).show(Prompt.TURN_LEFT)
    assert bodies == [{"prompt": "TURN_LEFT"}]
    assert "左" in capsys.readouterr().err


def test_a_screen_that_is_away_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    HttpScreen("http://127.0.0.1:1/screen").show(Prompt.TURN_LEFT)
    assert "does not answer" in capsys.readouterr().err


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/x", "http://example.com/x", "file:///etc/passwd", "http://[", ""]
)
def test_only_this_machine_may_be_a_screen(url: str) -> None:
    with pytest.raises(SetupError):
        HttpScreen(url)


def test_no_proxy_stands_between_the_device_and_its_screen(
    posted: tuple[str, list[dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    url, bodies = posted
    HttpScreen(url).show(Prompt.TURN_LEFT)
    assert bodies == [{"prompt": "TURN_LEFT"}]


def test_a_screen_that_talks_nonsense_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with listener.accept()[0] as link:
                link.recv(4096)
                link.sendall(b"this is not HTTP\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        HttpScreen(f"http://127.0.0.1:{listener.getsockname()[1]}/").show(Prompt.TURN_LEFT)
        thread.join()
    assert "does not answer" in capsys.readouterr().err
