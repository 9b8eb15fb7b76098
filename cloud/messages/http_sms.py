"""A gateway for text messages over HTTP: one request, made from templates in the settings.

What is filled in is escaped for where it stands, so that no text of a message becomes anything else: in the
address percent-encoded, in a body as its Content-Type wants it. Answers are read to a limit, never followed
and never shown.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

import httpx
import phonenumbers

from cloud.messages.ports import DeliveryError, Fault, Outgoing

MAX_ANSWER_BYTES = 64 * 1024
IDEMPOTENCY_HEADER = "Idempotency-Key"

_PLACE = re.compile(r"\{([a-z_]+)\}")
_PATIENCE = frozenset({408, 425, 429})
# It has read the request and will never want it. Others (401, 403, 404) are mended in settings.
_NEVER = frozenset({400, 413, 422})


@dataclass(frozen=True, slots=True)
class SmsRequest:
    """The request as the settings have it, and what answer means that the message was taken."""

    url: str
    method: str
    headers: Mapping[str, str] = field(repr=False)
    body: str = field(repr=False)
    success_status: frozenset[int]
    success_pattern: re.Pattern[str] | None
    timeout_s: float
    secret: str = field(default="", repr=False)


class HttpSmsGateway:
    """``context``: None for a gateway on this machine without TLS."""

    def __init__(self, request: SmsRequest, *, context: ssl.SSLContext | None) -> None:
        self._request = request
        self._context = context

    def send(self, message: Outgoing) -> None:
        """Make the request.

        Raises:
            DeliveryError: no answer said that the message was taken.
        """
        status, text = asyncio.run(self._exchange(message))
        wanted = self._request
        if status in wanted.success_status:
            if wanted.success_pattern is None or wanted.success_pattern.search(text):
                return
            raise DeliveryError(Fault.NONSENSE)
        if status in _PATIENCE or status >= 500:
            raise DeliveryError(Fault.BUSY)
        if 400 <= status < 500:
            raise DeliveryError(Fault.REFUSED, final=status in _NEVER)
        raise DeliveryError(Fault.NONSENSE)

    async def _exchange(self, message: Outgoing) -> tuple[int, str]:
        wanted = self._request
        values = values_of(message, secret=wanted.secret)
        headers = {name: _fill(text, values, str) for name, text in wanted.headers.items()}
        headers |= {IDEMPOTENCY_HEADER: message.message_id, "Accept-Encoding": "identity"}
        media_type = next((text for name, text in headers.items() if name.lower() == "content-type"), "")
        body = None
        if wanted.method != "GET":
            body = _fill(wanted.body, values, _escape_for(media_type)).encode()
        try:
            async with (
                asyncio.timeout(wanted.timeout_s),
                httpx.AsyncClient(
                    verify=self._context if self._context is not None else False,
                    timeout=None,  # noqa: S113 (that of the whole exchange is above)
                    follow_redirects=False,
                    trust_env=False,  # a proxy in the environment would read along
                ) as client,
                client.stream(
                    wanted.method,
                    _fill(wanted.url, values, lambda text: quote(text, safe="")),
                    headers=headers,
                    content=body,
                ) as response,
            ):
                return response.status_code, await _read(response)
        except TimeoutError as error:
            raise DeliveryError(Fault.TIMEOUT) from error
        except httpx.DecodingError as error:
            raise DeliveryError(Fault.NONSENSE) from error
        except httpx.RemoteProtocolError as error:  # something answers, and it is no HTTP
            raise DeliveryError(Fault.NONSENSE) from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            raise DeliveryError(Fault.UNREACHABLE) from error


def values_of(message: Outgoing, *, secret: str) -> dict[str, str]:
    """What the placeholders stand for."""
    number = phonenumbers.parse(message.address)
    return {
        "id": message.message_id,
        "phone": message.address,
        "national": phonenumbers.national_significant_number(number),
        "text": message.body,
        "template": message.template,
        "language": message.language,
        "values": json.dumps(dict(message.values), ensure_ascii=False),
        "secret": secret,
    }


async def _read(response: httpx.Response) -> str:
    content = bytearray()
    async for piece in response.aiter_raw():
        content += piece
        if len(content) > MAX_ANSWER_BYTES:
            raise DeliveryError(Fault.NONSENSE)
    return content.decode(errors="replace")


def _fill(template: str, values: Mapping[str, str], escaped: Callable[[str], str]) -> str:
    """Braces that are no placeholder stay: JSON has them too."""

    def value(place: re.Match[str]) -> str:
        if place[1] not in values:
            return place[0]
        # In a JSON body the object of the values stands as it is.
        raw = place[1] == "values" and escaped is _json
        return values[place[1]] if raw else escaped(values[place[1]])

    return _PLACE.sub(value, template)


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _xml(text: str) -> str:
    return escape(text, {'"': "&quot;", "'": "&apos;"})


def _escape_for(media_type: str) -> Callable[[str], str]:
    kind = media_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return quote_plus
    if kind.endswith("xml"):
        return _xml
    return str if kind == "text/plain" else _json
