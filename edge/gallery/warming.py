"""Compiles what searches and additions run, before somebody waits for it: once, when the device is set up.

The compiled code is kept (edge.compute.kept); a later process reads it within a tenth of a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from edge.gallery.codes import SIZE, Floats, encode_rows, first_blocks, put_rows, untouched_codes
from edge.gallery.kernels import CHUNK
from edge.gallery.search import machine_path, search, search_above
from edge.gallery.vector_ir import ROWS, queries_together

Tell = Callable[[str], None]


def warm(tell: Tell = lambda _: None) -> float:
    """Run every compiled part once, on made-up templates; return how many seconds that took."""
    started = time.perf_counter()
    templates = np.ascontiguousarray(np.eye(SIZE, dtype=np.float32)[: 2 * ROWS])
    tell("codes")
    rows = encode_rows(templates)
    codes = untouched_codes(CHUNK)
    codes.scales[...] = np.nan
    put_rows(codes, 0, rows)

    def fetch(places: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Floats:
        return np.ascontiguousarray(templates[places])

    for count in (1, queries_together(machine_path())):
        tell(f"{machine_path().name.lower()}, {count} at once")
        search(first_blocks(codes, 2), fetch, templates[:count], k=1)
        search_above(first_blocks(codes, 2), fetch, templates[:count], threshold=0.5)
    return time.perf_counter() - started
