"""The stores that the settings name."""

from __future__ import annotations

from cloud.config import Config
from cloud.objects.files import ObjectFolder
from cloud.objects.guard import Description, Guard, Limits, Role
from cloud.objects.replicas import MAIN, Replicas
from cloud.objects.s3 import Address, S3Store
from cloud.storage_settings import RemoteStore

_ROLES = {"offsite": Role.OFFSITE, "backup": Role.BACKUP}


def make_replicas(config: Config) -> Replicas:
    """All stores of the settings; nothing is opened yet.

    A single folder is taken as it is, as it always was. Where there are several stores, each has a mark.
    """
    several = bool(config.object_mirrors)
    here = Limits(config.object_timeout_s)
    guards = [
        Guard(
            Description(MAIN, Role.LOCAL, marked=several),
            ObjectFolder(config.objects_folder),
            here,
        )
    ]
    for name, folder in config.object_mirrors.items():
        guards.append(Guard(Description(name, Role.LOCAL), ObjectFolder(folder.absolute()), here))
    for name, remote in config.remote_stores.items():
        guards.append(_remote(name, remote, timeout_s=config.remote_timeout_s))
    return Replicas(guards, copies=config.object_copies)


def _remote(name: str, remote: RemoteStore, *, timeout_s: float) -> Guard:
    described = Description(name, _ROLES[remote.role], remote.kind, remote.provider)
    # One call has its parts: a name that is looked up, a connection, an answer.
    limits = Limits(timeout_s, aside_s=60.0, at_once=8)
    if remote.folder is not None:
        return Guard(described, ObjectFolder(remote.folder.absolute()), limits)
    return Guard(described, S3Store(address_of(remote), timeout_s=timeout_s), limits)


def address_of(remote: RemoteStore) -> Address:
    """Where a bucket is, and how we get in."""
    return Address(
        bucket=str(remote.bucket),
        prefix=remote.prefix,
        endpoint=remote.endpoint,
        region=remote.region,
        credentials=remote.credentials,
        ca=remote.ca,
        path_style=remote.path_style,
    )
