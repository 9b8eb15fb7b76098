"""One PKCS#11 module in this process: a thread of its own, log-ins, and what to do when the token goes.

A module is loaded once and told nothing about threads, so all calls to it come from one thread; callers
wait for it, but never for ever. When a token was away, its sessions and handles are dead though it is
back: then the module is started anew and the call is made once more.
"""

from __future__ import annotations

import hashlib
import hmac
import queue
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pkcs11
from pkcs11 import exceptions as faults
from pkcs11.constants import TokenFlag

from edge.attest.keys import is_there, read_key_file
from edge.attest.keystore_rules import store_away
from edge.errors import SetupError
from edge.files import write_private

CALL_TIMEOUT_S = 60.0
"""A smart card may need half a minute for a key pair; one that says nothing for this long hangs."""
REFUSED_PIN_NAME = "pin-refused"

_SALT_BYTES = 16
_DIGEST_BYTES = 32
_HINT_AWAY = (
    "Plug the token in, and check the settings pkcs11_module and pkcs11_token. Keys in hardware are never "
    "replaced by keys in software."
)
_PIN_FAULTS = (faults.PinIncorrect, faults.PinInvalid, faults.PinLenRange)
_PIN_STATES = (faults.PinLocked, faults.PinExpired, faults.UserPinNotInitialized)
_LOST = (
    faults.DeviceError,
    faults.DeviceRemoved,
    faults.FunctionFailed,
    faults.GeneralError,
    faults.KeyHandleInvalid,
    faults.NoSuchToken,
    faults.ObjectHandleInvalid,
    faults.SessionClosed,
    faults.SessionHandleInvalid,
    faults.SlotIDInvalid,
    faults.TokenNotPresent,
    faults.TokenNotRecognised,
    faults.UserNotLoggedIn,
)
"""What modules answer about a token that was pulled out, or was pulled out and is back."""

Result = TypeVar("Result")
Session = Any
"""``pkcs11.Session``; the library's types leave most attributes open."""


@dataclass(frozen=True, slots=True)
class TokenAccess:
    """Which token, and how to log in. ``folder`` remembers a PIN that the token refused."""

    label: str
    pin: str = field(repr=False)
    folder: Path


@dataclass(frozen=True, slots=True)
class _Login:
    session: Session
    pin: str = field(repr=False)


class TokenModule:
    """The module at ``path``; use :func:`open_module`, which gives one object for each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        self._logins: dict[str, _Login] = {}
        self._lib: Any = None
        self._thread = threading.Thread(target=self._work, name="pkcs11", daemon=True)
        self._thread.start()

    def call(
        self, access: TokenAccess, action: Callable[[Session], Result], *, timeout_s: float = CALL_TIMEOUT_S
    ) -> Result:
        """Return ``action(session)``, run in the module's thread; once more where the token was away.

        Raises:
            SetupError: KEY_STORE_AWAY, KEY_PIN_REFUSED or KEY_STORE_REFUSED, or what ``action`` raises.
        """
        future: Future[Result] = Future()
        self._jobs.put((future, lambda: self._run(access, action)))
        try:
            return future.result(timeout_s)
        except TimeoutError:
            future.cancel()
            raise store_away(
                f"The token {access.label}", f"it had no answer for {timeout_s:.0f} s", hint=_HINT_AWAY
            ) from None

    def _work(self) -> None:
        while True:
            future, job = self._jobs.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(job())
                except BaseException as error:  # whatever it is, it belongs to the caller
                    future.set_exception(error)
            del future, job  # or the last result would live until the next call

    def _run(self, access: TokenAccess, action: Callable[[Session], Result]) -> Result:
        try:
            try:
                return action(self._session(access))
            except _LOST:
                self._restart()
            return action(self._session(access))
        except _LOST as error:
            raise store_away(f"The token {access.label}", _name(error), hint=_HINT_AWAY) from None
        except faults.MultipleTokensReturned:
            raise store_away(
                f"The token {access.label}", "several have this label", hint=_HINT_AWAY
            ) from None
        except faults.PKCS11Error as error:
            raise SetupError(
                "KEY_STORE_REFUSED",
                f"The token {access.label} refused: {_name(error)}.",
                hint="The token must offer P-256 keys with CKM_ECDSA and 256-bit AES keys with CKM_AES_CBC, "
                "and have space for them.",
            ) from None

    def _session(self, access: TokenAccess) -> Session:
        login = self._logins.get(access.label)
        if login is None:
            login = _Login(self._log_in(access), access.pin)
            self._logins[access.label] = login
        elif not hmac.compare_digest(login.pin.encode(), access.pin.encode()):
            raise _pin_refused(access, "it is not the one that this process is logged in with")
        return login.session

    def _log_in(self, access: TokenAccess) -> Session:
        """Present the PIN, once: a token that is asked again and again locks itself."""
        token = self._token(access.label)
        if TokenFlag.USER_PIN_LOCKED in token.flags:
            raise _pin_refused(access, "the token has locked itself")
        if TokenFlag.USER_PIN_FINAL_TRY in token.flags:
            raise _pin_refused(access, "only one try is left, which is for a person")
        if _was_refused(access):
            raise _pin_refused(access, "the token refused it before")
        try:
            session = token.open(rw=True, user_pin=access.pin)
        except _PIN_FAULTS as error:
            _remember_refusal(access)
            raise _pin_refused(access, _name(error)) from None
        except _PIN_STATES as error:
            raise _pin_refused(access, _name(error)) from None
        with suppress(OSError):
            (access.folder / REFUSED_PIN_NAME).unlink(missing_ok=True)
        return session

    def _token(self, label: str) -> Any:
        if self._lib is None:
            try:
                self._lib = pkcs11.lib(str(self._path))
            except faults.PKCS11Error as error:
                why = f"the module {self._path} does not load ({str(error) or _name(error)})"
                raise store_away(f"The token {label}", why, hint=_HINT_AWAY) from None
        return self._lib.get_token(token_label=label)

    def _restart(self) -> None:
        """Forget all sessions and start the module anew; a token that is still away shows right after."""
        self._logins.clear()
        lib, self._lib = self._lib, None
        if lib is not None and lib.initialized:
            lib.finalize()


_modules: dict[Path, TokenModule] = {}
_modules_lock = threading.Lock()


def open_module(path: Path) -> TokenModule:
    """Return the one object of this process for the module at ``path``; nothing is loaded yet."""
    with _modules_lock:
        if path not in _modules:
            _modules[path] = TokenModule(path)
        return _modules[path]


def _name(error: Exception) -> str:
    return type(error).__name__


def _pin_refused(access: TokenAccess, why: str) -> SetupError:
    return SetupError(
        "KEY_PIN_REFUSED",
        f"The PIN of the token {access.label} is not used: {why}.",
        hint="Put the right PIN into the file or credential; a PIN that was refused is never tried again. If "
        f"the token's PIN was changed to this one, remove {access.folder / REFUSED_PIN_NAME}.",
    )


def _digest(access: TokenAccess, salt: bytes) -> bytes:
    text = f"{access.label}\0{access.pin}".encode()
    return hashlib.scrypt(text, salt=salt, n=2**14, r=8, p=1, dklen=_DIGEST_BYTES)


def _remember_refusal(access: TokenAccess) -> None:
    """Keep a digest of the refused PIN, so that a service that is started again does not use up the tries."""
    salt = secrets.token_bytes(_SALT_BYTES)
    with suppress(OSError):  # the disk is full: the refusal itself is what has to be told
        write_private(access.folder / REFUSED_PIN_NAME, salt + _digest(access, salt))


def _was_refused(access: TokenAccess) -> bool:
    path = access.folder / REFUSED_PIN_NAME
    if not is_there(path):
        return False
    kept = read_key_file(path, max_bytes=_SALT_BYTES + _DIGEST_BYTES)
    salt, digest = kept[:_SALT_BYTES], kept[_SALT_BYTES:]
    return hmac.compare_digest(digest, _digest(access, salt))
