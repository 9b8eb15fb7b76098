"""E-mail through a mail server: plain text, UTF-8, over TLS. Signing (DKIM) is the server's own."""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Literal

from cloud.messages.http_sms import IDEMPOTENCY_HEADER
from cloud.messages.ports import DeliveryError, Fault, Outgoing

_PERMANENT = 500


@dataclass(frozen=True, slots=True)
class MailServer:
    """``tls``: starttls, tls from the first byte, or none. ``user`` empty: no sign-in."""

    host: str
    port: int
    tls: Literal["starttls", "tls", "none"]
    sender: str
    timeout_s: float
    user: str = ""
    password: str = field(default="", repr=False)


class SmtpMailer:
    """One connection for each message: a service like this one sends few."""

    def __init__(self, server: MailServer, *, context: ssl.SSLContext) -> None:
        self._server = server
        self._context = context

    def send(self, message: Outgoing) -> None:
        """Hand the message to the mail server.

        Raises:
            DeliveryError: it was not taken, or nobody knows.
        """
        mail = compose(message, sender=self._server.sender)
        try:
            with self._connected() as smtp:
                smtp.send_message(mail, from_addr=self._server.sender, to_addrs=[message.address])
        except DeliveryError:
            raise
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise to_delivery_error(error) from error

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        server = self._server
        # What we call ourselves: else smtplib asks the name server for the machine's name, and tells it.
        own_name = server.sender.rpartition("@")[2]
        # A little longer than the whole, whose end is told apart from other faults.
        patience_s = server.timeout_s + 1
        over = threading.Event()
        smtp: smtplib.SMTP
        if server.tls == "tls":
            smtp = smtplib.SMTP_SSL(local_hostname=own_name, timeout=patience_s, context=self._context)
        else:
            smtp = smtplib.SMTP(local_hostname=own_name, timeout=patience_s)

        def end() -> None:
            """However slowly it goes on: whoever reads sees the end of the connection."""
            over.set()
            with suppress(OSError, AttributeError, TypeError):  # not connected yet
                socket.socket.shutdown(smtp.sock, socket.SHUT_RDWR)  # type: ignore[arg-type]

        late = threading.Timer(server.timeout_s, end)
        late.daemon = True
        late.start()
        smtp._host = server.host  # type: ignore[attr-defined]  # the name that its certificate must have
        try:
            code, _ = smtp.connect(server.host, server.port)
            if code != 220:
                raise DeliveryError(Fault.BUSY if code >= 400 else Fault.NONSENSE)
            if server.tls == "starttls":
                smtp.starttls(context=self._context)
            # Until here there may have been no connection to end: a name that took long to find, an address
            # after the other, a handshake. What is sent now would outlast the message's lease.
            if over.is_set():
                raise DeliveryError(Fault.TIMEOUT)
            if server.user:
                smtp.login(server.user, server.password)
            yield smtp
        except (smtplib.SMTPException, OSError) as error:
            if over.is_set():
                raise DeliveryError(Fault.TIMEOUT) from error
            raise
        finally:
            with suppress(smtplib.SMTPException, OSError):
                smtp.quit()  # within the time, too: not every server lets go
            late.cancel()
            smtp.close()


def compose(message: Outgoing, *, sender: str) -> EmailMessage:
    """The e-mail. Its Message-ID is the same at each attempt: servers and readers tell repeats by it.

    Raises:
        DeliveryError: REFUSED, the address is none.
    """
    mail = EmailMessage(policy=SMTP)
    try:
        mail["To"] = Address(addr_spec=message.address)
    except (ValueError, IndexError, MessageError) as error:
        raise DeliveryError(Fault.REFUSED, final=True) from error
    mail["From"] = Address(addr_spec=sender)
    mail["Subject"] = message.subject
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["Message-ID"] = f"<{message.message_id}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"  # no holiday notes, please (RFC 3834)
    mail[IDEMPOTENCY_HEADER] = message.message_id
    mail.set_content(message.body + "\n", cte="base64")
    mail["Content-Language"] = message.language  # last: setting the content takes such headers away
    return mail


def to_delivery_error(error: Exception) -> DeliveryError:
    """What a fault of an exchange means for the message."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _ in error.recipients.values()]
        never = bool(codes) and all(code >= _PERMANENT for code in codes)
        return DeliveryError(Fault.REFUSED if never else Fault.BUSY, final=never)
    if isinstance(error, smtplib.SMTPDataError):
        never = error.smtp_code >= _PERMANENT
        return DeliveryError(Fault.REFUSED if never else Fault.BUSY, final=never)
    if isinstance(error, smtplib.SMTPResponseException):  # sign-in, sender, greeting: mended in settings
        if error.smtp_code >= _PERMANENT:
            return DeliveryError(Fault.REFUSED)
        return DeliveryError(Fault.BUSY if error.smtp_code >= 400 else Fault.NONSENSE)
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return DeliveryError(Fault.REFUSED)
    if isinstance(error, TimeoutError):
        return DeliveryError(Fault.TIMEOUT)
    # A certificate that is not good is both of them.
    away = isinstance(error, OSError) or not isinstance(error, ValueError)
    return DeliveryError(Fault.UNREACHABLE if away else Fault.NONSENSE)
