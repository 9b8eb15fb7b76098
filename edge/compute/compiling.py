"""The door to numba, whose types do not tell what its compiler takes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

import numba as _numba
from numba import extending as _extending
from numba.core.errors import RequireLiteralValue

from edge.compute import kept

__all__ = [
    "COMPILED",
    "RequireLiteralValue",
    "compiled",
    "intrinsic",
    "literally",
    "load_without_blas",
    "typeof",
    "types",
]

_door: Any = _numba
_door.config.CACHE_DIR = str(kept.folder())

COMPILED = not _door.config.DISABLE_JIT
"""False under NUMBA_DISABLE_JIT: then onnxruntime runs the networks, and numpy compares with a gallery."""

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function when it is first called, keep the code on disk, and let other threads run beside."""
    made: F = _door.njit(cache=True, nogil=True)(function)
    return made


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function write the code that stands for a call of it; its first argument is not the caller's."""
    made: Any = _extending.intrinsic(function)
    return made  # type: ignore[no-any-return]


def load_without_blas() -> None:
    """Load numba's functions for arrays, which ask scipy, where it is installed, for matrix products.

    Nothing here multiplies matrices in compiled code, and scipy takes a third of the time until a device is
    ready. It stays importable for everybody else.
    """
    if "numba.np.arraymath" in sys.modules or _SCIPY in sys.modules:
        return
    sys.modules[_SCIPY] = None  # type: ignore[assignment]
    try:
        import_module("numba.np.arraymath")
    finally:
        del sys.modules[_SCIPY]


_SCIPY = "scipy.linalg"

literally: Any = _door.literally
typeof: Any = _door.typeof
types: Any = _door.types
