"""How files are brought back to stores of the site, by the command and without a service."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256

from cloud.commands.offline import Report, read_roots
from cloud.config import Config
from cloud.errors import SetupError
from cloud.objects.care import Care
from cloud.objects.files import StoreFault
from cloud.objects.replicas import Replicas
from cloud.objects.stores import make_replicas
from cloud.sources import Sources
from cloud.store.database import Store


def open_care(config: Config, store: Store) -> tuple[Replicas, Care]:
    """The stores of the settings, those elsewhere looked at, without a service."""
    [root, *_] = read_roots(config.keys_folder / "root.pem")
    replicas = make_replicas(config)
    care = Care(store, replicas, Sources.system(), root_sha256=root.fingerprint(SHA256()))
    for guard in replicas.guards:
        if not guard.is_local:
            care.look_at(guard)
    return replicas, care


def restore_one(replicas: Replicas, care: Care, name: str, bars: Report) -> dict[str, Any]:
    """Bring back to one local store what it lacks.

    Raises:
        SetupError: STORE_UNKNOWN, STORE_FAILED.
    """
    guard = replicas.find(name)
    if guard is None or not guard.is_local:
        raise SetupError(
            "STORE_UNKNOWN",
            f"There is no local store {name} in the settings.",
            hint=f"There are: {', '.join(one.name for one in replicas.local)}.",
        )
    try:
        care.look_at(guard, renew=True)
        done = care.restore(guard, bars)
    except StoreFault as error:
        raise SetupError(
            "STORE_FAILED",
            f"The store {name} does not take the files ({error.fault.value}).",
            hint="Check that it is mounted, may be written, and has room.",
        ) from error
    return {"store": name, "looked": done.looked, "restored": done.mended, "failed": done.failed}
