"""The carriers' register of telephone numbers behind a gateway (docs/authorities.md)."""

from __future__ import annotations

from cloud.authorities.line import Line
from cloud.authorities.port import Consistency


class HttpCarrier:
    """``Carrier`` of the port."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def check(self, phone: str, id_number: str, *, request_id: str = "") -> Consistency:
        """As the port says."""
        asked = await self._line.ask(
            "consistency",
            {"phone": phone, "id_number": id_number},
            lambda answer: answer.one_of("result", Consistency),
            outcome=lambda found: found.value.lower(),
            request_id=request_id,
        )
        return asked.value
