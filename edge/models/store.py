"""The cache of model files: published files beside their prepared form, both known by digest.

    CACHE/published/FILE                    as its authors publish it
    CACHE/prepared/NAME-DIGEST.onnx         rewritten for onnxruntime; the digest is that of the manifest

A published file stays, so that a release which prepares models differently needs no network. Nothing is
used, and nothing stays under its final name, whose digest is not the manifest's.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from edge.errors import SetupError
from edge.files import locked, write_private
from edge.models.fetch import Fetcher, Progress, is_intact, path_in_folder
from edge.models.manifest import ModelEntry, Role, load_manifest
from edge.models.prepare import Preparation, UnsupportedModel, prepare

FOLDER_VARIABLE = "VERIFIELD_MODELS"
PULL_HINT = "Run: verifield-edge models pull"


class ModelState(StrEnum):
    READY = "ready"
    MISSING = "missing"
    DAMAGED = "damaged"  # there, with another digest than the manifest's


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """``path``: where the usable file is or would be."""

    entry: ModelEntry
    state: ModelState
    path: Path


def default_cache_dir(environ: Mapping[str, str]) -> Path:
    """``$XDG_CACHE_HOME/verifield/models`` or ``~/.cache/verifield/models``."""
    base = environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "verifield" / "models"


class ModelStore:
    """Opened with ``ModelStore.open``."""

    def __init__(self, cache_dir: Path, folder: Path | None, entries: tuple[ModelEntry, ...]) -> None:
        self._cache_dir = cache_dir
        self._folder = folder
        self._entries = {entry.name: entry for entry in entries}

    @classmethod
    def open(cls, cache_dir: Path | None = None, *, folder: Path | None = None) -> ModelStore:
        """Open the cache at ``cache_dir`` (None: the user's), without touching the network.

        ``folder`` is asked first when models are pulled, and experts of liveness that lie in it judge without
        being pulled; None means the one named by VERIFIELD_MODELS.
        """
        named = os.environ.get(FOLDER_VARIABLE)
        if folder is None and named:
            folder = Path(named)
        return cls(cache_dir or default_cache_dir(os.environ), folder, load_manifest())

    def entry(self, name: str) -> ModelEntry:
        """The manifest's entry.

        Raises:
            SetupError: MODEL_UNKNOWN.
        """
        if name not in self._entries:
            known = ", ".join(self._entries)
            raise SetupError("MODEL_UNKNOWN", f"There is no model {name!r}.", hint=f"Known models: {known}.")
        return self._entries[name]

    def list(self) -> tuple[ModelStatus, ...]:
        """All models of the manifest with their state; of the cache no file is read.

        Raises:
            SetupError: CACHE_UNREADABLE.
        """
        with _reading():
            return tuple(self._status(entry, damaged=False) for entry in self._entries.values())

    def verify(self) -> tuple[ModelStatus, ...]:
        """As ``list``, with every file that is there read and its digest checked."""
        with _reading():
            return tuple(
                self._status(entry, damaged=not _has_digest(self._path(entry), entry.usable_sha256))
                for entry in self._entries.values()
            )

    def path(self, name: str) -> Path:
        """Where the usable file lies; its digest was checked now.

        Raises:
            SetupError: MODEL_UNKNOWN, MODEL_MISSING, CACHE_UNREADABLE, or MODEL_DIGEST where the file
                is damaged.
        """
        entry = self.entry(name)
        path = self._path(entry)
        with _reading():
            if not path.is_file():
                raise SetupError("MODEL_MISSING", f"The model {name} is not on this device.", hint=PULL_HINT)
            if not _has_digest(path, entry.usable_sha256):
                raise SetupError("MODEL_DIGEST", f"The file of the model {name} is damaged.", hint=PULL_HINT)
        return path

    def pull(self, names: Iterable[str] | None = None, progress: Progress | None = None) -> None:
        """Fetch and prepare what is missing or damaged.

        ``names``: None means the default models, and those further experts of liveness that lie in the
        folder: whoever put them there wants them to judge. Safe beside another process that pulls into the
        same cache.

        Raises:
            SetupError: MODEL_UNKNOWN, MODEL_FETCH, MODEL_DIGEST, or CACHE_UNWRITABLE.
        """
        if names is None:
            wanted = [entry for entry in self._entries.values() if entry.default or self._lying_ready(entry)]
        else:
            wanted = [self.entry(name) for name in names]
        tell = progress or (lambda _name, _done, _total: None)
        try:
            self._cache_dir.mkdir(parents=True, exist_ok=True)
            with locked(self._cache_dir / ".lock"), Fetcher(folder=self._folder, progress=tell) as fetcher:
                for entry in wanted:
                    if not _has_digest(self._kept(entry), entry.usable_sha256):
                        self._prepare(entry, self._published(entry, fetcher))
                    tell(entry.name, entry.size, entry.size)
        except OSError as error:
            raise SetupError(
                "CACHE_UNWRITABLE",
                f"The model cache cannot be written ({error.strerror or type(error).__name__}).",
                hint="Check the free space and the owner of the folder, or set models_dir.",
            ) from error

    def _lying_ready(self, entry: ModelEntry) -> Path | None:
        """An expert of liveness in the folder."""
        if self._folder is None or entry.role is not Role.LIVENESS:
            return None
        return path_in_folder(self._folder, entry)

    def _path(self, entry: ModelEntry) -> Path:
        """Where it is kept; an expert of liveness that was not pulled is used where it lies in the folder."""
        kept = self._kept(entry)
        if entry.preparation is not Preparation.NONE or kept.is_file():
            return kept
        return self._lying_ready(entry) or kept

    def _kept(self, entry: ModelEntry) -> Path:
        if entry.preparation is Preparation.NONE:
            return self._cache_dir / "published" / entry.file
        return self._cache_dir / "prepared" / f"{entry.name}-{entry.prepared_sha256[:16]}.onnx"

    def _status(self, entry: ModelEntry, *, damaged: bool) -> ModelStatus:
        path = self._path(entry)
        if not path.is_file():
            return ModelStatus(entry, ModelState.MISSING, path)
        return ModelStatus(entry, ModelState.DAMAGED if damaged else ModelState.READY, path)

    def _published(self, entry: ModelEntry, fetcher: Fetcher) -> bytes:
        """The published bytes: kept from before, or fetched and kept now."""
        path = self._cache_dir / "published" / entry.file
        if path.is_file():
            data = path.read_bytes()
            if is_intact(data, entry):
                return data
        data = fetcher.fetch(entry)
        _keep(path, data)
        return data

    def _prepare(self, entry: ModelEntry, published: bytes) -> None:
        if entry.preparation is Preparation.NONE:
            return
        try:
            prepared = prepare(published, entry.preparation)
        except UnsupportedModel as error:
            raise SetupError(
                "MODEL_DIGEST", f"The model {entry.name} cannot be prepared ({error})."
            ) from error
        if hashlib.sha256(prepared).hexdigest() != entry.prepared_sha256:
            raise SetupError(
                "MODEL_DIGEST",
                f"Preparing the model {entry.name} gave another result than the manifest says.",
                hint="The installed onnx package differs from the one that this release was made with.",
            )
        _keep(self._kept(entry), prepared)


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SetupError(
            "CACHE_UNREADABLE",
            f"The model cache cannot be read ({error.strerror or type(error).__name__}).",
            hint="Run as the user that it belongs to, or set models_dir to a folder of your own.",
        ) from None


def _keep(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, data)


def _has_digest(path: Path, wanted: frozenset[str]) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() in wanted
