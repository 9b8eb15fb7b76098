"""The door to numba, whose types do not tell what its compiler takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba as _numba
from numba import extending as _extending
from numba.core.errors import RequireLiteralValue

__all__ = ["COMPILED", "RequireLiteralValue", "compiled", "intrinsic", "literally", "types"]

_door: Any = _numba

COMPILED = not _door.config.DISABLE_JIT
"""False under NUMBA_DISABLE_JIT: then everything runs as plain Python and numpy."""

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function when it is first called, keep the code on disk, and let other threads run beside."""
    made: F = _door.njit(cache=True, nogil=True)(function)
    return made


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function write the code that stands for a call of it; its first argument is not the caller's."""
    made: Any = _extending.intrinsic(function)
    return made  # type: ignore[no-any-return]


literally: Any = _door.literally
types: Any = _door.types
