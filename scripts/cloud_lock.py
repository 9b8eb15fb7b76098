"""Writes locks/cloud.lock: of locks/run.lock what the cloud service needs, and the tool that builds it.

The container holds nothing else. With --check only compares. Usage: python -m scripts.cloud_lock [--check]
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
WHOLE, PART = ROOT / "locks/run.lock", ROOT / "locks/cloud.lock"
EXTRAS = ("cloud", "build")
ENTRY = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==[^\n]*\n(?:    [^\n]*\n)*", re.MULTILINE)


def entries(lock: str) -> dict[str, str]:
    """Pins with their digests, by name; comments on who wants them left out."""
    return {
        canonicalize_name(found["name"]): re.sub(r"^    #.*\n", "", found[0], flags=re.MULTILINE)
        for found in ENTRY.finditer(lock)
    }


def needed(requirements: Iterable[Requirement]) -> set[str]:
    """Names of these and all that they need, on this platform and Python."""
    found: set[tuple[str, str]] = set()
    waiting = [(one, "") for one in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        for own_extra in ("", *requirement.extras):
            if (name, own_extra) not in found:
                found.add((name, own_extra))
                wanted = distribution(name).requires or ()
                waiting.extend((Requirement(text), own_extra) for text in wanted)
    return {name for name, _ in found}


def content() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *(one for extra in EXTRAS for one in extras[extra])]
    locked = entries(WHOLE.read_text(encoding="utf-8"))
    names = needed(map(Requirement, asked))
    if missing := sorted(names - locked.keys()):
        raise SystemExit(f"locks/run.lock has no {', '.join(missing)}")
    return "".join(text for name, text in sorted(locked.items()) if name in names)


def main(arguments: list[str]) -> int:
    fresh = content()
    if arguments == ["--check"]:
        stale = not PART.exists() or PART.read_text(encoding="utf-8") != fresh
        if stale:
            print("locks/cloud.lock is stale: run 'python -m scripts.cloud_lock'", file=sys.stderr)
        return int(stale)
    PART.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
