"""The stream: whole states, latest wins, paced pictures, one page with the controls, colours told back."""

from __future__ import annotations

import asyncio
import json
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pytest

from edge.errors import CameraLost
from edge.kiosk.preview import WIDTH, Preview, PreviewCamera, encode_preview
from edge.kiosk.state import Stage
from edge.kiosk.stream import MAX_PAGES, Hub, Page
from edge.model import CameraAssurance, Frame

WAIT_S = 60.0


async def open_page(hub: Hub) -> Page:
    page = hub.add_page()
    assert page is not None
    return page


def said_to(hub: Hub, page: Page) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(hub.message(page)[1])
    return message


def test_the_newest_page_has_the_controls_until_it_goes() -> None:
    async def story() -> None:
        hub = Hub("en")
        assert not hub.watched
        first = await open_page(hub)
        second = await open_page(hub)
        assert [said_to(hub, page)["controls"] for page in (first, second)] == [False, True]
        assert not hub.in_control(first.number)
        assert hub.in_control(second.number)
        hub.remove_page(second)
        assert said_to(hub, first)["controls"]
        hub.remove_page(first)
        assert not hub.in_control(first.number)

    asyncio.run(story())


def test_too_many_pages_are_refused() -> None:
    async def story() -> None:
        hub = Hub("en")
        pages = [await open_page(hub) for _ in range(MAX_PAGES)]
        assert hub.add_page() is None
        hub.remove_page(pages[0])
        assert hub.add_page() is not None

    asyncio.run(story())


def test_a_change_wakes_every_page_and_is_whole() -> None:
    async def story() -> None:
        hub = Hub("en")
        page = await open_page(hub)
        await asyncio.sleep(0)
        page.changed.clear()
        with ThreadPoolExecutor(1) as session:
            session.submit(lambda: hub.update(stage=Stage.WORKING)).result(WAIT_S)
        await asyncio.wait_for(page.changed.wait(), WAIT_S)
        hub.tell(pending=3)
        hub.set_language("zh")
        said = said_to(hub, page)
        assert (said["stage"], said["pending"], said["language"]) == ("working", 3, "zh")
        revision, _ = hub.message(page)
        hub.tell(pending=3)  # nothing new
        assert hub.message(page)[0] == revision

    asyncio.run(story())


def test_pictures_are_paced_by_what_the_page_has_drawn() -> None:
    async def story() -> None:
        hub = Hub("en")
        page = await open_page(hub)
        sent = []
        for number in range(1, 8):
            hub.offer_frame(b"jpeg %d" % number)
            if frame := hub.next_frame(page):
                sent.append(struct.unpack(">I", frame[:4])[0])
            assert hub.next_frame(page) == b""  # never the same twice
        assert sent == [1, 2]
        hub.hear(page, json.dumps({"frame": 2}))
        assert (
            hub.next_frame(page) == struct.pack(">I", 7) + b"jpeg 7"
        )  # the newest: those between are missed
        hub.forget_frame()
        hub.hear(page, json.dumps({"frame": 7}))
        assert hub.next_frame(page) == b""

    asyncio.run(story())


def test_a_page_without_the_controls_gets_no_picture() -> None:
    async def story() -> None:
        hub = Hub("en")
        first, second = await open_page(hub), await open_page(hub)
        hub.offer_frame(b"jpeg")
        assert hub.next_frame(first) == b""
        assert hub.next_frame(second)

    asyncio.run(story())


def test_a_colour_is_shown_once_the_page_says_so() -> None:
    async def story() -> None:
        hub = Hub("en")
        page = await open_page(hub)
        assert hub.can_light
        loop = asyncio.get_running_loop()
        lit = loop.run_in_executor(None, lambda: hub.light((255, 108, 0)))
        while (said := said_to(hub, page))["light"] is None:
            await page.changed.wait()
            page.changed.clear()
        assert said["light"]["colour"] == "#ff6c00"
        hub.hear(page, json.dumps({"painted": said["light"]["number"]}))
        assert await asyncio.wait_for(lit, WAIT_S)
        assert hub.can_light

    asyncio.run(story())


def test_a_page_that_does_not_paint_cannot_light_until_it_does() -> None:
    async def story() -> None:
        hub = Hub("en")
        page = await open_page(hub)
        lit = await asyncio.get_running_loop().run_in_executor(None, lambda: hub.light((1, 2, 3)))
        assert not lit
        assert not hub.can_light
        hub.hear(page, json.dumps({"painted": 99}))  # more than there is
        assert hub.can_light
        hub.remove_page(page)
        assert not hub.can_light

    asyncio.run(story())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "[]",
        "1",
        '{"painted": "1"}',
        '{"painted": true}',
        '{"frame": null}',
        "{" * 300,
        '{"frame": 1e9}',
    ],
)
def test_what_a_page_says_otherwise_is_nothing(text: str) -> None:
    async def story() -> None:
        hub = Hub("en")
        page = await open_page(hub)
        hub.hear(page, text)
        assert page.drawn == 0

    asyncio.run(story())


def test_a_preview_is_small_and_keeps_its_proportions() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    jpeg = cv2.imdecode(np.frombuffer(encode_preview(pixels), np.uint8), cv2.IMREAD_COLOR)
    assert jpeg is not None
    assert jpeg.shape == (270, WIDTH, 3)
    small = np.zeros((120, 160, 3), np.uint8)
    again = cv2.imdecode(np.frombuffer(encode_preview(small), np.uint8), cv2.IMREAD_COLOR)
    assert again is not None
    assert again.shape == (120, 160, 3)


class Still:
    """A camera that gives two frames and is lost."""

    camera_id = "still"
    assurance = CameraAssurance.HOST

    def __init__(self) -> None:
        self.left = 2
        self.closed = False

    def read(self, timeout_s: float) -> Frame:
        if not self.left:
            raise CameraLost("CAMERA_LOST", "It is gone.")
        self.left -= 1
        return Frame(np.zeros((48, 64, 3), np.uint8), float(self.left), self.left)

    def close(self) -> None:
        self.closed = True


def test_the_cameras_frames_and_faults_pass_unchanged() -> None:
    shown: list[bytes] = []
    still = Still()
    camera = PreviewCamera(still, shown.append)
    assert (camera.camera_id, camera.assurance) == ("still", CameraAssurance.HOST)
    assert [camera.read(1.0).number for _ in range(2)] == [1, 0]
    with pytest.raises(CameraLost):
        camera.read(1.0)
    camera.close()
    assert still.closed


def test_a_rest_is_told_and_its_end() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        told: asyncio.Queue[bool] = asyncio.Queue()
        preview = Preview(
            lambda _: None, rest=lambda resting: loop.call_soon_threadsafe(told.put_nowait, resting)
        )
        assert await asyncio.wait_for(told.get(), WAIT_S)
        preview.offer(np.zeros((48, 64, 3), np.uint8))
        assert not await asyncio.wait_for(told.get(), WAIT_S)
        await loop.run_in_executor(None, preview.close)

    asyncio.run(story())
