"""The office screen: preview, page, and a whole verification. ``python -m benchmarks.bench_kiosk [--json]``.

Preview: 640x480 frames at 15 a second through the encoder and the stream to a real Chromium, and what that
costs this process in processor time. Page: from the request to a page that can be used. Verification: the
real kiosk with the simulator, from the consent to the result, with all steps answered at once: the time that
device, card and camera take of the citizen's.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page, expect, sync_playwright

from edge.config import EdgeConfig
from edge.kiosk.preview import Preview, encode_preview
from edge.kiosk.security import Keys
from edge.kiosk.server import Kiosk
from edge.kiosk.serving import bind, serve_in_thread
from edge.kiosk.state import Stage
from edge.model import Prompt
from tests.browser.test_verification import scene_of
from tests.support.kiosk import kiosk_room
from tests.support.kiosk_page import Somebody

SECONDS = 10.0
FRAMES_PER_S = 15.0
PAGES = 7
PATIENCE_MS = 180_000


@contextmanager
def own_kiosk(folder: Path) -> Iterator[Kiosk]:
    with bind(0) as listener:
        kiosk = Kiosk(EdgeConfig(data_dir=folder), keys=Keys(listener.getsockname()[1]))
        server, thread = serve_in_thread(kiosk, listener)
        try:
            yield kiosk
        finally:
            server.should_exit = True
            thread.join()
            kiosk.close()


def frames() -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """Noise on a slope: as hard for JPEG as a noisy camera in a dark room."""
    rng = np.random.default_rng(1)
    slope = np.linspace(40, 200, 640, dtype=np.float32)[None, :, None]
    noise = rng.normal(0, 12, (8, 480, 640, 3)).astype(np.float32)
    return [np.clip(slope + one, 0, 255).astype(np.uint8) for one in noise]


def measure_preview(kiosk: Kiosk, browser: Browser) -> dict[str, float]:
    kiosk.hub.update(session=1, stage=Stage.CAPTURE, prompt=Prompt.LOOK_AT_CAMERA)
    page = browser.new_page()
    page.goto(kiosk.keys.launch_url)
    page.goto(f"{kiosk.keys.launch_url.partition('/enter')[0]}/session")
    expect(page.locator("html[data-ready]")).to_be_attached()
    pictures, shown = frames(), Preview(kiosk.hub.offer_frame)
    drawn_before = drawn(page)
    began, cpu = time.monotonic(), time.process_time()
    for number in range(int(SECONDS * FRAMES_PER_S)):
        shown.offer(pictures[number % len(pictures)])
        time.sleep(max(0.0, began + (number + 1) / FRAMES_PER_S - time.monotonic()))
    elapsed, used = time.monotonic() - began, time.process_time() - cpu
    count = drawn(page) - drawn_before
    shown.close()
    page.close()
    kiosk.hub.update(stage=Stage.NONE)
    return {
        "drawn_per_s": round(count / elapsed, 1),
        "core_share": round(used / elapsed, 3),
        "jpeg_kib": round(len(encode_preview(pictures[0])) / 1024, 1),
    }


def drawn(page: Page) -> int:
    return int(page.locator("#preview").get_attribute("data-frames") or 0)


def measure_page(browser: Browser, origin: str, url: str) -> dict[str, float]:
    page = browser.new_page()
    page.goto(url)
    times = []
    for _ in range(PAGES):
        began = time.monotonic()
        page.goto(f"{origin}/sign-in")
        page.wait_for_selector("html[data-ready]")
        times.append(time.monotonic() - began)
    page.close()
    return {"interactive_s": round(median(times), 3), "slowest_s": round(max(times), 3)}


def measure_verification(at: Somebody, seed: int) -> dict[str, float | str]:
    page = at.page
    at.room.write_scene(f"owner{seed}", scene_of("astronaut", "live", seed=seed))
    at.begin(f"owner{seed}")
    began = time.monotonic()
    at.press("verify.consent.yes")
    page.wait_for_selector('body[data-screen="capture"]')
    looked = time.monotonic()
    page.wait_for_selector('body[data-screen="field"], body[data-screen="result"]')
    judged = time.monotonic()
    if page.locator('body[data-screen="field"]').count():
        at.screen("field")
        at.give_phone()
        at.screen("notice")
        at.press("verify.notice.yes")
        at.screen("signature")
        at.draw_signature()
        at.press("verify.sign.yes")
    at.screen("result")
    outcome = page.locator("#screen [data-outcome]").get_attribute("data-outcome") or ""
    ended = time.monotonic()
    at.leave()
    return {
        "outcome": outcome,
        "total_s": round(ended - began, 1),
        "card_s": round(looked - began, 1),
        "face_s": round(judged - looked, 1),
        "questions_s": round(ended - judged, 1),
    }


def run(browser: Browser, folder: Path, sessions: int) -> dict[str, Any]:
    with own_kiosk(folder / "empty") as kiosk:
        figures: dict[str, Any] = {"load": os.getloadavg()[0], "preview": measure_preview(kiosk, browser)}
    room_folder = folder / "room"
    room_folder.mkdir()
    with kiosk_room(room_folder, liveness={}) as room:
        figures["page"] = measure_page(browser, room.origin, room.url)
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(room.url)
        somebody = Somebody(page, room)
        somebody.sign_in()
        figures["verifications"] = [measure_verification(somebody, 900 + i) for i in range(sessions)]
        page.close()
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sessions", type=int, default=3)
    options = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        print("there is no Chromium here; scripts/debian.sh installs it", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="verifield-") as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        figures = run(browser, Path(folder), options.sessions)
        browser.close()
    if options.json:
        print(json.dumps(figures))
        return 0
    print(f"load of the machine before: {figures['load']:.1f}")
    for name in ("preview", "page"):
        print(name, *(f"{key}={value}" for key, value in figures[name].items()))
    for one in figures["verifications"]:
        print("verification", *(f"{key}={value}" for key, value in one.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
