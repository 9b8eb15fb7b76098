"""Somebody at the kiosk's page: what they see and press. Every wait is for a condition."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from edge.kiosk.texts import Texts
from edge.model import Prompt
from edge.texts import PROMPTS, Language
from tests.support.kiosk import CLERK, CLERK_PIN, PHONE, KioskRoom

WAIT_MS = 60_000
AXE: dict[str, Any] = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]},
    "resultTypes": ["violations"],
}

expect.set_options(timeout=WAIT_MS)


@dataclass
class Somebody:
    """``checked``: the screens that axe-core has looked at, by name and language."""

    page: Page
    room: KioskRoom
    language: Language = "en"
    checked: list[str] = field(default_factory=list)

    def text(self, key: str, **values: object) -> str:
        return Texts(self.language)(key, **values)

    def button(self, key: str) -> Locator:
        """The button with this text."""
        return self.page.get_by_role("button", name=self.text(key), exact=True)

    def check(self, name: str) -> None:
        """Let axe-core look at the page as it is: there is nothing to complain of."""
        expect(self.page.locator("html[data-ready]")).to_be_attached()
        found = Axe().run(self.page, options=AXE)
        assert found.violations_count == 0, f"{name}: {found.generate_report()}"
        self.checked.append(f"{name}-{self.language}")

    def speak(self, language: Language) -> None:
        """Switch the language, wherever the page is."""
        expect(self.page.locator("html[data-ready]")).to_be_attached()
        if self.page.locator("html").get_attribute("lang") != language:
            self.page.locator(f'[data-language="{language}"]').click()
        expect(self.page.locator(f'html[lang="{language}"][data-ready]')).to_be_attached()
        self.language = language

    def sign_in(self, who: str = CLERK, pin: str = CLERK_PIN) -> None:
        """By touch; who is signed in already stays so."""
        self.page.goto(f"{self.room.origin}/sign-in")
        self.page.get_by_text(who, exact=True).click()
        for digit in pin:
            self.page.locator(f'[data-digit="{digit}"]').click()
        self.button("signin.go").click()
        expect(self.page.locator(".function").first).to_be_visible()

    def begin(self, scene: str) -> None:
        """Somebody comes: from the menu to the first screen of a session."""
        self.room.scene(scene)
        self.page.goto(f"{self.room.origin}/verify")
        self.page.locator("#begin").click()
        self.screen("consent")

    def screen(self, name: str) -> None:
        """Wait for a screen to be drawn whole."""
        expect(self.page.locator(f'body[data-screen="{name}"]')).to_be_attached()
        key = f"[data-key*='-{name}-'][data-key$='-{self.language}']"
        expect(self.page.locator(f"#screen > {key}")).to_be_attached()

    def prompt(self, prompt: Prompt) -> None:
        """Wait until the page says so."""
        expect(self.page.locator("#prompt")).to_have_text(PROMPTS[prompt][self.language].lstrip("←→☀ "))

    def press(self, key: str) -> None:
        self.button(key).click()

    def capture(self) -> None:
        """Wait for the camera's pictures to be on the page."""
        self.screen("capture")
        expect(self.page.locator("#preview[data-frames]")).to_be_visible()

    def give_phone(self, number: str = PHONE) -> None:
        self.page.locator("#field").fill(number)
        self.press("shell.next")

    def draw_signature(self) -> None:
        """A wave, with the mouse."""
        box = self.page.locator("#sign").bounding_box()
        assert box is not None
        mouse = self.page.mouse
        mouse.move(box["x"] + 60, box["y"] + 100)
        mouse.down()
        for step in range(40):
            mouse.move(box["x"] + 60 + step * 10, box["y"] + 100 + (30 if step % 8 < 4 else -30))
        mouse.up()

    def result(self, outcome: str) -> list[str]:
        """Wait for the session's end; its reasons as codes."""
        self.screen("result")
        result = self.page.locator("#screen [data-outcome]")
        expect(result).to_have_attribute("data-outcome", outcome)
        return [str(item.get_attribute("data-reason")) for item in self.page.locator("[data-reason]").all()]

    def attestation_id(self) -> str:
        return self.page.locator(".receipt .id").inner_text()

    def leave(self) -> None:
        """Leave the result; the home screen comes."""
        self.press("verify.finish")
        expect(self.page.locator(".function").first).to_be_visible()
