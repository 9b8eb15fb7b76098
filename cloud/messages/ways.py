"""Which way out each channel has, as the settings say."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from pathlib import Path

from cloud.config import Config
from cloud.errors import SetupError
from cloud.message_settings import MessageSettings, mail_address
from cloud.messages.http_sms import HttpSmsGateway, SmsRequest
from cloud.messages.ports import Gateway
from cloud.messages.smtp import MailServer, SmtpMailer
from cloud.messages.spool import FileSpool
from cloud.messages.values import Channel

SPOOL_FOLDER = "spool"
"""In the data folder."""

MAX_SECRET_CHARS = 4096


@dataclass(frozen=True, slots=True)
class Ways:
    """A gateway for each channel. ``spool``: takes what has no other way. ``longest_s``: of one attempt."""

    gateways: dict[Channel, Gateway]
    spool: FileSpool
    longest_s: float


def open_ways(config: Config) -> Ways:
    """The gateways of the settings; nothing is called yet.

    Raises:
        SetupError: SMS_FILES or MAIL_FILES, a file that the settings name cannot be used.
    """
    spool = FileSpool(config.data / SPOOL_FOLDER)
    return Ways(
        {Channel.SMS: _open_sms(config) or spool, Channel.EMAIL: _open_mail(config) or spool},
        spool,
        longest_s=max(config.sms_timeout_s, config.mail_timeout_s),
    )


def _open_sms(settings: MessageSettings) -> Gateway | None:
    if settings.sms_url is None:
        return None
    pattern = settings.sms_success_pattern
    request = SmsRequest(
        url=settings.sms_url,
        method=settings.sms_method,
        headers=settings.sms_headers,
        body=settings.sms_body,
        success_status=frozenset(settings.sms_success_status),
        success_pattern=re.compile(pattern) if pattern is not None else None,
        timeout_s=settings.sms_timeout_s,
        secret=_read_secret(settings.sms_secret_file, code="SMS_FILES"),
    )
    secure = settings.sms_url.startswith("https:")
    return HttpSmsGateway(request, context=_context(settings.sms_ca, code="SMS_FILES") if secure else None)


def _open_mail(settings: MessageSettings) -> Gateway | None:
    if settings.mail_server is None or settings.mail_from is None:
        return None
    host, port = mail_address(settings.mail_server)
    server = MailServer(
        host,
        port,
        tls=settings.mail_tls,
        sender=settings.mail_from,
        timeout_s=settings.mail_timeout_s,
        user=settings.mail_user or "",
        password=_read_secret(settings.mail_password_file, code="MAIL_FILES"),
    )
    return SmtpMailer(server, context=_context(settings.mail_ca, code="MAIL_FILES"))


def _context(ca: Path | None, *, code: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(ca) if ca else None)
    except OSError as error:  # ssl.SSLError is one
        raise SetupError(
            code,
            f"The CA certificates in {ca} cannot be used ({type(error).__name__}).",
            hint="Give a PEM file with CA certificates, or leave it out for the system's.",
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _read_secret(file: Path | None, *, code: str) -> str:
    if file is None:
        return ""
    try:
        secret = file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise _no_secret(file, code) from error
    if not secret or len(secret) > MAX_SECRET_CHARS or not secret.isascii() or not secret.isprintable():
        raise _no_secret(file, code)
    return secret


def _no_secret(file: Path, code: str) -> SetupError:
    return SetupError(
        code,
        f"The file {file} does not hold a secret.",
        hint="Write the secret that the provider gave you into it: one line of ASCII characters.",
    )
