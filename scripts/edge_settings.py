"""Writes what is said of a device's settings: the table of docs/configuration.md and the default file.

With --check only compares. Usage: python -m scripts.edge_settings [--check]
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from edge.config import EdgeConfig, Told

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/configuration.md"
FILE = ROOT / "deploy/edge/verifield-edge.toml"
BEGIN, END = "<!-- device settings: begin -->\n", "<!-- device settings: end -->\n"
IN_FORCE = ("data_dir", "run_dir", "models_dir")
"""What the installed package sets; all else is commented out."""

_HEAD = """\
# Settings of verifield-edge, as the package installs them; docs/configuration.md has them in one table.
# What is commented out shows the default, or an example where there is none. After a change:
#   verifield-edge status && systemctl restart verifield-edge-kiosk verifield-edge-sync
"""


def told_of(field: FieldInfo) -> Told:
    [told] = [one for one in field.metadata if isinstance(one, Told)]
    return told


def as_toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else f'"{value}"'


def default_of(name: str, field: FieldInfo) -> str:
    told = told_of(field)
    if field.default is None:
        return told.unset
    if name == "data_dir":
        return "`~/.local/share/verifield`"
    unit = f" {told.unit}" if told.unit else ""
    return f"`{as_toml(field.default)}`{unit}"


def table() -> str:
    rows = ["| Setting | Default | What it is | Why so |", "|---|---|---|---|"]
    for name, field in EdgeConfig.model_fields.items():
        told = told_of(field)
        rows.append(f"| `{name}` | {default_of(name, field)} | {told.what} | {told.why} |")
    return "\n".join(rows) + "\n"


def default_file() -> str:
    return "\n".join([_HEAD, *_entries()])


def _entries() -> Iterator[str]:
    for name, field in EdgeConfig.model_fields.items():
        told = told_of(field)
        yield textwrap.fill(
            f"{told.what} {told.why}".replace("`", "'"),
            110,
            initial_indent="# ",
            subsequent_indent="# ",
            break_on_hyphens=False,
        )
        value = told.example if told.example is not None else field.default
        yield f"{'' if name in IN_FORCE else '# '}{name} = {as_toml(value)}\n"


def rewritten(page: str) -> str:
    pattern = re.compile(f"(?<={re.escape(BEGIN)}).*?(?={re.escape(END)})", re.DOTALL)
    text, count = pattern.subn(lambda _: table(), page)
    if count != 1:
        raise SystemExit(f"{PAGE.name} does not have the two marks of the device's table")
    return text


def main(arguments: list[str]) -> int:
    page = PAGE.read_text(encoding="utf-8")
    fresh = {PAGE: rewritten(page), FILE: default_file()}
    if arguments == ["--check"]:
        stale = [path for path, text in fresh.items() if not path.exists() or path.read_text("utf-8") != text]
        for path in stale:
            print(
                f"{path.relative_to(ROOT)} is stale: run 'python -m scripts.edge_settings'", file=sys.stderr
            )
        return int(bool(stale))
    for path, text in fresh.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
