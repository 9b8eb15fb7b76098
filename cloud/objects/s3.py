"""A store behind the S3 protocol, of any provider.

    PREFIX/objects/AB/ABCDEF...    one object
    PREFIX/store                   whose store this is

Whatever a server answers is a fault of a few kinds; no address, name or text of it gets into a message.
"""

from __future__ import annotations

import base64
import os
import re
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloud.errors import Reason
from cloud.objects.files import MAX_MARK_BYTES, MAX_SEALED_BYTES, Fault, StoreFault

if TYPE_CHECKING:
    from typing import BinaryIO

_KEY = re.compile(r".*/objects/[0-9a-f]{2}/([0-9a-f]{64})")

_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
_DENIED = frozenset(
    {
        *("401", "403", "AccessDenied", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch"),
        *("ExpiredToken", "InvalidToken", "RequestTimeTooSkewed", "AccountProblem", "AllAccessDisabled"),
    }
)
_FULL = frozenset({"QuotaExceeded", "EntityTooLarge", "XMinioStorageFull", "507"})
_AWAY = frozenset(
    {"NoSuchBucket", "503", "SlowDown", "ServiceUnavailable", "500", "InternalError", "502", "504"}
)


@dataclass(frozen=True, slots=True)
class Address:
    """``endpoint``: None for AWS. ``credentials``: a file; None for the variables AWS_ACCESS_KEY_ID etc."""

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str = "us-east-1"
    credentials: Path | None = None
    ca: Path | None = None
    path_style: bool = True


class S3Store:
    """Any thread may use it. Nothing is sent, and no credentials are read, before the first call."""

    def __init__(self, address: Address, *, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._made: Any = None
        self._mutex = threading.Lock()

    def put(self, sealed: bytes) -> bytes:
        """As :meth:`cloud.objects.files.ObjectFiles.put`; the server checks the digest."""
        digest = sha256(sealed).digest()
        self._put(_object_key(digest), sealed, digest)
        return digest

    def open(self, digest: bytes) -> bytes:
        """As :meth:`cloud.objects.files.ObjectFiles.open`."""
        sealed = self._get(_object_key(digest), MAX_SEALED_BYTES + 1)
        if sealed is None:
            raise StoreFault(Fault.MISSING, "The file is not at the store.")
        if sha256(sealed).digest() != digest:
            raise StoreFault(Fault.CORRUPT, "The file is not what was put there.")
        return sealed

    def delete(self, digest: bytes) -> None:
        """As :meth:`cloud.objects.files.ObjectFiles.delete`."""
        with _faults():
            self._client().delete_object(Bucket=self._address.bucket, Key=self._key(_object_key(digest)))

    def list_before(self, before_us: int) -> Iterator[bytes]:
        """As :meth:`cloud.objects.files.ObjectFiles.list_before`."""
        with _faults():
            pages = self._client().get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._address.bucket, Prefix=self._key("objects/")):
                for entry in page.get("Contents", ()):
                    name = _KEY.fullmatch(f"/{entry['Key']}")
                    if name and entry["LastModified"].timestamp() * 1e6 < before_us:
                        yield bytes.fromhex(name[1])

    def read_mark(self) -> bytes | None:
        """As :meth:`cloud.objects.files.Backend.read_mark`."""
        return self._get("store", MAX_MARK_BYTES)

    def write_mark(self, mark: bytes) -> None:
        """As :meth:`cloud.objects.files.Backend.write_mark`."""
        self._put("store", mark, sha256(mark).digest())

    def expect(self, mark: bytes) -> None:
        """A bucket has one name for ever: nothing else is found in its place."""

    def has_file(self, name: str) -> int | None:
        """Bytes of a file of a backup at the store; None where it is not there."""
        try:
            with _faults():
                found = self._client().head_object(Bucket=self._address.bucket, Key=self._key(name))
        except StoreFault as error:
            if error.fault is Fault.MISSING:
                return None
            raise
        return int(found["ContentLength"])

    def send_file(self, name: str, path: Path) -> None:
        """Bring a file of a backup, of any size."""
        with _faults():
            self._client().upload_file(str(path), self._address.bucket, self._key(name))

    def fetch_file(self, name: str, file: BinaryIO) -> None:
        """Fetch one."""
        with _faults():
            self._client().download_fileobj(self._address.bucket, self._key(name), file)

    def list_files(self, under: str) -> list[str]:
        """Names of files of backups below ``under``."""
        prefix = self._key(under)
        with _faults():
            pages = self._client().get_paginator("list_objects_v2")
            return [
                under + entry["Key"].removeprefix(prefix)
                for page in pages.paginate(Bucket=self._address.bucket, Prefix=prefix)
                for entry in page.get("Contents", ())
            ]

    def _put(self, name: str, data: bytes, digest: bytes) -> None:
        with _faults(Reason.OBJECT_NO_ROOM):
            self._client().put_object(
                Bucket=self._address.bucket,
                Key=self._key(name),
                Body=data,
                ChecksumSHA256=base64.b64encode(digest).decode(),
            )

    def _get(self, name: str, most: int) -> bytes | None:
        try:
            with _faults():
                found = self._client().get_object(Bucket=self._address.bucket, Key=self._key(name))
                with found["Body"] as body:
                    return bytes(body.read(most))
        except StoreFault as error:
            if error.fault is Fault.MISSING:
                return None
            raise

    def _key(self, name: str) -> str:
        return f"{self._address.prefix.strip('/')}/{name}".lstrip("/")

    def _client(self) -> Any:
        with self._mutex:
            if self._made is None:
                self._made = self._make_client()
            return self._made

    def _make_client(self) -> Any:
        import boto3  # noqa: PLC0415 (half a second)
        from botocore.config import Config  # noqa: PLC0415

        address = self._address
        key, secret, token = read_credentials(address.credentials)
        return boto3.session.Session().client(
            "s3",
            endpoint_url=address.endpoint,
            region_name=address.region,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            verify=str(address.ca) if address.ca else None,
            config=Config(
                connect_timeout=self._timeout_s / 2,
                read_timeout=self._timeout_s,
                # Tries are the journal's, with pauses that hold up nobody.
                retries={"total_max_attempts": 1},
                max_pool_connections=16,
                signature_version="s3v4",
                s3={"addressing_style": "path" if address.path_style else "auto"},
                # Many stores know nothing of the newer checksums; ours are sent and checked by ourselves.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )


def read_credentials(file: Path | None) -> tuple[str, str, str | None]:
    """Key id, secret and session token, of a TOML file or of the variables AWS_*; never from the network.

    Raises:
        StoreFault: DENIED: there are none.
    """
    try:
        if file is not None:
            told = tomllib.loads(file.read_text(encoding="utf-8"))
        else:
            told = {
                name: os.environ[f"AWS_{name.upper()}"]
                for name in ("access_key_id", "secret_access_key", "session_token")
                if f"AWS_{name.upper()}" in os.environ
            }
        token = told.get("session_token")
        return str(told["access_key_id"]), str(told["secret_access_key"]), str(token) if token else None
    except (OSError, ValueError, KeyError) as error:
        # Not the error's own text: it may quote the file.
        raise StoreFault(Fault.DENIED, "The store's credentials cannot be read.") from None if file else error


def _object_key(digest: bytes) -> str:
    name = digest.hex()
    return f"objects/{name[:2]}/{name}"


@contextmanager
def _faults(reason: Reason = Reason.OBJECT_DAMAGED) -> Iterator[None]:
    from boto3.exceptions import Boto3Error  # noqa: PLC0415
    from botocore import exceptions as boto  # noqa: PLC0415

    try:
        yield
    except boto.ClientError as error:
        raise _fault(error, reason) from None  # its text names the key and the bucket
    except (boto.ConnectTimeoutError, boto.ReadTimeoutError):
        raise StoreFault(Fault.SLOW, "The store did not answer in time.", reason) from None
    except (boto.HTTPClientError, boto.IncompleteReadError, boto.ConnectionError):
        raise StoreFault(Fault.AWAY, "The store does not answer.", reason) from None
    except (boto.BotoCoreError, Boto3Error):
        raise StoreFault(Fault.BROKEN, "The store failed.", reason) from None


def _fault(error: Any, reason: Reason) -> StoreFault:
    answer: dict[str, Any] = error.response
    code = str(answer.get("Error", {}).get("Code", ""))
    status = str(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    kinds: tuple[tuple[frozenset[str], Fault, str], ...] = (
        (_AWAY, Fault.AWAY, "The store does not serve."),
        (_MISSING, Fault.MISSING, "The file is not at the store."),
        (_DENIED, Fault.DENIED, "The store does not let us in."),
        (_FULL, Fault.FULL, "The store has no room."),
    )
    for word in (code, status):
        for codes, fault, message in kinds:
            if word in codes:
                return StoreFault(fault, message, reason)
    return StoreFault(Fault.BROKEN, "The store failed.", reason)
