"""A device measures itself: looking at a frame, measuring a face, searching the gallery, signing, storing.

What it says is for one device beside another, or beside itself a year ago; how the product compares with its
peers is measured under benchmarks/. Nothing is recorded, and nothing of a person is kept.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec

from edge.app import open_identity
from edge.attest.keys import SoftwareSigner
from edge.capture.choose import choose_portrait
from edge.config import EdgeConfig
from edge.errors import EdgeError, InputError
from edge.files import make_private_folder
from edge.gallery.layout import CHUNK_ROWS
from edge.gallery.records import Kind, Model, Rowset
from edge.gallery.store import Gallery
from edge.match.score import match
from edge.model import Image
from edge.models.store import ModelStore
from edge.policy import Policy
from edge.ports import Signer
from edge.vision import Vision

TEMPLATES = 10_000
"""People in the gallery that is made for the search; made up, and thrown away."""

ROUNDS = 20
SIZE = 128
RECORD_BYTES = 4096
"""About what a signed record takes."""

FRAME_SHAPE, FACE_SHAPE = (480, 640, 3), (112, 112, 3)
PREFIX = b"verifield-edge bench: this signature is for nobody\n"
"""What is signed begins so: no record, receipt or proof does."""


@dataclass(frozen=True, slots=True)
class Measure:
    """Milliseconds of ``count`` times."""

    name: str
    count: int
    median_ms: float
    worst_ms: float
    note: str = ""


def measure_device(config: EdgeConfig, *, picture: Image | None = None) -> Iterator[Measure]:
    """Measure one thing after the other; what takes long is the first call, which is not counted.

    ``picture``: uint8 [height, width, 3], BGR, of one person; without one the steps are measured apart.

    Raises:
        SetupError: MODEL_MISSING and the like.
        InputError: NO_FACE.
        StorageError: the disk refuses.
    """
    vision = Vision.open(ModelStore.open(config.models_dir), threads=config.threads)
    random = np.random.default_rng(1)
    frame = random.integers(0, 256, FRAME_SHAPE, dtype=np.uint8)
    face = random.integers(0, 256, FACE_SHAPE, dtype=np.uint8)
    yield _measured("look for faces in a frame", lambda: vision.watch(frame), note="640x480")
    yield _measured("measure one face", lambda: vision.embedder.embed(face), note="112x112")
    if picture is not None:
        yield _measured(
            "decide: find, measure, compare", _decision(vision, picture), note="the given picture"
        )
    make_private_folder(config.data_dir)
    with tempfile.TemporaryDirectory(dir=config.data_dir, prefix=".bench-") as folder:
        yield _search(Path(folder), vision, threads=config.threads)
        yield _stored(Path(folder))
    signer, note = _signer(config)
    yield _measured("sign", lambda: signer.sign(PREFIX + secrets.token_bytes(32)), note=note)


def _decision(vision: Vision, picture: Image) -> Callable[[], object]:
    first = choose_portrait(vision.detect(picture), picture.shape[:2])
    if first is None:
        raise InputError(
            "NO_FACE",
            "No face was found in the picture.",
            hint="Use a picture in which the face is large, upright and well lit.",
        )
    reference, threshold = vision.embed(picture, first), Policy().match.live_live

    def decide() -> object:
        found = choose_portrait(vision.watch(picture), picture.shape[:2]) or first
        return match(vision.embed(picture, found), reference, threshold=threshold, domain="bench")

    return decide


def _search(folder: Path, vision: Vision, *, threads: int) -> Measure:
    random = np.random.default_rng(2)
    embedder = vision.embedder.embed(random.integers(0, 256, FACE_SHAPE, dtype=np.uint8))
    model = Model(embedder.model_name, embedder.model_sha256)
    path, key = folder / "made-up.gallery", secrets.token_bytes(32)
    with Gallery.create(path, key, model=model, threads=threads) as made:
        for start in range(0, TEMPLATES, CHUNK_ROWS):
            made.add_rows(_people(min(CHUNK_ROWS, TEMPLATES - start), random))
        return _measured(
            "search the gallery", lambda: made.search([embedder], k=10), note=f"{TEMPLATES:,} made-up people"
        )


def _people(count: int, random: np.random.Generator) -> Rowset:
    vectors = random.standard_normal((count, SIZE)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = np.sort(np.frombuffer(random.bytes(16 * count), "S16"))
    return Rowset(ids, vectors, np.zeros(count, np.int32), np.full(count, Kind.PERSON, np.uint8))


def _stored(folder: Path) -> Measure:
    """Until a record's bytes are durable: what each session waits for at its end."""
    content = secrets.token_bytes(RECORD_BYTES)
    descriptor = os.open(folder / "record", os.O_RDWR | os.O_CREAT, 0o600)

    def store() -> None:
        os.pwrite(descriptor, content, 0)
        os.fsync(descriptor)

    try:
        return _measured("make a record durable", store, note=f"{RECORD_BYTES} bytes, fsync")
    finally:
        os.close(descriptor)


def _signer(config: EdgeConfig) -> tuple[Signer, str]:
    """The device's own key where it is enrolled; else one in memory, and the note says so."""
    try:
        identity = open_identity(config)
        return identity.open_signer(), f"the device's key: {identity.key_protection.value}"
    except EdgeError as error:
        return SoftwareSigner(ec.generate_private_key(ec.SECP256R1())), f"a key in memory ({error.code})"


def _measured(name: str, call: Callable[[], object], *, note: str = "") -> Measure:
    call()
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return Measure(name, ROUNDS, float(np.median(times)), max(times), note)
