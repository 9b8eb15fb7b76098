"""Secrets and counters in the TPM's own memory (NV indexes): what is undefined there is gone for ever.

Each index is readable only with a value that lies in a file of the device, so that neither the TPM
without the disk nor the disk without the TPM gives anything away.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from pathlib import Path

from edge.attest.keys import create_key_file, destroy_key_file, is_there, read_key_file
from edge.attest.keystore_rules import key_unreadable
from edge.attest.tpm_forms import AUTH_BYTES, NvSlot, TpmFormError, encode_slot, parse_slot
from edge.attest.tpm_tools import (
    RC_BAD_AUTH,
    RC_HANDLE,
    RC_NV_DEFINED,
    RC_NV_UNINITIALIZED,
    WANTED,
    Given,
    TpmRefusedError,
    TpmTools,
    authorised_by,
)

SECRET_BYTES = 32
COUNTER_BYTES = 8
MAX_SLOT_BYTES = 64
FIRST_INDEX = 0x0185_0000
"""Within 0x01800000..0x01BFFFFF, which the TCG leaves to the owner (Registry of Reserved TPM 2.0 Handles)."""
INDEX_COUNT = 0x1_0000
MAX_TRIES = 8
"""A place drawn at random is taken by somebody else once in thousands of devices."""

_ATTRIBUTES = "authread|authwrite|no_da"
_COUNTER = "nt=counter"
_COUNTER_SHOWN = "|nt=0x1|"  # this and the next two as tpm2_nvreadpublic says them
_ATTRIBUTES_SHOWN = re.compile(r"^  attributes:\n    friendly: (\S+)$", re.MULTILINE)
_SIZE_SHOWN = re.compile(r"^  size: ([0-9]+)$", re.MULTILINE)


def draw_slot() -> NvSlot:
    """Return a place at random, with a new authorisation."""
    return NvSlot(FIRST_INDEX + secrets.randbelow(INDEX_COUNT), secrets.token_hex(AUTH_BYTES // 2))


def define_secret(tools: TpmTools, slot: NvSlot) -> bytes | None:
    """Keep 32 new random bytes at ``slot`` and return them; None where the place is taken."""
    if not _define(tools, slot, "--size", str(SECRET_BYTES), "--attributes", _ATTRIBUTES):
        return None
    secret = secrets.token_bytes(SECRET_BYTES)
    tools.run("tpm2_nvwrite", *_use(slot), "--input", Given(secret))
    return secret


def read_secret(tools: TpmTools, slot: NvSlot) -> bytes | None:
    """Return the secret at ``slot``; None where it was destroyed, or never written."""
    return _read(tools, slot, SECRET_BYTES)


def undefine(tools: TpmTools, slot: NvSlot) -> None:
    """Destroy what is at ``slot``; no fault where there is nothing, or something of somebody else.

    The authorisation is tried on places of our form alone: the TPM counts wrong ones for many others, and
    locks itself.
    """
    try:
        if not _has_our_form(tools.ask("tpm2_nvreadpublic", hex(slot.index))):
            return
        _read(tools, slot, SECRET_BYTES)  # refused unless the place is ours
        tools.run("tpm2_nvundefine", "--hierarchy", "o", hex(slot.index))
    except TpmRefusedError as error:
        if error.rc not in {RC_HANDLE, RC_BAD_AUTH}:
            raise


class TpmRollbackCounter:
    """A counter in NV (TPM2_NV_Increment): it only grows.

    Its place follows from its name, so that nobody puts another counter in its stead: where the file with
    its authorisation is lost, the counter is undefined, and the one that takes its place begins above all
    that the TPM ever undefined (Library, Part 3, TPM2_NV_UndefineSpace and TPM2_NV_Increment).
    """

    def __init__(self, tools: TpmTools, slot: NvSlot) -> None:
        self._tools = tools
        self._slot = slot

    @classmethod
    def open(cls, tools: TpmTools, path: Path, *, name: str) -> TpmRollbackCounter:
        """Open the counter called ``name``, whose authorisation is in the file at ``path``; make both where
        they are not there. The caller holds back other processes.

        Raises:
            SetupError: KEY_STORE_AWAY, KEY_UNREADABLE (the file is damaged) or KEY_PERMISSIONS.
        """
        if not is_there(path):
            slot = NvSlot(counter_index(name), draw_slot().auth)
            _undefine_counter(tools, slot)
            create_key_file(path, encode_slot(slot))
        slot = read_slot(path)
        _define(tools, slot, "--attributes", f"{_COUNTER}|{_ATTRIBUTES}")
        counter = cls(tools, slot)
        if _read(tools, slot, COUNTER_BYTES) is None:
            counter.increment()  # a counter has no value before its first step
        return counter

    @classmethod
    def destroy(cls, tools: TpmTools, path: Path, *, name: str) -> None:
        """Free the place of the counter called ``name``; no fault where there is none.

        Nothing is told by an old copy from then on: only for a device that is wiped. A cut in between
        leaves the file, and it can be run again. Errors as :meth:`open`.
        """
        if is_there(path):
            _undefine_counter(tools, NvSlot(counter_index(name), draw_slot().auth))
            destroy_key_file(path)

    def read(self) -> int:
        value = _read(self._tools, self._slot, COUNTER_BYTES)
        if value is None:
            raise key_unreadable("counter of the TPM", "the TPM holds it no more, so it was cleared")
        return int.from_bytes(value, "big")

    def increment(self) -> int:
        self._tools.run("tpm2_nvincrement", *_use(self._slot))
        return self.read()


def counter_index(name: str) -> int:
    """Where the counter called ``name`` lies."""
    digest = hashlib.sha256(name.encode()).digest()
    return FIRST_INDEX + INDEX_COUNT + int.from_bytes(digest[:2], "big")


def read_slot(path: Path) -> NvSlot:
    """Raises:
    SetupError: KEY_MISSING, KEY_UNREADABLE or KEY_PERMISSIONS.
    """
    try:
        return parse_slot(read_key_file(path, max_bytes=MAX_SLOT_BYTES))
    except TpmFormError as error:
        raise key_unreadable(str(path), str(error)) from None


def _define(tools: TpmTools, slot: NvSlot, *arguments: str) -> bool:
    """False where the index is defined already."""
    try:
        tools.run(
            "tpm2_nvdefine",
            hex(slot.index),
            "--hierarchy",
            "o",
            "--index-auth",
            authorised_by(slot.auth),
            *arguments,
        )
    except TpmRefusedError as error:
        if error.rc != RC_NV_DEFINED:
            raise
        return False
    return True


def _has_our_form(shown: str) -> bool:
    """Whether a place is one of ours by what tpm2_nvreadpublic says; in doubt it is."""
    attributes, size = _ATTRIBUTES_SHOWN.search(shown), _SIZE_SHOWN.search(shown)
    if attributes is None or size is None:
        return True
    words = set(attributes[1].split("|")) - {"written"}
    return words == set(_ATTRIBUTES.split("|")) and int(size[1]) == SECRET_BYTES


def _undefine_counter(tools: TpmTools, slot: NvSlot) -> None:
    """Make room at the place of a counter, unless what is there is none."""
    try:
        attributes = tools.ask("tpm2_nvreadpublic", hex(slot.index))
    except TpmRefusedError as error:
        if error.rc != RC_HANDLE:
            raise
        return
    if _COUNTER_SHOWN in attributes:
        tools.run("tpm2_nvundefine", "--hierarchy", "o", hex(slot.index))


def _read(tools: TpmTools, slot: NvSlot, size: int) -> bytes | None:
    try:
        [value] = tools.run("tpm2_nvread", *_use(slot), "--size", str(size), "--output", WANTED)
    except TpmRefusedError as error:
        if error.rc in {RC_HANDLE, RC_NV_UNINITIALIZED}:
            return None
        raise
    return value if len(value) == size else None


def _use(slot: NvSlot) -> tuple[str | Given, ...]:
    """The arguments by which a tool uses the index under its own authorisation."""
    return (hex(slot.index), "--hierarchy", hex(slot.index), "--auth", authorised_by(slot.auth))
