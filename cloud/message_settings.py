"""Settings of how people are told: a gateway for text messages, a mail server, limits of codes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Literal
from xml.parsers import expat

from pydantic import BaseModel, Field, model_validator

from cloud.settings import Told, check_gateway, is_this_machine

PLACES = frozenset({"id", "phone", "national", "text", "template", "language", "values", "secret"})
"""What a template of a request may name, as ``{name}``."""

PLACES_OF_HEADERS = frozenset({"id", "phone", "template", "language", "secret"})
"""Headers are ASCII, and stand in the logs of proxies: no text of a message goes there."""

_PLACE = re.compile(r"\{([a-z_]+)\}")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
_MAILBOX = re.compile(r"[^\s@<>\"]{1,64}@[A-Za-z0-9.-]{1,190}")
_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")

Count = Annotated[int, Field(ge=1, le=1_000_000)]
_DEFAULT_HEADERS = {"Content-Type": "application/json"}
_DEFAULT_BODY = '{"id": "{id}", "to": "{phone}", "text": "{text}"}'


class MessageSettings(BaseModel):
    """Where text messages and e-mail go out."""

    sms_url: Annotated[
        str | None,
        Field(max_length=1024, pattern=r"^https?://"),
        Told(
            "Gateway for text messages, `https://HOST/...`; placeholders as in `sms_body`.",
            "Gateways differ; most are one HTTP request. docs/codes.md has examples.",
            unset="messages become files in `spool` of the data folder",
            secret=True,
        ),
    ] = None
    sms_method: Annotated[
        Literal["POST", "PUT", "GET"],
        Told("Method of the request; GET has no body.", "As the gateway wants it."),
    ] = "POST"
    sms_headers: Annotated[
        dict[str, str],
        Field(max_length=20),
        Told(
            "Headers of the request; filled in: `{secret}`, `{id}`, `{phone}`, `{template}`, `{language}`.",
            "`Idempotency-Key` is always sent beside them.",
            secret=True,
        ),
    ] = _DEFAULT_HEADERS
    sms_body: Annotated[
        str,
        Field(max_length=4096),
        Told(
            "Body of the request. Placeholders, escaped as `Content-Type` wants it: `{id}`, `{phone}` "
            "(+86...), `{national}` (without the country's code), `{text}`, `{template}`, `{language}`, "
            "`{values}` (a JSON object), `{secret}`.",
            "Gateways that have texts of their own take the template's name and the values.",
        ),
    ] = _DEFAULT_BODY
    sms_success_status: Annotated[
        tuple[Annotated[int, Field(ge=200, le=299)], ...],
        Field(min_length=1, max_length=20),
        Told("Statuses with which the gateway says that it has the message.", "What HTTP has for it."),
    ] = (200, 201, 202, 204)
    sms_success_pattern: Annotated[
        str | None,
        Field(max_length=256),
        Told(
            "Regular expression that is found in the answer where the gateway has taken the message.",
            "Some gateways answer 200 to everything.",
            unset="the status decides",
        ),
    ] = None
    sms_secret_file: Annotated[
        Path | None,
        Told(
            "File with the secret that `{secret}` stands for.",
            "A secret in a file of its own is not shown with the settings.",
            unset="`{secret}` cannot be used",
        ),
    ] = None
    sms_ca: Annotated[
        Path | None,
        Told(
            "PEM file with the CA of the gateway's TLS certificate.",
            "A gateway inside often has a CA of its own.",
            unset="the system's CAs",
        ),
    ] = None
    sms_timeout_s: Annotated[
        float,
        Field(gt=0, le=30),
        Told("How long one attempt may take in all.", "Gateways answer within a second or two.", unit="s"),
    ] = 10.0
    sms_source_per_minute: Annotated[
        Count,
        Told(
            "Codes that one device or address may ask for in a minute, for all numbers together.",
            "A number has limits of its own; an office has many people, and a thief one line.",
            unit="1/min",
        ),
    ] = 20
    sms_source_per_hour: Annotated[Count, Told("The same in any hour.", "As above.", unit="1/h")] = 200
    sms_source_per_day: Annotated[Count, Told("The same in any 24 hours.", "As above.", unit="1/d")] = 1000
    mail_server: Annotated[
        str | None,
        Field(max_length=256),
        Told(
            "Mail server that takes our e-mail (SMTP), `HOST:PORT`.",
            "Signing (DKIM) and the way on are its own.",
            unset="e-mail becomes files in `spool` of the data folder",
        ),
    ] = None
    mail_from: Annotated[
        str | None,
        Field(max_length=254),
        Told(
            "The sender's address.",
            "Its domain is the mail server's to vouch for.",
            unset="needed with `mail_server`",
        ),
    ] = None
    mail_tls: Annotated[
        Literal["starttls", "tls", "none"],
        Told(
            "`starttls` (port 587), `tls` from the first byte (port 465), `none` for this machine alone.",
            "Messages hold what belongs to persons.",
        ),
    ] = "starttls"
    mail_user: Annotated[
        str | None,
        Field(min_length=1, max_length=254),
        Told("The name under which we sign in to it.", "Most servers want one.", unset="no sign-in"),
    ] = None
    mail_password_file: Annotated[
        Path | None,
        Told(
            "File with the password of `mail_user`.",
            "A secret in a file of its own is not shown with the settings.",
            unset="needed with `mail_user`",
        ),
    ] = None
    mail_ca: Annotated[
        Path | None,
        Told(
            "PEM file with the CA of the mail server's TLS certificate.",
            "A server inside often has a CA of its own.",
            unset="the system's CAs",
        ),
    ] = None
    mail_timeout_s: Annotated[
        float,
        Field(gt=0, le=60),
        Told(
            "How long one attempt may take in all.",
            "Some servers look at a message before they take it.",
            unit="s",
        ),
    ] = 30.0

    @model_validator(mode="after")
    def _check_sms(self) -> MessageSettings:
        check_places("sms_url", self.sms_url or "", PLACES)
        check_places("sms_body", self.sms_body, PLACES)
        for name, value in self.sms_headers.items():
            if not _HEADER.fullmatch(name) or not value.isascii() or not value.isprintable():
                raise ValueError("sms_headers has a header that is none")
            check_places("sms_headers", value, PLACES_OF_HEADERS)
            if name.lower() == "content-type" and self.sms_method != "GET":
                check_body(value, self.sms_body)
        texts = (self.sms_url or "", self.sms_body, *self.sms_headers.values())
        if any("{secret}" in text for text in texts) and self.sms_secret_file is None:
            raise ValueError("{secret} needs sms_secret_file")
        if self.sms_url is not None:
            # Where it goes must not depend on a message.
            if "{" in re.sub(r"^(https?://[^/?]*).*", r"\1", self.sms_url):
                raise ValueError("sms_url has a placeholder in its host")
            check_gateway(_PLACE.sub("0", self.sms_url))
        try:
            re.compile(self.sms_success_pattern or "")
        except re.error as error:
            raise ValueError("sms_success_pattern is no regular expression") from error
        return self

    @model_validator(mode="after")
    def _check_mail(self) -> MessageSettings:
        if self.mail_server is not None:
            host, _ = mail_address(self.mail_server)
            if self.mail_tls == "none" and not is_this_machine(host):
                raise ValueError("mail_tls none is for a mail server on this machine alone")
        if (self.mail_server is None) != (self.mail_from is None):
            raise ValueError("mail_server and mail_from are needed together")
        if self.mail_from is not None and not _MAILBOX.fullmatch(self.mail_from):
            raise ValueError("mail_from is no address of the form name@domain")
        if (self.mail_user is None) != (self.mail_password_file is None):
            raise ValueError("mail_user and mail_password_file are needed together")
        return self


def check_places(setting: str, text: str, allowed: frozenset[str]) -> None:
    """Check the placeholders of a template.

    Raises:
        ValueError: one is not known.
    """
    unknown = set(_PLACE.findall(text)) - allowed
    if unknown:
        raise ValueError(f"{setting} has unknown placeholders: {', '.join(sorted(unknown))}")


def check_body(media_type: str, body: str) -> None:
    """Check that the body of a request is of its type once it is filled in.

    Raises:
        ValueError: no gateway could read it.
    """
    kind = media_type.partition(";")[0].strip().lower()
    values = '{"code": "0"}' if kind.endswith("json") else "0"
    sample = {"values": values, "national": "0"}
    filled = _PLACE.sub(lambda place: sample.get(place[1], "+0"), body)
    try:
        if kind.endswith("json"):
            json.loads(filled)
        elif kind.endswith("xml"):
            expat.ParserCreate().Parse(filled, True)
    except (ValueError, expat.ExpatError) as error:
        raise ValueError(f"sms_body is no {kind} once it is filled in") from error


def mail_address(text: str) -> tuple[str, int]:
    """``HOST:PORT`` to host (without brackets) and port.

    Raises:
        ValueError: not of that form.
    """
    found = _PORT.fullmatch(text)
    if not found or not 0 < int(found["port"]) < 65536:
        raise ValueError("mail_server is HOST:PORT, for example mail.example:587")
    return found["host"].strip("[]"), int(found["port"])
