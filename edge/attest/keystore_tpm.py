"""The key store in a TPM 2.0, through the commands of tpm2-tools.

    folder/
      tpm.lock, tpm-tool.lock
      tpm-making             a place in NV that is being filled; found at the next change after a cut
      tpm-wrapping           the place in NV of the secret that gives the wrapping key
      tpm-keys/<name>.tpm    a place in NV, and the public and the encrypted private part of a key

A signing key is born in the TPM under the storage primary key of the owner, which the TPM derives anew,
always the same, from its owner seed: nothing has to be provisioned and no persistent handle is used up.
The key's private part leaves the TPM only encrypted under that primary, and is of no use elsewhere. Its
authorisation is derived from 32 random bytes in NV. Undefining those destroys the key for ever, though
somebody kept a copy of its file; the same holds for the wrapping key.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edge.attest.keys import create_key_file, destroy_key_file, is_there, read_key_file, taking_turns
from edge.attest.keystore_rules import (
    check_name,
    derive_key,
    key_exists,
    key_unreadable,
    key_unwritable,
    parse_head,
    seal_secret,
    unseal_secret,
    wrapped_unreadable,
)
from edge.attest.tpm_forms import (
    AUTH_BYTES,
    KeyBlob,
    NvSlot,
    TpmFormError,
    encode_key,
    encode_slot,
    parse_key,
    parse_signing_key,
    parse_sized,
)
from edge.attest.tpm_nv import (
    MAX_TRIES,
    TpmRollbackCounter,
    define_secret,
    draw_slot,
    read_secret,
    read_slot,
    undefine,
)
from edge.attest.tpm_tools import WANTED, Given, TpmRefusedError, TpmTools, authorised_by
from edge.errors import SetupError
from edge.files import make_private_folder
from edge.model import KeyProtection

KEYS_FOLDER = "tpm-keys"
KEY_SUFFIX = ".tpm"
WRAPPING_NAME = "tpm-wrapping"
MAKING_NAME = "tpm-making"
LOCK_NAME = "tpm.lock"
TOOL_LOCK_NAME = "tpm-tool.lock"
COUNTER_SUFFIX = ".tpm-counter"
MAX_KEY_FILE_BYTES = 4096
"""Slot, public and private part of a P-256 key have about 350 bytes."""

_PRIMARY = ("--hierarchy", "o", "--key-algorithm", "ecc256:null:aes128cfb", "--hash-algorithm", "sha256")
_SIGNING = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign"
_MAGIC = b"VKT1"
_WRAPPING_INFO = "verifield TPM key store, wrapping, v1"
_AUTH_INFO = "verifield TPM key store, key authorisation, v1"


@dataclass(frozen=True, slots=True)
class LoadedKey:
    """``context``: the saved context of the key in the TPM; ``public``: TPMT_PUBLIC; ``der``: the same as
    SubjectPublicKeyInfo; ``auth``: what authorises its use."""

    context: bytes = field(repr=False)
    public: bytes
    der: bytes
    auth: str = field(repr=False)


class TpmSigner:
    """A key in the TPM. Each signature is one command; any number of threads may use it."""

    def __init__(self, store: TpmKeyStore, name: str, loaded: LoadedKey) -> None:
        self._store = store
        self._name = name
        self._loaded = loaded
        self._lock = threading.Lock()

    @property
    def protection(self) -> KeyProtection:
        return KeyProtection.TPM

    def public_key_der(self) -> bytes:
        return self._loaded.der

    def sign(self, message: bytes) -> bytes:
        digest = hashlib.sha256(message).digest()
        loaded = self._loaded
        try:
            return _sign(self._store.tools, loaded, digest)
        except TpmRefusedError:
            # A saved context ends with a reset of the TPM (restart, suspend): load the key once more.
            with self._lock:
                if self._loaded is loaded:
                    self._loaded = self._store.load(self._name)
            return _sign(self._store.tools, self._loaded, digest)


class TpmKeyStore:
    """Keys in the TPM that ``tools`` reaches, their encrypted parts in ``folder``."""

    def __init__(self, folder: Path, *, tools: TpmTools) -> None:
        self._folder = folder
        self.tools = tools

    @classmethod
    def open_store(cls, folder: Path, *, tcti: str) -> TpmKeyStore:
        """Use the TPM at ``tcti``.

        Raises:
            SetupError: KEY_STORE_AWAY.
        """
        tools = TpmTools(tcti, lock=folder / TOOL_LOCK_NAME)
        tools.run("tpm2_getcap", "properties-fixed")
        return cls(folder, tools=tools)

    @property
    def protection(self) -> KeyProtection:
        return KeyProtection.TPM

    def create(self, name: str) -> TpmSigner:
        path = self._path(name)
        with self._changing():
            if is_there(path):
                raise key_exists(str(path))
            slot, secret = self._fill_slot()
            public, private = self.tools.run(
                "tpm2_create",
                *("--parent-context", Given(self._primary())),
                *("--key-algorithm", "ecc256:ecdsa-sha256", "--hash-algorithm", "sha256"),
                *("--attributes", _SIGNING, "--key-auth", authorised_by(_key_auth(secret))),
                *("--public", WANTED, "--private", WANTED),
            )
            create_key_file(path, encode_key(KeyBlob(slot, public, private)))
            destroy_key_file(self._folder / MAKING_NAME)
        return self.open(name)

    def open(self, name: str) -> TpmSigner:
        return TpmSigner(self, name, self.load(name))

    def load(self, name: str) -> LoadedKey:
        """Load the key called ``name``; errors as :meth:`open`."""
        path = self._path(name)
        blob = self._read_blob(path)
        secret = read_secret(self.tools, blob.slot)
        if secret is None:
            raise key_unreadable(str(path), "this TPM does not hold it (destroyed, cleared, or another TPM)")
        try:
            public = parse_sized(blob.public)
            der = parse_signing_key(public, restricted=False)
        except TpmFormError as error:
            raise key_unreadable(str(path), str(error)) from None
        try:
            [context] = self.tools.run(
                "tpm2_load",
                *("--parent-context", Given(self._primary())),
                *("--public", Given(blob.public), "--private", Given(blob.private)),
                *("--key-context", WANTED),
            )
        except TpmRefusedError as error:
            why = f"this TPM does not load it (response code {error.rc:#05x})"
            raise key_unreadable(str(path), why) from None
        return LoadedKey(context, public, der, _key_auth(secret))

    def destroy(self, name: str) -> None:
        path = self._path(name)
        if not is_there(path):
            return
        with self._changing():
            try:
                undefine(self.tools, self._read_blob(path).slot)
            except SetupError as error:
                if error.code not in {"KEY_MISSING", "KEY_UNREADABLE"}:
                    raise  # a damaged file names nothing that could be undefined
            destroy_key_file(path)

    def wrap(self, secret: bytes, *, label: str) -> bytes:
        return seal_secret(secret, key=self._make_wrapping_key(), magic=_MAGIC, head=b"", label=label)

    def unwrap(self, wrapped: bytes, *, label: str) -> bytes:
        parse_head(wrapped, magic=_MAGIC, head_bytes=0)
        key = self._wrapping_key()
        if key is None:
            raise wrapped_unreadable()
        return unseal_secret(wrapped, key=key, magic=_MAGIC, head_bytes=0, label=label)

    def destroy_wrapping(self) -> None:
        path = self._folder / WRAPPING_NAME
        if not is_there(path):
            return
        with self._changing():
            undefine(self.tools, read_slot(path))
            destroy_key_file(path)

    def open_counter(self, name: str) -> TpmRollbackCounter:
        """Open the counter called ``name``, made where there is none; errors as its ``open``."""
        with self._changing():
            return TpmRollbackCounter.open(self.tools, self._counter_path(name), name=name)

    def destroy_counter(self, name: str) -> None:
        """Free the counter's place in the TPM; no fault where there is none."""
        with self._changing():
            TpmRollbackCounter.destroy(self.tools, self._counter_path(name), name=name)

    def _counter_path(self, name: str) -> Path:
        check_name(name)
        return self._folder / f"{name}{COUNTER_SUFFIX}"

    def _make_wrapping_key(self) -> bytes:
        key = self._wrapping_key()
        if key is not None:
            return key
        path = self._folder / WRAPPING_NAME
        with self._changing():
            key = self._wrapping_key()
            if key is not None:  # another process was faster
                return key
            destroy_key_file(path)  # its secret is gone from the TPM: it names nothing
            slot, secret = self._fill_slot()
            create_key_file(path, encode_slot(slot))
            destroy_key_file(self._folder / MAKING_NAME)
        return derive_key(secret, info=_WRAPPING_INFO)

    def _wrapping_key(self) -> bytes | None:
        """None where there is none, or it was destroyed."""
        path = self._folder / WRAPPING_NAME
        if not is_there(path):
            return None
        secret = read_secret(self.tools, read_slot(path))
        return None if secret is None else derive_key(secret, info=_WRAPPING_INFO)

    def _fill_slot(self) -> tuple[NvSlot, bytes]:
        """Keep a new secret at a new place, which stays in ``tpm-making`` until the caller has noted it."""
        making = self._folder / MAKING_NAME
        for _ in range(MAX_TRIES):
            slot = draw_slot()
            create_key_file(making, encode_slot(slot))
            secret = define_secret(self.tools, slot)
            if secret is not None:
                return slot, secret
            destroy_key_file(making)
        raise SetupError(
            "KEY_STORE_FULL",
            "The TPM has no free place for a secret.",
            hint="List its places with tpm2_nvreadpublic and undefine those that nothing needs.",
        )

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the store's lock, over all processes; what a cut left behind is gone when the block runs."""
        with taking_turns(self._folder / LOCK_NAME):
            try:
                make_private_folder(self._folder / KEYS_FOLDER)
            except OSError as error:
                raise key_unwritable(self._folder, error) from None
            self._undo_cut()
            yield

    def _undo_cut(self) -> None:
        """Free the place that was being filled when the power went, unless it was noted already."""
        making = self._folder / MAKING_NAME
        if not is_there(making):
            return
        slot = self._slot_of(making)
        noted = [*(self._folder / KEYS_FOLDER).glob(f"*{KEY_SUFFIX}"), self._folder / WRAPPING_NAME]
        if slot is not None and all(self._slot_of(path) != slot for path in noted):
            undefine(self.tools, slot)
        destroy_key_file(making)

    def _slot_of(self, path: Path) -> NvSlot | None:
        """The place in NV that the file names; None where it names none that could be used."""
        try:
            return read_slot(path) if path.suffix != KEY_SUFFIX else self._read_blob(path).slot
        except SetupError:
            return None

    def _read_blob(self, path: Path) -> KeyBlob:
        try:
            return parse_key(read_key_file(path, max_bytes=MAX_KEY_FILE_BYTES))
        except TpmFormError as error:
            raise key_unreadable(str(path), str(error)) from None

    def _primary(self) -> bytes:
        """The context of the storage primary key."""
        [context] = self.tools.run("tpm2_createprimary", *_PRIMARY, "--key-context", WANTED)
        return context

    def _path(self, name: str) -> Path:
        check_name(name)
        return self._folder / KEYS_FOLDER / f"{name}{KEY_SUFFIX}"


def _sign(tools: TpmTools, loaded: LoadedKey, digest: bytes) -> bytes:
    """Return the signature in DER, as tpm2_sign calls plain."""
    [signature] = tools.run(
        "tpm2_sign",
        *("--key-context", Given(loaded.context), "--auth", authorised_by(loaded.auth)),
        *("--hash-algorithm", "sha256", "--scheme", "ecdsa", "--digest", "--format", "plain"),
        *("--signature", WANTED),
        Given(digest),
    )
    return signature


def _key_auth(secret: bytes) -> str:
    return derive_key(secret, info=_AUTH_INFO)[: AUTH_BYTES // 2].hex()
