"""Where compiled code is kept: a folder for each state of the sources that it was made of.

Numba looks whether the file of a compiled function has changed, not whether what writes its instructions has:
after an update it would run code of the release before. So another state has another folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

PRODUCT = Path(__file__).parents[1]
PREFIX = "kernels-"
_TAKES_PART = (b"edge.compute", b"llvmlite")


def folder(product: Path = PRODUCT) -> Path:
    """The one of the present state; it need not be there yet.

    In the folder that the variable NUMBA_CACHE_DIR names, else beside the modules, else, where these cannot
    be written, in the user's cache folder.
    """
    name = PREFIX + state_of(product)
    if named := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(named) / name
    beside = product / "__pycache__"
    if os.access(beside if beside.exists() else product, os.W_OK):
        return beside / name
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "verifield" / name


def state_of(product: Path) -> str:
    """Digest of all modules that have a part in compiled code: those beside one that writes instructions, as
    far as they name this package or LLVM."""
    writers = {path.parent for path in product.glob("*/*_ir.py")}
    digest = hashlib.sha256()
    for path in sorted(path for part in (product / "compute", *writers) for path in part.glob("*.py")):
        text = path.read_bytes()
        if any(name in text for name in _TAKES_PART):
            digest.update(f"{path.relative_to(product)} {len(text)}\n".encode() + text)
    return digest.hexdigest()[:16]


def forget_others(present: Path) -> int:
    """Remove the folders of other states beside the present one; how many. Whoever runs that code has it in
    memory."""
    others = [path for path in present.parent.glob(PREFIX + "*") if path != present and path.is_dir()]
    for path in others:
        shutil.rmtree(path, ignore_errors=True)  # not ours to remove: it is in nobody's way
    return len(others)
