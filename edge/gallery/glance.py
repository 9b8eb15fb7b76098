"""A look at a gallery from outside: whoever has it open is not disturbed, and no template is read."""

from __future__ import annotations

import os
from pathlib import Path

from edge.errors import StorageError
from edge.gallery import faults
from edge.gallery.layout import Header
from edge.gallery.reading import read_headers
from edge.sqlite import storage_errors


def glance(path: Path, key: bytes) -> Header:
    """Return the header of the gallery at ``path``, which only the right key opens.

    Raises:
        SetupError: GALLERY_MISSING.
        StorageError: GALLERY_KEY_WRONG, GALLERY_DAMAGED, GALLERY_FORMAT, GALLERY_UNREADABLE and the like.
    """
    with storage_errors(faults.STORE):
        while True:
            if not path.exists():
                raise faults.missing(path)
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                return _look(descriptor, path, key)
            except StorageError:
                # A compaction makes the file that it replaces unreadable: who was late looks at the new one.
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    raise
            finally:
                os.close(descriptor)


def _look(descriptor: int, path: Path, key: bytes) -> Header:
    with faults.faults_of(path):
        header, _ = read_headers(descriptor, key)
    if os.fstat(descriptor).st_size < header.journal_at:
        raise faults.damaged("the file ends too early")
    return header
