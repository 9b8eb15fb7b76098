"""What is wrong with the line to the cloud: found out step by step, kept under an id, sent once it works.

1  is the name found?                    2  does a connection come about, and how fast?
3  does the other side prove to be the cloud, by TLS and the pinned root?

Who stands at the device is told one code, NETWORK_UNAVAILABLE, and the id; whoever looks into it finds the
steps under that id in the cloud. Until then they wait in a folder of small files, the newest KEPT of them.
Nothing in them is about a person.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import grpc
from google.protobuf.message import DecodeError

from edge.errors import CloudError
from edge.files import make_private_folder, write_private
from edge.rpc import FailureKind, channel_options, judge_failure
from edge.sync.ports import UplinkError, UplinkIdentity
from verifield.v1.diagnostics_service_pb2 import Diagnostics, UploadDeviceDiagnosticsRequest
from verifield.v1.diagnostics_service_pb2_grpc import DiagnosticsServiceStub

CODE = "NETWORK_UNAVAILABLE"
ERROR_CODE = "network_unavailable"
"""As it stands in what is sent."""

STEP_S = 5.0
"""For each step: a line that needs longer is of no use to somebody who waits."""

ROUND_TRIPS = 3
KEPT = 50
"""A line that fails all day brings some tens; older ones tell nothing more."""

UPLOAD_S = 30.0
MAX_ADDRESSES = 16
ACTIVITY = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What somebody was doing, in one word."""

_SUFFIX = ".diagnostics"


class NetworkUnavailableError(CloudError):
    """The cloud cannot be reached; ``diagnostic_id``: under which the cloud will know why."""

    def __init__(self, diagnostic_id: str) -> None:
        super().__init__(
            CODE,
            f"The network connection failed; the diagnosis has the id {diagnostic_id}.",
            hint="Check the cable or the mobile network, and try again: nothing is lost. Tell the id.",
        )
        self.diagnostic_id = diagnostic_id


@dataclass(frozen=True, slots=True)
class Line:
    """``endpoint``: HOST:PORT of the cloud. ``root_pem``: the pinned root."""

    endpoint: str
    root_pem: bytes
    policy_version: int
    client_version: str
    waiting: int = 0


class DiagnosticsFolder:
    """What was found out and not sent yet: one file for each id."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, found: Diagnostics) -> None:
        """Write one; durable when this returns. The oldest go where there are too many."""
        make_private_folder(self._folder)
        path = self._folder / f"{found.diagnostic_id}{_SUFFIX}"
        write_private(path, found.SerializeToString(deterministic=True))
        for old in self._files()[:-KEPT]:
            old.unlink(missing_ok=True)

    def waiting(self) -> list[Diagnostics]:
        """All of them, the oldest first; a file that cannot be read is let go."""
        found = []
        for path in self._files():
            try:
                found.append(Diagnostics.FromString(path.read_bytes()))
            except (OSError, DecodeError):
                path.unlink(missing_ok=True)
        return found

    def sent(self, diagnostic_id: str) -> None:
        """Let go of one that the cloud has."""
        (self._folder / f"{diagnostic_id}{_SUFFIX}").unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        found = []
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):  # another process has just sent it
                if path.suffix == _SUFFIX:
                    found.append((path.stat().st_mtime_ns, path.name, path))
        return [path for _, _, path in sorted(found)]


def examine(line: Line, *, activity: str, now: datetime, diagnostic_id: str = "") -> Diagnostics:
    """Go through the steps; what a step needs and did not get leaves it out. STEP_S for each at most."""
    found = Diagnostics(
        diagnostic_id=diagnostic_id or str(uuid.uuid4()),
        error_code=ERROR_CODE,
        endpoint=line.endpoint,
        policy_version=line.policy_version,
        client_version=line.client_version,
        activity=activity,
        waiting=line.waiting,
    )
    found.occur_time.FromDatetime(now)
    host, _, port = line.endpoint.rpartition(":")
    host = host.strip("[]")
    if _check_name(found, host, int(port)) and _check_connection(found, host, int(port)):
        _check_tls(found, host, int(port), line.root_pem)
    return found


def is_good(found: Diagnostics) -> bool:
    """Whether every step was passed."""
    return found.dns.ok and found.connect.ok and found.tls.ok


@contextmanager
def diagnosed(
    folder: DiagnosticsFolder, line: Line, *, activity: str, now: Callable[[], datetime]
) -> Iterator[None]:
    """Turn a cloud that cannot be reached into what a person can tell: the code, and the id of a diagnosis.

    Raises:
        NetworkUnavailableError: in the place of an UplinkError, an RpcError or a CloudError CLOUD_AWAY.
    """
    try:
        yield
    except (UplinkError, CloudError, grpc.RpcError) as error:
        if not _is_away(error):
            raise
        found = examine(line, activity=activity, now=now())
        folder.keep(found)
        raise NetworkUnavailableError(found.diagnostic_id) from error


def deliver(folder: DiagnosticsFolder, identity: UplinkIdentity) -> int:
    """Send what waits; return how many the cloud has taken.

    What the cloud refuses for good is let go: the same would be refused again.

    Raises:
        UplinkError: the cloud is away, or does not accept this device; what was not sent stays.
    """
    waiting = folder.waiting()
    if not waiting:
        return 0
    credentials = grpc.ssl_channel_credentials(
        root_certificates=identity.root_pem,
        private_key=identity.tls_key_pem(),
        certificate_chain=identity.tls_certificates_pem(),
    )
    taken = 0
    with grpc.secure_channel(identity.device_endpoint, credentials, options=channel_options()) as channel:
        stub = DiagnosticsServiceStub(channel)
        for found in waiting:
            try:
                request = UploadDeviceDiagnosticsRequest(diagnostics=found)
                stub.UploadDeviceDiagnostics(request, timeout=UPLOAD_S)
                taken += 1
            except grpc.RpcError as error:
                failure = judge_failure(error)
                if failure.kind is not FailureKind.PERMANENT:
                    raise UplinkError(failure) from None
            folder.sent(found.diagnostic_id)
    return taken


def _check_name(found: Diagnostics, host: str, port: int) -> bool:
    started = time.monotonic()
    answers: list[str] = []
    faults: list[str] = []

    def look_up() -> None:
        try:
            known = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.extend(sorted({str(answer[4][0]) for answer in known})[:MAX_ADDRESSES])
        except (OSError, UnicodeError) as error:
            faults.append(_name_of(error))

    # The system's resolver takes no time-out: it is left to itself where it takes too long.
    resolving = threading.Thread(target=look_up, daemon=True)
    resolving.start()
    resolving.join(STEP_S)
    found.dns.duration_ms = _ms_since(started)
    found.dns.ok = bool(answers)
    found.dns.addresses.extend(answers)
    if not answers:
        found.dns.fault = faults[0] if faults else "TimeoutError"
    return found.dns.ok


def _check_connection(found: Diagnostics, host: str, port: int) -> bool:
    for number in range(ROUND_TRIPS):
        started = time.monotonic()
        try:
            with socket.create_connection((host, port), STEP_S):
                found.rtt_ms.append(_ms_since(started))
        except OSError as error:
            if not number:
                found.connect.fault = _name_of(error)
                found.connect.duration_ms = _ms_since(started)
            break
    if found.rtt_ms:
        found.connect.ok = True
        found.connect.duration_ms = found.rtt_ms[0]
    return found.connect.ok


def _check_tls(found: Diagnostics, host: str, port: int, root_pem: bytes) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    started = time.monotonic()
    try:
        context.load_verify_locations(cadata=root_pem.decode("ascii"))
        with (
            socket.create_connection((host, port), STEP_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as secure,
        ):
            found.tls.version = secure.version() or ""
            found.tls.ok = True
    except (OSError, ValueError) as error:
        found.tls.fault = _name_of(error)
    found.tls.duration_ms = _ms_since(started)


def _is_away(error: Exception) -> bool:
    if isinstance(error, UplinkError):
        return error.failure.code == "CLOUD_AWAY"
    if isinstance(error, CloudError):
        return error.code == "CLOUD_AWAY"
    with suppress(AttributeError):  # an error of gRPC that is no call says nothing of the line
        return judge_failure(error).code == "CLOUD_AWAY"  # type: ignore[arg-type]
    return False


def _name_of(error: Exception) -> str:
    """Names of faults, never their texts, which may hold paths."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{type(error).__name__}_{error.verify_code}"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{type(error).__name__}_{error.errno}"[:64]
    return type(error).__name__[:64]


def _ms_since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)
