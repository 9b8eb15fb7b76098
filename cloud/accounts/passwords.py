"""Passwords: Argon2id (RFC 9106) in a few threads, so that many who sign in at once wait, not the memory.

A hash costs as much memory as it takes; as many run at once as there are threads, and who would wait too long
is told so. Which password is good enough is a rule of its own, without any list that would go out of date.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from argon2.low_level import Type

from cloud.errors import FieldViolation, Reason, ServiceError

SALT_BYTES = 16
HASH_BYTES = 32
"""RFC 9106, 4: the lengths of both recommended options."""

MIN_CHARS, MAX_CHARS = 8, 128
MIN_DIFFERENT = 4
MIN_PART = 4
"""Shorter parts of a name or a number may stand in a password by chance."""

MAX_WAITING = 64
"""For a free thread: with half a minute of work before them they end within a call's time."""

MAX_WAITING_OF_SOURCE = MAX_WAITING // 2
"""So that no device and no address keeps all others waiting."""

_RUN = 5
_ROWS = ("abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")
_WORDS = ("password", "passwort", "contrasena", "mima", "woaini", "letmein", "welcome", "admin", "verifield")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one hash. The defaults are RFC 9106's second recommended option, for where memory is scarce."""

    memory_kib: int = 64 * 1024
    passes: int = 3
    lanes: int = 4


class Passwords:
    """``threads``: hashes at once. Its methods are for one event loop."""

    def __init__(self, cost: Cost, *, threads: int) -> None:
        self._hasher = PasswordHasher(
            time_cost=cost.passes,
            memory_cost=cost.memory_kib,
            parallelism=cost.lanes,
            hash_len=HASH_BYTES,
            salt_len=SALT_BYTES,
            type=Type.ID,
        )
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="passwords")
        self._most = threads + MAX_WAITING
        self._share = threads + MAX_WAITING_OF_SOURCE
        self._running: Counter[str] = Counter()

    async def hash(self, password: str, *, source: str = "") -> str:
        """``$argon2id$...`` of a password that was checked; ``source``: where it came from.

        Raises:
            ServiceError: PASSWORDS_BUSY.
        """
        return await self._run(lambda: self._hasher.hash(normal_password(password)), source)

    async def verify(self, hashed: str, password: str, *, source: str = "") -> bool:
        """Whether this is the password; ``source``: where it came from.

        Raises:
            ServiceError: PASSWORDS_BUSY; RECORD_DAMAGED: what is kept is no hash.
        """
        return await self._run(lambda: self._verify(hashed, password), source)

    def is_old(self, hashed: str) -> bool:
        """Whether a hash was made at another cost than now."""
        return self._hasher.check_needs_rehash(hashed)

    def close(self) -> None:
        """Let go of the threads; what runs in them comes to its end."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, normal_password(password))
        except VerifyMismatchError:
            return False
        except (InvalidHashError, VerificationError) as error:
            raise ServiceError(Reason.RECORD_DAMAGED, "What is kept of a password is no hash.") from error

    async def _run(self, work: Callable[[], T], source: str) -> T:
        if self._running.total() >= self._most or self._running[source] >= self._share:
            raise ServiceError(Reason.PASSWORDS_BUSY, "Too many passwords are worked out now.")
        self._running[source] += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._running[source] -= 1
            if not self._running[source]:
                del self._running[source]


def normal_password(password: str) -> str:
    """One form for what keyboards write in several ways (RFC 8265, 4.2, with NFKC for full-width letters)."""
    return unicodedata.normalize("NFKC", password)


def check_password(password: str, personal: Iterable[str], *, path: str) -> None:
    """Check that a new password is not easily guessed. ``personal``: what it must not hold.

    Raises:
        ServiceError: PASSWORD_WEAK; ``rule`` says why.
    """
    plain = normal_password(password)
    folded = plain.casefold()
    if not MIN_CHARS <= len(plain) <= MAX_CHARS:
        raise _weak(path, "LENGTH", f"A password has {MIN_CHARS} to {MAX_CHARS} characters.")
    if any(unicodedata.category(char) == "Cc" for char in plain):
        raise _weak(path, "CHARACTER", "A password has no control characters.")
    if len(set(folded)) < MIN_DIFFERENT:
        raise _weak(path, "REPEATED", f"A password has {MIN_DIFFERENT} different characters or more.")
    if any(part in folded for value in personal for part in _parts(value)):
        raise _weak(path, "PERSONAL", "A password has nothing personal in it.")
    if _left_over(folded) < MIN_DIFFERENT:
        raise _weak(path, "COMMON", "A password is no common word, and no row of the keyboard.")


def _parts(value: str) -> set[str]:
    """What is recognised of a value: the whole, the day of birth in an id number, the end of a number."""
    folded = value.casefold().strip()
    digits = "".join(filter(str.isdigit, folded))
    found = {folded, *folded.split()}
    if len(digits) >= _RUN:
        found |= {digits, digits[-6:]}
    if len(folded) == 18:
        found |= {folded[6:14], folded[-6:]}
    if folded.startswith("+86"):
        found.add(folded[3:])
    return {part for part in found if len(part) >= MIN_PART}


def _left_over(text: str) -> int:
    """How many characters are no part of a common word or of a row of keys, either way."""
    for word in _WORDS:
        text = text.replace(word, "")
    for row in (*_ROWS, *(row[::-1] for row in _ROWS)):
        for size in range(len(row), _RUN - 1, -1):
            for start in range(len(row) - size + 1):
                text = text.replace(row[start : start + size], "")
    return len(text)


def _weak(path: str, rule: str, told: str) -> ServiceError:
    return ServiceError(
        Reason.PASSWORD_WEAK, told, {"rule": rule}, violations=(FieldViolation(path, rule, told),)
    )
