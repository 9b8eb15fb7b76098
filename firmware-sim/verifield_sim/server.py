"""The loopback HTTP server: the camera's stream, the screen that the person sees, the scenario's levers.

GET  /health            {"scenario": ..., "card_present": ...}
GET  /camera            multipart/x-mixed-replace, JPEG pictures
POST /screen            {"prompt": "TURN_LEFT"} or {"light": "#RRGGBB" | null}, or both
POST /control/scenario  {"name": "impostor"}
POST /control/card      {"action": "place" | "lift", "portrait": "grace_hopper"}
POST /control/camera    {"action": "unplug" | "busy" | "freeze" | "black" | "replug"}
POST /control/element   {"action": "unplug" | "plug"}

A camera that is unplugged answers 404, one that is busy 503.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2

from verifield_sim.camera import CameraAway, CameraFaultKind
from verifield_sim.errors import SimError
from verifield_sim.world import World

FRAMES_PER_SECOND = 30
JPEG_QUALITY = 92  # what good webcams deliver
MAX_BODY_BYTES = 16 * 1024  # a request is one small object
IDLE_TIMEOUT_S = 10.0  # a client that says nothing, or takes no picture, for so long is gone
BOUNDARY = "verifield-frame"


class SimServer(ThreadingHTTPServer):
    """Serves one world on 127.0.0.1."""

    daemon_threads = True
    block_on_close = False  # a camera's client may stay for ever

    def __init__(self, world: World, *, port: int = 0, wait: Callable[[float], None] = time.sleep) -> None:
        """Bind the port; 0 takes a free one. ``wait``: lets a frame's time pass.

        Raises:
            SimError: the port is taken.
        """
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise SimError(f"port {port} cannot be had: {error.strerror}") from error
        self.world = world
        self.wait = wait

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    server: SimServer
    protocol_version = "HTTP/1.1"
    timeout = IDLE_TIMEOUT_S

    def do_GET(self) -> None:
        match self.path:
            case "/camera":
                self._stream()
            case "/health":
                world = self.server.world
                self._answer({"scenario": world.scenario_name, "card_present": world.reader.card_present})
            case _:
                self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")

    def do_POST(self) -> None:
        act = {
            "/screen": self._screen,
            "/control/scenario": self._switch,
            "/control/card": self._move_card,
            "/control/camera": self._move_camera,
            "/control/element": self._move_element,
        }.get(self.path)
        if act is None:
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")
            return
        try:
            act(self._body())
        except SimError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        else:
            self._answer({"ok": True})

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: standard output belongs to the endpoints."""

    def _screen(self, body: dict[str, Any]) -> None:
        if not body.keys() & {"prompt", "light"}:
            raise SimError("a screen is given a prompt or a light")
        colour = _colour(body["light"]) if "light" in body else None  # refused before anything is shown
        if "prompt" in body:
            self.server.world.show(_text(body, "prompt"))
        if "light" in body:
            self.server.world.light(colour)

    def _switch(self, body: dict[str, Any]) -> None:
        self.server.world.switch(_text(body, "name"))

    def _move_card(self, body: dict[str, Any]) -> None:
        match _text(body, "action"):
            case "place":
                self.server.world.place(_text(body, "portrait") if "portrait" in body else None)
            case "lift":
                self.server.world.lift()
            case _:
                raise SimError("action is place or lift")

    def _move_camera(self, body: dict[str, Any]) -> None:
        kinds = {kind.value: kind for kind in CameraFaultKind}
        action = _text(body, "action")
        if action != "replug" and action not in kinds:
            raise SimError(f"action is replug or one of {', '.join(kinds)}")
        self.server.world.set_camera_fault(kinds.get(action))

    def _move_element(self, body: dict[str, Any]) -> None:
        if (action := _text(body, "action")) not in ("plug", "unplug"):
            raise SimError("action is plug or unplug")
        self.server.world.plug_element(there=action == "plug")

    def _body(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal() and len(length) < 10):
            raise SimError("Content-Length is missing")
        if int(length) > MAX_BODY_BYTES:
            raise SimError(f"a request has at most {MAX_BODY_BYTES} bytes")
        try:
            body = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise SimError("the request is not JSON") from error
        if not isinstance(body, dict):
            raise SimError("the request is not a JSON object")
        return body

    def _stream(self) -> None:
        match self.server.world.camera_fault():
            case CameraFaultKind.UNPLUG:
                self._refuse(HTTPStatus.NOT_FOUND, "the camera is unplugged")
                return
            case CameraFaultKind.BUSY:
                self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "the camera is busy")
                return
        self.close_connection = True
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        due = time.monotonic()
        try:
            while True:
                number, picture = self.server.world.frame()
                jpeg = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))[1].tobytes()
                head = (
                    f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n"
                    f"X-Frame-Number: {number}\r\n\r\n"
                )
                self.wfile.write(head.encode() + jpeg + b"\r\n")
                now = time.monotonic()
                due = max(due + 1 / FRAMES_PER_SECOND, now)  # who is late skips pictures and does not hurry
                self.server.wait(due - now)
        except (ConnectionError, TimeoutError, CameraAway):
            return  # the client or the camera went away

    def _answer(self, body: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
        data = json.dumps(body).encode()
        self.close_connection = True  # an unread body must not pass as the next request
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self._answer({"error": why}, status)


def _colour(value: object) -> tuple[int, int, int] | None:
    """``#RRGGBB`` as three numbers; null as None."""
    if value is None:
        return None
    if not isinstance(value, str) or re.fullmatch(r"#[0-9A-Fa-f]{6}", value) is None:
        raise SimError("light is #RRGGBB or null")
    red, green, blue = bytes.fromhex(value[1:])
    return red, green, blue


def _text(body: dict[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str):
        raise SimError(f"{key} is missing, or no text")
    return value
