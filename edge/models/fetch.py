"""Where model files come from: a folder, a wheel, or their public origin.

A fetch returns bytes whose digest was checked; bytes that are anything else never leave this module.
"""

from __future__ import annotations

import hashlib
import http.client
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from edge.errors import SetupError
from edge.models.manifest import HttpsSource, ModelEntry, Source, WheelSource

PIP_TIMEOUT_S = 300.0  # a 10 MB wheel over a slow office link
HTTPS_TIMEOUT_S = 30.0  # without a byte; a longer silence is a dead link
_CHUNK = 1 << 16

Progress = Callable[[str, int, int], None]
"""Called with the model's name, bytes so far and bytes in all."""


class SourceFailed(Exception):
    """One source could not give the file; the sentence says why. The next one is tried."""


def is_intact(data: bytes, entry: ModelEntry) -> bool:
    """Whether these are the published bytes, or those of another export that is as good."""
    wanted = {(entry.size, entry.sha256), *((export.size, export.sha256) for export in entry.exports)}
    return (len(data), hashlib.sha256(data).hexdigest()) in wanted


class Fetcher:
    """Fetches published files during one pull; a wheel that carries several is downloaded once."""

    def __init__(self, *, folder: Path | None, progress: Progress) -> None:
        self._folder = folder
        self._progress = progress
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._wheels: dict[tuple[str, str], Path] = {}

    def __enter__(self) -> Fetcher:
        self._temporary = tempfile.TemporaryDirectory(prefix="verifield-models-")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._temporary is not None:
            self._temporary.cleanup()

    def fetch(self, entry: ModelEntry) -> bytes:
        """Return the published file, from the first source that has it intact.

        Raises:
            SetupError: MODEL_FETCH, with what each source answered.
        """
        sources: list[Path | Source] = [*([self._folder] if self._folder else []), *entry.sources]
        problems: list[str] = []
        for source in sources:
            try:
                data = self._read(source, entry)
            except SourceFailed as failure:
                problems.append(f"{_name(source)}: {failure}")
                continue
            if is_intact(data, entry):
                return data
            problems.append(f"{_name(source)}: not the published file (wrong digest)")
        raise SetupError(
            "MODEL_FETCH",
            f"The model {entry.name} could not be fetched ({'; '.join(problems) or 'no source'}).",
            hint="Connect to the network, or name a folder that holds the file in VERIFIELD_MODELS.",
        )

    def _read(self, source: Path | Source, entry: ModelEntry) -> bytes:
        match source:
            case WheelSource():
                self._progress(entry.name, 0, entry.size)
                return read_member(self._wheel(source), source.member, limit=entry.size)
            case HttpsSource(url):
                return download_https(
                    url, limit=entry.size, progress=lambda done: self._progress(entry.name, done, entry.size)
                )
            case _:
                return read_from_folder(source, entry)

    def _wheel(self, source: WheelSource) -> Path:
        if self._temporary is None:
            raise RuntimeError("use the fetcher in a with statement")
        key = (source.package, source.version)
        if key not in self._wheels:
            self._wheels[key] = download_wheel(source, Path(self._temporary.name))
        return self._wheels[key]


def _name(source: Path | Source) -> str:
    match source:
        case WheelSource(package, version):
            return f"wheel {package} {version}"
        case HttpsSource(url):
            return url
        case _:
            return f"folder {source}"


def read_from_folder(folder: Path, entry: ModelEntry) -> bytes:
    """Read the file by its published name, or by any name with its size and digest.

    Raises:
        SourceFailed: the folder has no such file.
    """
    return _found_in(folder, entry)[1]


def path_in_folder(folder: Path, entry: ModelEntry) -> Path | None:
    """Where :func:`read_from_folder` would find the file; None where it would not."""
    try:
        return _found_in(folder, entry)[0]
    except SourceFailed:
        return None


def _found_in(folder: Path, entry: ModelEntry) -> tuple[Path, bytes]:
    sizes = {entry.size, *(export.size for export in entry.exports)}
    try:
        for path in (folder / entry.file, *sorted(folder.glob("*.onnx"))):
            if path.is_file() and path.stat().st_size in sizes:
                data = path.read_bytes()
                if is_intact(data, entry):
                    return path, data
    except OSError as error:
        raise SourceFailed(error.strerror or "not readable") from error
    raise SourceFailed("no intact copy there")


def download_wheel(source: WheelSource, destination: Path) -> Path:
    """Download one wheel with pip, without its dependencies and without running any of its code.

    Raises:
        SourceFailed: pip is missing, failed, or took longer than ``PIP_TIMEOUT_S``.
    """
    requirement = f"{source.package}=={source.version}"
    target = destination / f"{source.package}-{source.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
    command += ["--only-binary=:all:", "--disable-pip-version-check", requirement, "-d", str(target)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=PIP_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SourceFailed(f"pip: {type(error).__name__}") from error
    wheels = sorted(target.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise SourceFailed(f"pip download failed: {''.join(last) or 'no wheel'}")
    return wheels[0]


def read_member(wheel: Path, member: str, *, limit: int) -> bytes:
    """Read one file out of a wheel, at most ``limit`` bytes.

    Raises:
        SourceFailed: not an archive, no such member, or it is larger.
    """
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as stream:
            return _read_limited(stream, limit, lambda _: None)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise SourceFailed(f"the wheel does not hold {member}") from error


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirections to https addresses only."""

    def redirect_request(  # noqa: PLR0917 - the library's signature
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if not newurl.startswith("https://"):
            raise SourceFailed("redirected away from https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download_https(url: str, *, limit: int, progress: Callable[[int], None]) -> bytes:
    """Download at most ``limit`` bytes.

    Raises:
        SourceFailed: not https, unreachable, an HTTP error, silent too long, or larger.
    """
    if not url.startswith("https://"):
        raise SourceFailed("not an https address")
    try:
        with urllib.request.build_opener(_HttpsOnly()).open(url, timeout=HTTPS_TIMEOUT_S) as answer:
            return _read_limited(answer, limit, progress)
    except urllib.error.HTTPError as error:
        error.close()
        raise SourceFailed(f"HTTP {error.code}") from error
    except (OSError, http.client.HTTPException) as error:
        raise SourceFailed(f"not reachable ({type(error).__name__})") from error


def _read_limited(stream: IO[bytes], limit: int, progress: Callable[[int], None]) -> bytes:
    data = bytearray()
    while chunk := stream.read(_CHUNK):
        data += chunk
        if len(data) > limit:
            raise SourceFailed(f"larger than the {limit} bytes it should have")
        progress(len(data))
    return bytes(data)
