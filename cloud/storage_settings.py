"""Settings of where the files of persons lie: stores of the house, and those elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cloud.settings import Told, is_this_machine

_NAME = r"^[a-z][a-z0-9-]{0,31}$"
_ENDPOINT = re.compile(r"(https?)://(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?/?")

MAIN_STORE = "main"

StoreName = Annotated[str, Field(pattern=_NAME)]


class RemoteStore(BaseModel):
    """A store elsewhere: a folder of another site, or a bucket behind the S3 protocol."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Literal["offsite", "backup"]
    provider: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9 ._-]+$")]
    folder: Path | None = None
    endpoint: Annotated[str | None, Field(max_length=256)] = None
    bucket: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,62}$")] = None
    prefix: Annotated[str, Field(max_length=256, pattern=r"^[A-Za-z0-9._/-]*$")] = ""
    region: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9-]+$")] = "us-east-1"
    credentials: Path | None = None
    ca: Path | None = None
    path_style: bool = True

    @model_validator(mode="after")
    def _check(self) -> RemoteStore:
        if (self.folder is None) == (self.bucket is None):
            raise ValueError("a store has either a folder or a bucket")
        if self.endpoint is not None:
            found = _ENDPOINT.fullmatch(self.endpoint)
            if not found:
                raise ValueError("endpoint is https://HOST or https://HOST:PORT")
            if found[1] == "http" and not is_this_machine(found[2].strip("[]")):
                raise ValueError("endpoint is https, except on this machine")
        return self

    @property
    def kind(self) -> str:
        return "folder" if self.bucket is None else "s3"


class StorageSettings(BaseModel):
    """The stores beside the folder ``objects``, which is the store ``main``."""

    object_mirrors: Annotated[
        dict[StoreName, Path],
        Field(max_length=7),
        Told(
            "Further folders of this site that serve the files of persons, by name: "
            '`{ second = "/mnt/second/objects" }`.',
            "Each has every file, serves reads and writes, and is best a disk and a machine of its own.",
        ),
    ] = {}
    object_copies: Annotated[
        int,
        Field(ge=0, le=8),
        Told(
            "On how many local stores a file must be durable before it counts as kept; 0: those that are up.",
            "2 refuses files while one of two stores is away; 0 takes them, and brings the copy later.",
        ),
    ] = 0
    object_timeout_s: Annotated[
        float,
        Field(gt=0, le=300),
        Told(
            "How long a local store may take for one file.",
            "A disk takes milliseconds, a file server that fails over some seconds.",
            unit="s",
        ),
    ] = 20.0
    remote_stores: Annotated[
        dict[StoreName, RemoteStore],
        Field(max_length=8),
        Told(
            "Stores elsewhere, by name; each has `role` (`offsite` or `backup`), `provider`, and `folder` or "
            "`bucket` with `endpoint`, `prefix`, `region`, `credentials`, `ca`, `path_style`. "
            "See docs/storage.md.",
            "They follow the local ones; two backups of different providers survive the end of either.",
        ),
    ] = {}
    remote_timeout_s: Annotated[
        float,
        Field(gt=0, le=600),
        Told(
            "How long a store elsewhere may take for one file.",
            "16 MiB over a line of 4 Mbit/s take half a minute.",
            unit="s",
        ),
    ] = 60.0
    scrub_days: Annotated[
        float,
        Field(gt=0, le=3650),
        Told(
            "How often every copy of a file is read and compared with its digest.",
            "Disks lose bits silently; a copy that is found damaged is mended from another one.",
            unit="d",
        ),
    ] = 30.0
    backup_keep_days: Annotated[
        float,
        Field(gt=0, le=36500),
        Told(
            "How long stores with the role `backup` keep files that were dropped.",
            "As long as the oldest backup of the database that somebody may restore.",
            unit="d",
        ),
    ] = 90.0

    @model_validator(mode="after")
    def _check_stores(self) -> StorageSettings:
        if MAIN_STORE in self.object_mirrors or MAIN_STORE in self.remote_stores:
            raise ValueError("main is the name of the folder objects")
        if self.object_mirrors.keys() & self.remote_stores.keys():
            raise ValueError("two stores have the same name")
        if self.object_copies > 1 + len(self.object_mirrors):
            raise ValueError("object_copies is more than there are local stores")
        return self
