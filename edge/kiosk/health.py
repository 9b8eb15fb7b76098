"""How the device is, part by part, each with what to do; and the hints at the top of every page.

What is wrong is judged by ``edge.health``, never here. The hints (problems, queue, line, battery) are looked
at by ``edge.kiosk.watching``, so that a screen that nobody touches tells the truth too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from edge.attest.clock import SystemClock
from edge.errors import EdgeError
from edge.health import Health, judge_health
from edge.health_items import ITEM_NAMES, HealthItem, HealthState, health_fault, health_items, worst_state
from edge.kiosk.hints import Battery, judge_line, read_battery
from edge.kiosk.people import to_sign_in
from edge.kiosk.server import Kiosk
from edge.kiosk.shown import figure, hour
from edge.model import Standing
from edge.texts import STANDINGS
from edge.watch import NO_PARTS, Parts, look_at_device


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found. ``silence``: since the cloud's last word, None where it never spoke."""

    items: tuple[HealthItem, ...]
    health: Health | None
    battery: Battery | None

    @property
    def state(self) -> HealthState:
        return worst_state(self.items)

    @property
    def silence(self) -> timedelta | None:
        """Since the cloud's last word; None where it never spoke, or nothing can be said."""
        if self.health is None or self.health.queue.stats is None:
            return None
        heard = self.health.queue.stats.last_receipt_time is not None
        return self.health.lease.silence if heard or self.health.lease.silence else None


def routes(kiosk: Kiosk) -> list[BaseRoute]:
    """The pages of this flow."""
    flow = _Health(kiosk)
    return [Route("/health", flow.health, methods=["GET"])]


class _Health:
    def __init__(self, kiosk: Kiosk) -> None:
        self._kiosk = kiosk

    async def health(self, request: Request) -> Response:
        kiosk = self._kiosk
        if (first := await to_sign_in(kiosk, request)) is not None:
            return first
        look = await kiosk.run(lambda: look_at(kiosk))
        kiosk.hub.tell(**hints(look))
        texts = kiosk.texts()
        standing = look.health.lease.standing if look.health else Standing.NORMAL
        # What needs a hand comes first; within a state the order stays.
        order = (HealthState.BAD, HealthState.WARN, HealthState.OK)
        items = sorted(look.items, key=lambda item: order.index(item.state))
        return kiosk.page(
            request,
            "health.html",
            state=look.state.value,
            standing="" if standing is Standing.NORMAL else STANDINGS[standing][texts.language],
            items=[(ITEM_NAMES[item.name][texts.language], item) for item in items],
            figure=figure,
            looked_at=hour(SystemClock().wall()),
        )


def look_at(kiosk: Kiosk, *, known: Parts = NO_PARTS) -> Look:
    """Look at the device from outside; one that cannot be opened is an answer too."""
    battery = read_battery()
    try:
        health = look_at_device(kiosk.config, known=known)
    except EdgeError as error:
        return Look(health_fault(error), None, battery)
    return Look(health_items(health), health, battery)


def hints(look: Look) -> dict[str, object]:
    """What the top of every page says, as JSON values by name; the page puts them into words.

    ``problems``: codes, gravest first. ``pending``: records to be uploaded, None where nobody can tell.
    """
    stats = look.health.queue.stats if look.health is not None else None
    silence = look.silence
    told: dict[str, object] = {
        "problems": list(judge_health(look.health)) if look.health is not None else [look.items[0].code],
        "line": {
            "state": judge_line(silence).value,
            "minutes": None if silence is None else int(silence / timedelta(minutes=1)),
        },
        "battery": None,
    }
    if stats is not None:
        told["pending"] = stats.pending
    if look.battery is not None:
        told["battery"] = {"state": look.battery.charge.value, "percent": look.battery.percent}
    return told
