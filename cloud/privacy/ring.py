"""The key ring: versions of the two keys that protect personal data, in one file of the keys folder.

    privacy.json   {"seal": [{"version": 1, "created_us": ..., "secret": "base64"}], "index": [...]}

``seal`` keys wrap the keys of persons, ``index`` keys make the blind index. The last of each is the one in
use; older ones stay until nothing in the database needs them. Every server that shares the folder notices a
new version at its next use: the file is looked at each time, and read again when it is another one.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from cloud.errors import SetupError
from cloud.keyfiles import locked, write_private
from cloud.privacy.sealing import KEY_BYTES, MAX_VERSION, RandomBytes, SealKey

RING_FILE = "privacy.json"
LOCK_FILE = "privacy.lock"

SEAL = "seal"
INDEX = "index"
FAMILIES = (SEAL, INDEX)

RETIRE_AFTER = timedelta(minutes=10)
"""From a new version to the end of an old one: longer than any transaction of the service lasts, and than a
network's file system shows a server the file as it was."""


def _tell_nobody(_version: int) -> None:
    """Where the change of the ring is all there is."""


@dataclass(frozen=True, slots=True)
class RingKey:
    """One version of a family, SEAL or INDEX."""

    family: str
    version: int
    created_us: int
    secret: bytes = field(repr=False)


class KeyRing:
    """The opened ring. Any thread may use it."""

    def __init__(self, keys: Path) -> None:
        self._keys = keys
        self._mutex = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._ring: dict[str, dict[int, RingKey]] = {}

    @classmethod
    def load(cls, keys: Path) -> KeyRing:
        """Open the ring in the folder ``keys``.

        Raises:
            SetupError: KEYS_UNUSABLE: it is missing, or cannot be read.
        """
        ring = cls(keys)
        ring.versions(SEAL)
        return ring

    @classmethod
    def open(cls, keys: Path, *, now_us: int, random_bytes: RandomBytes) -> KeyRing:
        """As :meth:`load`, but made where there is none: nothing may have been sealed before.

        Raises:
            SetupError: KEYS_UNUSABLE: it cannot be read or written.
        """
        ring = cls(keys)
        # A backup holds the lock for as long as it copies: who only reads must not wait for it.
        if not (keys / RING_FILE).exists():
            with ring._changing():
                if not (keys / RING_FILE).exists():
                    ring._replace(_new_key(family, 1, now_us, random_bytes) for family in FAMILIES)
        return cls.load(keys)

    def current(self, family: str = SEAL) -> SealKey:
        """The newest version of a family."""
        ring = self._load()[family]
        newest = ring[max(ring)]
        return SealKey(newest.version, newest.secret)

    def key(self, version: int, family: str = SEAL) -> SealKey:
        """One version.

        Raises:
            SetupError: RING_VERSION_LOST.
        """
        found = self._load()[family].get(version)
        if found is None:
            raise lost_version(family, version)
        return SealKey(found.version, found.secret)

    def versions(self, family: str) -> list[RingKey]:
        """All versions, oldest first."""
        return sorted(self._load()[family].values(), key=lambda key: key.version)

    def rotate(
        self,
        family: str,
        *,
        now_us: int,
        random_bytes: RandomBytes,
        tell: Callable[[int], None] = _tell_nobody,
    ) -> int:
        """Add a version, which is used from now on, and return it. ``tell`` is called with it first.

        Raises:
            SetupError: the file cannot be written.
        """
        with self._changing():
            keys = self._all()
            version = max(key.version for key in keys if key.family == family) + 1
            if version > MAX_VERSION:
                raise ValueError("the key ring has no more versions")
            tell(version)
            self._replace([*keys, _new_key(family, version, now_us, random_bytes)])
        return version

    def retire(
        self, family: str, version: int, *, now_us: int, tell: Callable[[int], None] = _tell_nobody
    ) -> None:
        """Destroy an old version. That nothing needs it any more is for ``tell`` to see, called first.

        Raises:
            SetupError: RING_VERSION_IN_USE for the newest, and while something that began before the newest
                was made may still use an older one; RING_VERSION_LOST for one that is not there; or the file
                cannot be written.
        """
        with self._changing():
            keys = self._all()
            created = {key.version: key.created_us for key in keys if key.family == family}
            versions = sorted(created)
            if version not in versions:
                raise lost_version(family, version)
            if version == max(versions):
                raise SetupError(
                    "RING_VERSION_IN_USE",
                    f"Version {version} of the {family} key is the newest, which is in use.",
                    hint="Rotate first: verifield-cloud keys rotate.",
                )
            if abs(now_us - created[versions[-1]]) < RETIRE_AFTER / timedelta(microseconds=1):
                raise SetupError(
                    "RING_VERSION_IN_USE",
                    f"The newest {family} key was made less than {RETIRE_AFTER} ago: "
                    "a transaction that is older may still seal with the one before.",
                    hint="Wait that long, and run verifield-cloud keys reseal once more before.",
                )
            tell(version)
            self._replace([key for key in keys if (key.family, key.version) != (family, version)])

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(self._keys / LOCK_FILE))
            except OSError as error:
                raise _unusable(self._keys, error) from error
            yield

    def _all(self) -> list[RingKey]:
        return [key for family in self._load().values() for key in family.values()]

    def _replace(self, keys: Iterable[RingKey]) -> None:
        try:
            _write(self._keys, keys)
        except OSError as error:
            raise _unusable(self._keys, error) from error

    def _load(self) -> dict[str, dict[int, RingKey]]:
        path = self._keys / RING_FILE
        try:
            stat = path.stat()
            seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            with self._mutex:
                if seen != self._seen:
                    self._ring = _parse(path.read_bytes())
                    self._seen = seen
                return self._ring
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _unusable(self._keys, error) from error


def lost_version(family: str, version: int) -> SetupError:
    """A version that the database needs is not in the ring."""
    return SetupError(
        "RING_VERSION_LOST",
        f"The key ring has no version {version} of its {family} key.",
        hint=f"Restore {RING_FILE} of the keys folder from the newest backup.",
    )


def _new_key(family: str, version: int, now_us: int, random_bytes: RandomBytes) -> RingKey:
    return RingKey(family, version, now_us, random_bytes(KEY_BYTES))


def _write(keys: Path, ring: Iterable[RingKey]) -> None:
    content: dict[str, list[dict[str, object]]] = {family: [] for family in FAMILIES}
    for key in sorted(ring, key=lambda key: key.version):
        secret = base64.b64encode(key.secret).decode()
        content[key.family].append({"version": key.version, "created_us": key.created_us, "secret": secret})
    write_private(keys / RING_FILE, json.dumps(content, indent=1).encode())


def _parse(data: bytes) -> dict[str, dict[int, RingKey]]:
    content = json.loads(data)
    ring: dict[str, dict[int, RingKey]] = {}
    for family in FAMILIES:
        ring[family] = {}
        for entry in content[family]:
            secret = base64.b64decode(entry["secret"], validate=True)
            version = int(entry["version"])
            if len(secret) != KEY_BYTES or not 1 <= version <= MAX_VERSION or version in ring[family]:
                raise ValueError("the key ring has a key of the wrong form")
            ring[family][version] = RingKey(family, version, int(entry["created_us"]), secret)
        if not ring[family]:
            raise ValueError("the key ring has no key of a family")
    return ring


def _unusable(keys: Path, error: Exception) -> SetupError:
    return SetupError(
        "KEYS_UNUSABLE",
        f"The key ring {keys / RING_FILE} cannot be used ({type(error).__name__}).",
        hint="Restore the file from a backup; without it personal data cannot be read.",
    )
