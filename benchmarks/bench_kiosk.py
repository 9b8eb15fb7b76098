"""The office screen: preview, page, and a whole verification. ``python -m benchmarks.bench_kiosk``.

Preview: 640x480 frames at 15 a second through the encoder and the stream to a real Chromium, and what that
costs this process in processor time. Page: from the request to a page that can be used. Verification: the
real kiosk with the simulator, from the consent to the result, with all steps answered at once: the time that
device, card and camera take of the citizen's.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer
from playwright.sync_api import Browser, Page, expect, sync_playwright

from benchmarks.machine import Noise, Sheet, describe_machine, progress, publish
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
VISIT = ("total_s", "card_s", "face_s", "questions_s")


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
    with progress() as bar:
        task = bar.add_task("office screen", total=2 + sessions)
        with own_kiosk(folder / "empty") as kiosk:
            figures: dict[str, Any] = {"preview": measure_preview(kiosk, browser)}
        bar.advance(task)
        room_folder = folder / "room"
        room_folder.mkdir()
        with kiosk_room(room_folder, liveness={}) as room:
            figures["page"] = measure_page(browser, room.origin, room.url)
            bar.advance(task)
            page = browser.new_page()
            page.set_default_timeout(PATIENCE_MS)
            page.goto(room.url)
            somebody = Somebody(page, room)
            somebody.sign_in()
            figures["verifications"] = []
            for number in range(sessions):
                figures["verifications"].append(measure_verification(somebody, 900 + number))
                bar.advance(task)
            page.close()
    return figures


def to_sheets(figures: dict[str, Any]) -> list[Sheet]:
    """Tables of what was measured, each beside what is asked for."""
    preview, page = figures["preview"], figures["page"]
    stated = Sheet(
        "Preview and page",
        ("", "measured", "asked for"),
        [
            ("preview, frames a second", f"{preview['drawn_per_s']}", "15"),
            ("preview, share of one core", f"{preview['core_share']:.1%}", "under 40 %"),
            ("page can be used after, s", f"{page['interactive_s']}", "under 1"),
            ("the slowest of all pages, s", f"{page['slowest_s']}", "under 1"),
        ],
        f"Noisy frames of 640x480, {preview['jpeg_kib']} KiB each as JPEG; what encoding and sending cost the"
        " kiosk's process.",
    )
    sessions = Sheet(
        "A whole verification",
        ("outcome", "all s", "card s", "face s", "questions s"),
        [
            (
                str(one["outcome"]),
                *(f"{one[name]}" for name in VISIT),
            )
            for one in figures["verifications"]
        ],
        "Asked for: at most 20 s of the citizen's time. All questions are answered at once, so this is what"
        " device, card and camera take; simulator, kiosk, browser and benchmark share the cores.",
    )
    return [stated, sessions]


def main(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    sessions: Annotated[int, typer.Option(min=1, max=100, help="Verifications.")] = 5,
    quick: Annotated[bool, typer.Option(help="One verification, to try it; keeps no result.")] = False,
) -> None:
    """Measure preview, page and whole verifications."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("there is no Chromium here; scripts/debian.sh installs it", file=sys.stderr)
        raise typer.Exit(1)
    noise, machine = Noise(), describe_machine("starlette", "uvicorn", "websockets", "playwright")
    with tempfile.TemporaryDirectory(prefix="verifield-") as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        measured = run(browser, Path(folder), 1 if quick else sessions)
        browser.close()
    figures = {"machine": machine, "noise": noise.stop(), **measured}
    publish("kiosk", "The office screen", figures, to_sheets(figures), as_json=as_json, keep=not quick)


if __name__ == "__main__":
    typer.run(main)
