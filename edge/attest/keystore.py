"""Opens the key store that the configuration names; see docs/adr/0011-one-key-store-port.md.

There is no way from one store to another: hardware that is configured but away is an error, never a
reason to use software, because every attestation states what protects its key.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol, assert_never

from edge.attest.keystore_software import SoftwareKeyStore
from edge.attest.keystore_tpm import TpmKeyStore
from edge.errors import SetupError
from edge.ports import KeyStore


class KeyStoreConfig(Protocol):
    """The part of ``edge.config.EdgeConfig`` that says where the keys are."""

    @property
    def key_store(self) -> Literal["software", "pkcs11", "tpm"]: ...

    @property
    def pkcs11_module(self) -> Path | None: ...

    @property
    def pkcs11_token(self) -> str | None: ...

    @property
    def pkcs11_pin_file(self) -> Path | None: ...

    @property
    def tpm_tcti(self) -> str: ...


def open_key_store(config: KeyStoreConfig, folder: Path) -> KeyStore:
    """Open the configured store; what it keeps on disk lies in ``folder``.

    Raises:
        SetupError: KEY_STORE_AWAY (the hardware is not there), KEY_PIN_REFUSED, or CONFIG_INVALID.
    """
    match config.key_store:
        case "software":
            return SoftwareKeyStore.open_store(folder)
        case "pkcs11":
            return _open_pkcs11(config, folder)
        case "tpm":
            return TpmKeyStore.open_store(folder, tcti=config.tpm_tcti)
        case unknown:
            assert_never(unknown)


def _open_pkcs11(config: KeyStoreConfig, folder: Path) -> KeyStore:
    # Its library takes as long to load as all other stores together, and few devices have such a token.
    from edge.attest.keystore_pkcs11 import Pkcs11KeyStore  # noqa: PLC0415

    if config.pkcs11_module is None or config.pkcs11_token is None:
        raise SetupError(
            "CONFIG_INVALID",
            "The configuration names no PKCS#11 module or token.",
            hint="Set pkcs11_module (the maker's library) and pkcs11_token (the token's label).",
        )
    return Pkcs11KeyStore.open_store(
        folder,
        module=config.pkcs11_module,
        token=config.pkcs11_token,
        pin_file=config.pkcs11_pin_file,
    )
