"""What the kiosk's real process shows to the machine that it runs on."""

from __future__ import annotations

import http.client
import stat
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from edge.kiosk.serving import URL_FILE, kiosk_folder
from tests.support.kiosk import KioskRoom

UNIT = Path(__file__).parents[2] / "deploy/edge/verifield-edge-kiosk.service"
LISTENS = "0A"  # TCP_LISTEN in /proc/net/tcp
LOOPBACK = "0100007F"
CONFIG = "verifield-edge.toml"  # written by whoever sets the device up, and by this test's room


def listeners(port: int) -> list[str]:
    """Addresses, as hexadecimal numbers of the kernel, on which somebody listens at the port."""
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    at = [row[1].split(":") for row in rows if row[3] == LISTENS]
    return [address for address, number in at if int(number, 16) == port]


@pytest.mark.req("E066")
def test_the_kiosk_is_for_this_machines_browser_alone(room: KioskRoom, page: Page) -> None:
    """Loopback alone, origin checks, a policy without anything from elsewhere, private files."""
    assert listeners(room.port) == [LOOPBACK]

    line = http.client.HTTPConnection("127.0.0.1", room.port, timeout=60)
    for headers in (
        {"Host": f"evil.example:{room.port}"},
        {"Host": f"127.0.0.1:{room.port}", "Origin": "http://evil.example"},
        {"Host": f"127.0.0.1:{room.port}", "Sec-Fetch-Site": "cross-site"},
        {"Host": f"127.0.0.1:{room.port}"},  # no cookie
    ):
        for method in ("GET", "POST"):
            line.request(method, "/", headers=headers)
            answer = line.getresponse()
            answer.read()
            assert answer.status == 403
            assert "default-src 'self'" in str(answer.getheader("content-security-policy"))
    line.close()

    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.reload()
    expect(page.locator("html[data-ready]")).to_be_attached()
    assert requested
    assert all(url.startswith(room.origin) for url in requested)  # no CDN, no font, nothing from elsewhere
    assert room.url not in page.evaluate("() => [document.referrer, document.cookie].join()")

    assert (kiosk_folder(room.settings) / URL_FILE).read_text().strip() == room.url
    files = [path for path in room.data.rglob("*") if path.is_file() and path.name != CONFIG]
    assert len(files) > 5
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert "User=verifield" in UNIT.read_text().splitlines()  # of its own, which owns these files


def test_the_stream_is_refused_to_who_has_no_cookie(room: KioskRoom) -> None:
    for headers in ({"Origin": room.origin}, {"Origin": "http://evil.example"}, {}):
        line = http.client.HTTPConnection("127.0.0.1", room.port, timeout=60)
        upgrade = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        line.request("GET", "/stream", headers={**upgrade, **headers})
        assert line.getresponse().status == 403
        line.close()
